// registry.h - the door of the registry room: references, images as an OCI registry serves
// them, their blobs, and the layout of the tarball they are published as. Knows nothing of S3,
// directories or FUSE.
//
// Follows the OCI distribution and image specifications 1.1 and Docker's registry v2 schema 2.
// Functions are thread-safe unless they say otherwise; those that take a `struct call` block.
// Errors beside what base/http.h says: ENOENT (no such image, tag, platform), EACCES (the
// registry refuses the credentials, or is not to be asked), EBADMSG (bytes do not match their
// digest or size), EPROTONOSUPPORT (schema 1, foreign layers, a digest that is no sha256),
// EPROTO (an answer that no registry gives), EFBIG (a manifest or config over its limit).
#pragma once

#include "base/call.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/http.h"
#include "base/public_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REGISTRY_DIGEST_SIZE = sizeof("sha256:") + 64, // NUL included
    REGISTRY_MANIFEST_LIMIT = 4 * 1024 * 1024,     // bytes; what registries themselves take
    REGISTRY_CONFIG_LIMIT = 8 * 1024 * 1024,       // bytes of an image's config
    REGISTRY_LAYERS_MAX = 4096,                    // engines stop at 127 or so
    REGISTRY_REDIRECTS_MAX = 5,
    REGISTRY_INDEXES_MAX = 3,                   // indexes in indexes that are followed
    REGISTRY_EXTENSION_SIZE = sizeof(".") + 15, // NUL included
};

// ---- references --------------------------------------------------------------------------------

struct registry_reference {
    char *host;       // "ghcr.io", "127.0.0.1:5000", "[::1]:5000", lower case
    char *repository; // "all-hands-ai/runtime"
    char *tag;        // NULL where only a digest is given
    char *digest;     // "sha256:..." or NULL; with both, the digest decides and the tag names
    char *text;       // as it was written
};
// HOST/REPOSITORY[:TAG][@DIGEST], nothing defaulted: at least a tag or a digest, and a host that
// cannot be a path component (it has a '.' or ':' or is "localhost"); Docker Hub's official images
// with their "library/". Digests are sha256 alone. Total. EINVAL with the reason and what a right
// one looks like.
int registry_reference_parse(const char *text, struct registry_reference *ret_reference,
                             struct err *err);
int registry_reference_copy(const struct registry_reference *from,
                            struct registry_reference *ret_to);
void registry_reference_done(struct registry_reference *reference); // accepts NULL and zeroed

// REPOSITORY:TAG as `docker load` names images: for the tag= of a line. Total; EINVAL.
int registry_tag_check(const char *text, struct err *err);
// What the image is named if the line does not say: "HOST/REPOSITORY:TAG", for a digest alone
// "HOST/REPOSITORY:sha256-FIRST12HEX". malloc'ed, NULL on no memory.
char *registry_reference_default_tag(const struct registry_reference *reference);
// "LAST-PATH-COMPONENT:TAG" or "LAST-PATH-COMPONENT:sha256-FIRST12HEX"; malloc'ed.
char *registry_reference_default_name(const struct registry_reference *reference);

struct registry_platform {
    char os[32];
    char architecture[32];
    char variant[32]; // "" for any
};
// "OS/ARCH[/VARIANT]"
int registry_platform_parse(const char *text, struct registry_platform *ret_platform,
                            struct err *err);
// "linux/arm64/v8"
void registry_platform_format(const struct registry_platform *platform, char ret_text[100]);

enum { REGISTRY_PLATFORMS_MAX = 16, REGISTRY_PLATFORMS_TEXT_SIZE = 1024 };
struct registry_platforms { // which of an image's
    bool is_all;
    struct registry_platform list[REGISTRY_PLATFORMS_MAX]; // docker gets the first
    size_t count;                                          // 0 where all
};
// "all", or "OS/ARCH[/VARIANT]" with others behind commas. EINVAL.
int registry_platforms_parse(const char *text, struct registry_platforms *ret_platforms,
                             struct err *err);

// ---- the client --------------------------------------------------------------------------------

struct registry_client;

struct registry_options {
    struct http_client *http; // stays the caller's, outlives the client
    const struct clock *clock;
    // As references name them, port included. NULL: any. NULL-terminated. Where a registry
    // redirects to, and its token server, are not looked up here.
    const char *const *allowed_hosts;
    const char *const *plain_hosts; // HOST or HOST:PORT that are spoken to over plain HTTP;
                                    // loopback always may be. NULL-terminated, or NULL
    const char *docker_config;      // path of config.json; NULL: $DOCKER_CONFIG/config.json, else
                                    // ~/.docker/config.json
    const char *(*environment)(const char *name); // NULL: getenv
};
int registry_client_new(const struct registry_options *options, struct registry_client **ret_client,
                        struct err *err);
void registry_client_free(struct registry_client *client);

// ---- images ------------------------------------------------------------------------------------

#define REGISTRY_HELM_CONFIG "application/vnd.cncf.helm.config.v1+json" // a chart's artifact type
#define REGISTRY_NO_PLATFORM "-"

enum registry_compression {
    REGISTRY_COMPRESSION_NONE,
    REGISTRY_COMPRESSION_GZIP,
    REGISTRY_COMPRESSION_ZSTD,
};

struct registry_descriptor {
    char digest[REGISTRY_DIGEST_SIZE];
    uint64_t size_bytes;
    char *media_type;
    enum registry_compression compression; // of a layer, from its media type
    bool is_provenance;                    // a layer that is a statement of SLSA provenance
    // Of a layer that is a file, what the file's name ends in: ".tgz" of a Helm chart, else by its
    // title (ORAS), ".tgz" for ".tar.gz" too; "" where that is not known, or ".tar".
    char extension[REGISTRY_EXTENSION_SIZE];
};

// What an image says of its own making. Nobody has proven any of it, or that the characters are
// fit to be shown: whoever shows it escapes it.
enum registry_fact {
    // Labels of its config, where those are missing annotations of its manifest, then of its index
    REGISTRY_FACT_SOURCE,
    REGISTRY_FACT_REVISION,
    REGISTRY_FACT_VERSION,
    REGISTRY_FACT_CREATED,
    // SLSA provenance that buildx attests
    REGISTRY_FACT_BUILDER,
    REGISTRY_FACT_BUILT_FROM,
    REGISTRY_FACT_BUILT_REVISION,
    REGISTRY_FACT_COUNT,
};
enum { REGISTRY_FACT_MAX = 1024 }; // bytes
struct registry_provenance {
    char *facts[REGISTRY_FACT_COUNT]; // NULL where nothing says
};
void registry_provenance_done(struct registry_provenance *provenance); // accepts zeroed
// Not empty, at most REGISTRY_FACT_MAX bytes, no control characters (of a text in UTF-8).
bool registry_fact_is_wellformed(const char *fact);

struct registry_index { // as the registry serves it
    struct registry_descriptor descriptor;
    char *bytes;
};

// An image of one platform, with what goes along with it, resolved and verified: every digest and
// size below is proven except the layers' own bytes, which have not been fetched yet. Immutable
// once resolved.
struct registry_image {
    struct registry_reference reference;
    struct registry_platform platform; // what the config says, else the index, else what was asked
    char source_digest[REGISTRY_DIGEST_SIZE]; // what the reference names: index or manifest
    struct registry_descriptor manifest;
    char *manifest_bytes;
    struct registry_descriptor config;
    char *config_bytes;
    struct registry_descriptor *layers; // in the image's order; the same blob may stand twice
    size_t layer_count;
    bool is_docker_schema2; // the manifest's media type is Docker's, not OCI's
    bool has_zstd_layers;   // needs Docker 23 to load
    // NULL: a container image. Else what the artifact says it is: a Helm chart
    // (REGISTRY_HELM_CONFIG), files of ORAS, ... A media type.
    char *artifact_type;
    struct registry_provenance provenance; // but for what is attested

    // The other platforms asked for, in the index's order, then buildx's attestations (provenance,
    // SBOM) about all of them: neither has a reference or others of its own.
    struct registry_image **others;
    size_t other_count;
    bool is_attestation;
    char about[REGISTRY_DIGEST_SIZE]; // an attestation's: the manifest that it is about
    size_t attestations_missing;      // that the index names and the registry does not have
    size_t statements_unread;         // set by registry_image_read_attested
    // What led to it, outermost first: who signs an index signs what it names.
    struct registry_index indexes[REGISTRY_INDEXES_MAX];
    size_t index_count;
    const struct registry_index *index; // the last of them, where it goes along; or NULL
    bool is_multi_platform;             // several were asked for: the index is what is published
    // docker's first: "linux/amd64,linux/arm64/v8"; REGISTRY_NO_PLATFORM of most artifacts
    char platforms[REGISTRY_PLATFORMS_TEXT_SIZE];
};
// The digest of what is published: the index's, or the manifest's.
const char *registry_image_digest(const struct registry_image *image);

// Manifest (through an index, by platform), verified against its digest; then the config; then the
// others. An image without an index must itself be of the platform asked for, if its config names
// one; an artifact without an index has none. Credentials that are refused are followed by an
// anonymous try, of which call->on_notice is told. The sentence begins with the reference.
int registry_image_resolve(struct registry_client *client, struct call *call,
                           const struct registry_reference *reference,
                           const struct registry_platforms *platforms,
                           struct registry_image **ret_image, struct err *err);
void registry_image_free(struct registry_image *image); // accepts NULL

// Adds what is attested of the image's making; asks for a blob of the registry where anything is.
// A statement that makes no sense, or is too large to be looked at, is counted and says nothing;
// one that cannot be had is an error, as it is a part of the image.
int registry_image_read_attested(struct registry_client *client, struct call *call,
                                 struct registry_image *image, struct err *err);
// ---- what refers to an image -------------------------------------------------------------------

enum registry_referrer_kind {
    REGISTRY_SIGNATURE, // cosign's, by its tag or as a bundle; notation's
    REGISTRY_ATTESTATION,
    REGISTRY_SBOM,
    REGISTRY_OTHER_REFERRER,
    REGISTRY_REFERRER_KINDS, // how many there are
};
enum { REGISTRY_REFERRER_TAG_SIZE = sizeof("sha256-.sbom") + 64 };

// A manifest about an image, with what it is made of.
struct registry_referrer {
    enum registry_referrer_kind kind;
    size_t statements;                    // that it holds: cosign's have a layer for each
    char subject[REGISTRY_DIGEST_SIZE];   // what it is about
    char tag[REGISTRY_REFERRER_TAG_SIZE]; // cosign's "sha256-HEX.sig"; "" where it has none
    struct registry_descriptor manifest;
    char *manifest_bytes;
    char *artifact_type;               // or NULL
    struct registry_descriptor *blobs; // config, then layers
    size_t blob_count;
    bool is_about_published; // about what is published, or an index that names it
};

struct registry_referrers {
    // About what is published, then the indexes above it, then each platform's manifest; in a fixed
    // order.
    struct registry_referrer *list;
    size_t count;
    size_t left_out; // that a registry names and has not, or that are no manifests about it
    size_t statements[REGISTRY_REFERRER_KINDS];
    bool is_signed;               // what is published is, or an index that names it
    char sha256[SHA256_HEX_SIZE]; // of all manifests' digests: tells two findings apart
};

// What a registry has about the image, about the indexes that lead to it and about each of its
// platforms: by the referrers API, its fallback tag where the registry answers anything but an
// index there, and cosign's .sig, .att and .sbom tags. (buildx's attestations are in the index, and
// the image's `others`.) That a question was not answered is a failure: nothing found means that
// there is nothing. EFBIG where there is more than anybody would carry.
int registry_referrers_find(struct registry_client *client, struct call *call,
                            const struct registry_image *image,
                            struct registry_referrers **ret_referrers, struct err *err);
void registry_referrers_free(struct registry_referrers *referrers); // accepts NULL

// EKEYREJECTED unless one of the signatures is by the key, over what is published or an index that
// names it, and says so: cosign's payloads and bundles. Asks for their blobs.
int registry_signature_verify(struct registry_client *client, struct call *call,
                              const struct registry_image *image,
                              const struct registry_referrers *referrers,
                              const struct public_key *key, struct err *err);

// Only the digest that the reference names now: the one that is written in it, without asking
// anybody, else the tag's (one HEAD; a GET too where that does not tell).
int registry_digest_resolve(struct registry_client *client, struct call *call,
                            const struct registry_reference *reference,
                            char ret_digest[REGISTRY_DIGEST_SIZE], struct err *err);

// Bytes [offset, offset+size) of a blob of that image's repository to sink, in order. Closed
// ranges; a 200 to a ranged request is accepted by skipping; a broken connection is resumed where
// it broke, through a new redirect. Bytes handed over are not repeated. Nothing is verified here
// but the length: whoever sees the whole blob hashes it.
int registry_blob_read(struct registry_client *client, struct call *call,
                       const struct registry_reference *reference,
                       const struct registry_descriptor *blob, uint64_t offset, uint64_t size,
                       int (*sink)(void *context, const void *bytes, size_t size), void *context,
                       struct err *err);

// ---- the published object -----------------------------------------------------------------------

enum archive_format {
    ARCHIVE_FORMAT_TAR,
    ARCHIVE_FORMAT_TAR_GZ,
    ARCHIVE_FORMAT_PAYLOAD, // an artifact's only layer, as it is: no archive at all
};

enum archive_extent_kind {
    ARCHIVE_LITERAL,      // bytes known now
    ARCHIVE_BLOB,         // a blob of the registry, whole
    ARCHIVE_ZEROS,        // padding
    ARCHIVE_GZIP_HEADER,  // .tar.gz only: the member's 10 bytes
    ARCHIVE_GZIP_TRAILER, // .tar.gz only: the last, empty block, then CRC-32 and size of the tar
};

// A run of bytes of the published file, never empty. In a .tar.gz every run of tar bytes (LITERAL,
// BLOB, ZEROS) is cut into stored blocks of its own (RFC 1951 section 3.2.4), so that its bytes do
// not depend on what stands before it.
struct archive_extent {
    enum archive_extent_kind kind;
    uint64_t offset;       // in the published file, bytes
    uint64_t size;         // in the published file, block headers of a .tar.gz included
    uint64_t content_size; // bytes of the tar that it holds; 0 for GZIP_HEADER and _TRAILER
    const char *literal;   // LITERAL: content_size bytes, the archive's or the image's own
    size_t blob_index;     // BLOB: into archive->blobs
};

// A blob that has to be fetched: one of the layers that are not empty, each once. (Config and
// manifest are LITERALs. An empty layer has a header and no bytes; archive_new has proven that its
// digest is that of nothing, so there is nothing left to hash.)
struct archive_blob {
    struct registry_descriptor descriptor; // media_type is the image's own, not the archive's
    size_t extent_index;                   // of its one BLOB extent
};

// The published object of one image under one tag, as an ordered list of extents without gaps:
// layers in order (each blob once), then those of what goes along with it; config and manifest of
// each; its index, if that goes along; oci-layout, index.json, manifest.json, two zero blocks. A
// tar that is an OCI image layout and a `docker save` archive at once (of an artifact a layout
// alone, without manifest.json); a .tar.gz is the same tar in one gzip member. Bytes depend on
// image, platform and tag alone, and stay the same from version to version of this program. Plain
// data, immutable once laid out.
struct archive {
    enum archive_format format;
    uint64_t size_bytes;     // of the file, at most INT64_MAX
    uint64_t tar_size_bytes; // of the tar in it; the same for a .tar
    struct archive_extent *extents;
    size_t extent_count;
    struct archive_blob *blobs;
    size_t blob_count;
    void *arena; // owns the literals
};
// Keeps pointers into *image, which must outlive the archive. Pure. EINVAL (tag is no
// REPOSITORY:TAG; a PAYLOAD of anything but an artifact of one layer that is not empty),
// EPROTONOSUPPORT (a digest that is no sha256), EBADMSG (a blob of two sizes, or of 0 bytes by
// another digest than that of nothing), EFBIG (sizes that add up to over 2^63).
int archive_new(const struct registry_image *image, const char *tag, enum archive_format format,
                struct archive **ret_archive, struct err *err);
void archive_free(struct archive *archive); // accepts NULL

// What refers to an image, as an OCI image layout that is unpacked over the image's: then its
// index.json names image, indexes and referrers, as `cosign verify --local-image` reads them.
// Likewise; *image and *referrers outlive it.
int archive_new_referrers(const struct registry_image *image,
                          const struct registry_referrers *referrers, const char *tag,
                          enum archive_format format, struct archive **ret_archive,
                          struct err *err);

// The extent with which the blob's stretch of the file begins: its tar header, the one before the
// blob's own; of a PAYLOAD the blob's own.
size_t archive_blob_begin(const struct archive *archive, size_t blob_index);

// The extent that holds the file's byte at `offset` (offset < size_bytes).
size_t archive_find(const struct archive *archive, uint64_t offset);

// Writes file bytes [offset, offset + size) of one extent other than BLOB into `bytes` (offset is
// the file's, within the extent). crc32 is that of the whole tar, needed for GZIP_TRAILER alone.
void archive_render(const struct archive *archive, size_t extent_index, uint64_t offset,
                    uint64_t size, uint32_t crc32, uint8_t *bytes);

// Translates a range of the file within one BLOB extent into the range of the blob it holds. A
// range of a .tar.gz that holds nothing but bytes of block headers holds 0 bytes of the blob:
// nothing is to be fetched then, archive_writer_init writes them all.
void archive_blob_range(const struct archive *archive, size_t extent_index, uint64_t offset,
                        uint64_t size, uint64_t *ret_blob_offset, uint64_t *ret_blob_size);

// Writes blob bytes as they arrive into a buffer that holds file bytes [offset, offset + size) of
// one BLOB extent, and with them the block headers of a .tar.gz: those before the first blob byte
// of the window when it is initialised, those behind a blob byte when that is taken. Feed it the
// blob range that archive_blob_range gives for the same window; the window is full when `offset`
// is `end`. A window may begin and end anywhere, also within a block header.
struct archive_writer {
    const struct archive *archive;
    size_t extent_index;
    uint64_t offset; // next byte of the file to be written
    uint64_t end;    // where the window ends, in the file
    uint8_t *next;   // where it goes in memory
};
void archive_writer_init(struct archive_writer *writer, const struct archive *archive,
                         size_t extent_index, uint64_t offset, uint64_t size, uint8_t *bytes);
// Takes `size` blob bytes in order. -ERANGE, and none are taken, when they would pass the
// window's end.
int archive_writer_take(struct archive_writer *writer, const void *bytes, size_t size);

// Calls `content` for each run of tar bytes within file bytes [offset, offset + size) that stand
// at `bytes`, i.e. without block headers: for the blobs' digests and the tar's CRC-32. One
// extent, of any kind; GZIP_HEADER and GZIP_TRAILER hold none.
void archive_content(const struct archive *archive, size_t extent_index, uint64_t offset,
                     uint64_t size, const uint8_t *bytes,
                     void (*content)(void *context, const uint8_t *bytes, size_t size),
                     void *context);

// CRC-32 of the tar in a .tar.gz (RFC 1952), begun with 0.
uint32_t archive_crc32(uint32_t crc32, const void *bytes, size_t size);
