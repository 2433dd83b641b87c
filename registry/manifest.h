// manifest.h - what the JSON of an image says: indexes, manifests, configs (OCI image
// specification 1.1, Docker schema 2). The only place that reads image JSON.
//
// Pure and total: the bytes come from a registry and may be anything. Parsing only says what is
// there; whether it is an image that can be published is for manifest_check_image.
#pragma once

#include "provenance.h"
#include "registry.h"

enum {
    MANIFEST_ENTRIES_MAX = 4096, // of an index; real ones have under 50
    MANIFEST_DIFF_IDS_MAX = REGISTRY_LAYERS_MAX,
};
#define MANIFEST_BLOB_MAX                                                                          \
    (UINT64_C(1) << 46) // bytes, 64 TiB: more than S3 stores; all layers together fit 63 bits

#define MEDIA_TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_TYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

// What a manifest is asked for with: everything that can be read, so that the registry converts
// nothing.
#define MANIFEST_ACCEPT                                                                            \
    MEDIA_TYPE_OCI_INDEX ", " MEDIA_TYPE_OCI_MANIFEST ", " MEDIA_TYPE_DOCKER_LIST                  \
                         ", " MEDIA_TYPE_DOCKER_MANIFEST

struct manifest_entry {
    struct registry_descriptor descriptor; // digest "" where it is no sha256
    struct registry_platform platform;
    bool has_platform;
    bool is_attestation;              // buildx's: about another entry, no image of its own
    char about[REGISTRY_DIGEST_SIZE]; // that entry's digest, or ""
    bool is_index;
};

struct manifest {
    char *media_type; // one of the four above
    bool is_index;
    char *artifact_type;                   // NULL where there is none
    struct registry_provenance provenance; // that its annotations state
    char subject[REGISTRY_DIGEST_SIZE];    // what a manifest is about (OCI 1.1), or ""
    char *predicate_type;                  // of a sigstore bundle, from its annotation; or NULL

    struct manifest_entry *entries; // of an index
    size_t entry_count;

    struct registry_descriptor config; // of a manifest
    struct registry_descriptor *layers;
    size_t layer_count;
};

// content_type: the answer's header, or the descriptor's; believed only where the document says
// nothing of itself. EPROTO; EPROTONOSUPPORT for schema 1 and for digests that are no sha256;
// EFBIG.
int registry_manifest_parse(const char *bytes, size_t size, const char *content_type,
                            struct manifest *ret_manifest, struct err *err);
void registry_manifest_done(struct manifest *manifest); // accepts NULL and zeroed

// What a manifest that is of no container image is: its artifactType, or its config's media type.
// NULL for a container image. Not for indexes.
const char *registry_manifest_artifact_type(const struct manifest *manifest);
// Whether it can be published: as registry_manifest_check_image, and any artifact whose layers the
// registry must have.
int registry_manifest_check(const struct manifest *manifest, struct err *err);
// Whether a manifest is of a container image whose every layer the registry must have: 0, or
// EPROTONOSUPPORT with what it is instead.
int registry_manifest_check_image(const struct manifest *manifest, struct err *err);

// Whether an entry of an index is an image of some platform, or an index of such.
bool registry_manifest_is_choosable(const struct manifest_entry *entry);
// Which entry of an index is the platform: ENOENT naming those there are. An index whose only
// image says no platform yields that one; its config then decides.
int registry_manifest_choose(const struct manifest *index, const struct registry_platform *platform,
                             size_t *ret_entry, struct err *err);

struct image_config {
    struct registry_platform platform; // os "" where the config does not say
    size_t diff_id_count;
    struct registry_provenance provenance; // that its labels state
};
void registry_config_done(struct image_config *config); // accepts zeroed
int registry_config_parse(const char *bytes, size_t size, struct image_config *ret_config,
                          struct err *err);
