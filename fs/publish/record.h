// record.h - what is known of one object beyond the object itself, a published tarball or any other
// file that this program stored: the truth for urls.tsv, report.html and for recognising the same
// file again.
//
// A record belongs to one version of one object, (key, ETag), and is never changed: it is stored
// at PREFIX.prereleasefs/records/DIRECTORY/NAME/ETAG.json, so that two hosts that race for a name
// cannot overwrite each other's. Formatting and parsing are pure; parsing is total (anyone who may
// write to the bucket may have written it), and a record whose key or ETag is not the object's is
// refused.
#pragma once

#include "base/buf.h"
#include "base/call.h"
#include "base/digest.h"
#include "base/err.h"
#include "record_referrers.h"
#include "registry.h"
#include "s3.h"

#include <stdbool.h>
#include <stdint.h>

enum { RECORD_LIMIT = 4 * 1024 * 1024 }; // bytes of JSON

// What hashing the file has come to at some byte: whoever holds these first bytes can hash on.
struct record_midstate {
    struct sha256_midstate sha256; // of the file
    uint32_t crc32;                // .tar.gz: of the tar in it; 0 in a .tar
};

struct record_layer {
    char digest[REGISTRY_DIGEST_SIZE];
    uint64_t size_bytes;
    uint64_t offset;      // of its tar header, in the published file
    uint64_t blob_offset; // of its first byte
    char *media_type;
    bool has_midstate;
    struct record_midstate midstate; // at `offset`
};

struct record {
    char *key;
    char *etag; // with quotes
    uint64_t size_bytes;
    char sha256[SHA256_HEX_SIZE]; // of the whole object
    int64_t published_ms;
    char *publisher_host;
    int64_t publisher_uid;
    char *version; // of this program

    struct record_referrers referrers; // of an image, and of the tarball that holds them

    bool has_image; // a tarball; of any other file the rest is NULL, "" and 0
    enum archive_format format;
    char *reference;                            // as it was written
    char *tag;                                  // what docker load calls it
    char source_digest[REGISTRY_DIGEST_SIZE];   // what the reference named: index or manifest
    char manifest_digest[REGISTRY_DIGEST_SIZE]; // of the platform's manifest inside, or the index
    char config_digest[REGISTRY_DIGEST_SIZE];   // docker's image ID
    char *platform;                             // "linux/amd64", or several behind commas
    char *artifact_type;                        // NULL of a container image (registry.h)
    bool is_all_platforms;                      // platform=all was asked for
    struct registry_provenance provenance;      // what the image says of its own making
    // The blobs in the file's order: the layers, each once, then the config: where that begins the
    // layers end.
    struct record_layer *layers;
    size_t layer_count;
    bool has_zstd_layers; // needs Docker 23
};

// What every record begins with; the publisher's host is this one. Without an image. NULL on no
// memory.
struct record *record_new(const char *key, const char *etag, uint64_t size_bytes,
                          const char *sha256, int64_t published_ms, int64_t publisher_uid);
// The same file under another key or ETag, published anew; layers and midstates included. NULL on
// no memory.
struct record *record_copy(const struct record *record, const char *key, const char *etag,
                           int64_t published_ms, int64_t publisher_uid);

// Whether it is one that record_parse would take: EBADMSG with the member that is not right.
// Strings are fit to be shown on pages, offsets lie within the object, the tag is safe in a
// command.
int record_check(const struct record *record, struct err *err);
// EBADMSG for what record_check refuses: nothing is written that nobody could read.
int record_format(const struct record *record, struct buf *ret_json, struct err *err);
// EBADMSG for anything that is no record; unknown members are passed over.
int record_parse(const char *json, size_t size, struct record **ret_record, struct err *err);
void record_free(struct record *record); // accepts NULL
// "tar", "tar.gz", "payload"
const char *record_format_name(enum archive_format format);
// Whether both name one version. Stores differ in where they put an ETag's quotes (a listing has
// them, some answers to CompleteMultipartUpload do not): they are no part of its identity.
bool record_etag_equal(const char *a, const char *b);
// malloc'ed; NULL on no memory. prefix as in tree_prefix.
char *record_object_key(const char *prefix, const char *key, const char *etag);
// Likewise: what the keys of the records of a directory's tarballs begin with, but for those of
// keys that are too long; their names come next, then a slash.
char *record_list_prefix(const char *prefix, const char *directory);

int record_store(struct s3_client *client, struct call *call, const char *prefix,
                 const struct record *record, struct err *err);
// ENOENT where there is none; EBADMSG where what is there is no record of this object.
int record_load(struct s3_client *client, struct call *call, const char *prefix, const char *key,
                const char *etag, struct record **ret_record, struct err *err);
// Whether there is surely none: false also where that cannot be told.
bool record_is_missing(struct s3_client *client, struct call *call, const char *prefix,
                       const char *key, const char *etag);
int record_delete(struct s3_client *client, struct call *call, const char *prefix, const char *key,
                  const char *etag, struct err *err);
