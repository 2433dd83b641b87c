#include "manifest.h"

#include "platform.h"
#include "reference.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEDIA_TYPE_MAX = 255, // RFC 6838: 127 on either side of the slash
    PLATFORMS_TOLD = 512, // bytes of an error's list of platforms
};

static void descriptor_done(struct registry_descriptor *descriptor)
{
    free(descriptor->media_type);
    *descriptor = (struct registry_descriptor){0};
}

void registry_manifest_done(struct manifest *manifest)
{
    if (manifest == NULL)
        return;
    for (size_t i = 0; i < manifest->entry_count; i++)
        descriptor_done(&manifest->entries[i].descriptor);
    for (size_t i = 0; i < manifest->layer_count; i++)
        descriptor_done(&manifest->layers[i]);
    descriptor_done(&manifest->config);
    free(manifest->entries);
    free(manifest->layers);
    free(manifest->media_type);
    free(manifest->artifact_type);
    registry_provenance_done(&manifest->provenance);
    free(manifest->predicate_type);
    *manifest = (struct manifest){0};
}

// ---- descriptors -------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end)
{
    size_t text_size = strlen(text), end_size = strlen(end);
    return text_size >= end_size && strcmp(text + text_size - end_size, end) == 0;
}

static enum registry_compression compression_of(const char *media_type)
{
    if (ends_with(media_type, "+gzip") || ends_with(media_type, ".tar.gzip"))
        return REGISTRY_COMPRESSION_GZIP;
    if (ends_with(media_type, "+zstd") || ends_with(media_type, ".tar.zstd"))
        return REGISTRY_COMPRESSION_ZSTD;
    return REGISTRY_COMPRESSION_NONE;
}

// Printable ASCII without blanks: it is shown, and kept in records.
static bool is_media_type(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return size > 0 && size <= MEDIA_TYPE_MAX;
}

// `what` is where it stands ("layer 3"). A digest of another algorithm leaves the digest "" where
// any_digest allows it, so that an entry nobody chooses does no harm.
static int parse_descriptor(const json_t *json, const char *what, bool any_digest,
                            struct registry_descriptor *ret_descriptor, struct err *err)
{
    const char *digest = json_document_text(json, "digest");
    const char *media_type = json_document_text(json, "mediaType");
    struct registry_descriptor descriptor = {0};
    if (digest == NULL || !registry_digest_is_wellformed(digest))
        return err_set(err, EPROTO, "%s has no digest", what);
    if (registry_digest_is_sha256(digest))
        memcpy(descriptor.digest, digest, REGISTRY_DIGEST_SIZE);
    else if (!any_digest || strncmp(digest, "sha256:", 7) == 0)
        return err_set(err, EPROTONOSUPPORT, "the digest of %s, %.80s, is no sha256", what, digest);
    if (!json_document_size(json, "size", &descriptor.size_bytes))
        return err_set(err, EPROTO, "%s has no size", what);
    if (descriptor.size_bytes > MANIFEST_BLOB_MAX)
        return err_set(err, EPROTO, "%s has a size that no blob has", what);
    if (media_type == NULL || !is_media_type(media_type))
        return err_set(err, EPROTO, "%s has no media type", what);
    descriptor.media_type = strdup(media_type);
    if (descriptor.media_type == NULL)
        return err_no_memory(err);
    descriptor.compression = compression_of(media_type);
    *ret_descriptor = descriptor;
    return 0;
}

// ---- images ------------------------------------------------------------------------------------

// What the name of a layer's file ends in (registry.h).
static void copy_extension(bool is_chart, const char *title,
                           char ret_extension[REGISTRY_EXTENSION_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *dot = NULL;
    if (is_chart || (title != NULL && ends_with(title, ".tar.gz")))
        dot = ".tgz";
    else if (title != NULL && !ends_with(title, ".tar"))
        dot = strrchr(title, '.');
    if (dot == NULL)
        return;
    size_t size = 1 + strspn(dot + 1, letters);
    if (size == 1 || size >= REGISTRY_EXTENSION_SIZE || dot[size] != '\0')
        return;
    memcpy(ret_extension, dot, size + 1);
}

static void take_notes(const json_t *json, struct registry_descriptor *layer)
{
    const char *type = json_document_text(json, "mediaType");
    const json_t *notes = json_object_get(json, "annotations");
    const char *predicate = json_document_text(notes, "in-toto.io/predicate-type");
    bool is_chart =
        type != NULL && strcmp(type, "application/vnd.cncf.helm.chart.content.v1.tar+gzip") == 0;
    layer->is_provenance = predicate != NULL && registry_predicate_is_provenance(predicate);
    copy_extension(is_chart, json_document_text(notes, "org.opencontainers.image.title"),
                   layer->extension);
}

static int parse_layers(const json_t *layers, struct manifest *manifest, struct err *err)
{
    size_t count = json_array_size(layers);
    if (!json_is_array(layers))
        return err_set(err, EPROTO, "it has no list of layers");
    if (count > REGISTRY_LAYERS_MAX)
        return err_set(err, EFBIG, "it has %zu layers, more than the %d that any engine takes",
                       count, REGISTRY_LAYERS_MAX);
    manifest->layers = calloc(count + 1, sizeof(*manifest->layers));
    if (manifest->layers == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        char what[32];
        snprintf(what, sizeof(what), "layer %zu", i + 1);
        int status =
            parse_descriptor(json_array_get(layers, i), what, false, &manifest->layers[i], err);
        if (status < 0)
            return status;
        manifest->layer_count++;
        take_notes(json_array_get(layers, i), &manifest->layers[i]);
    }
    return 0;
}

// Whoever looks for what is about an image wants these, nobody else minds what they are.
static bool parse_reference(const json_t *json, struct manifest *manifest)
{
    const char *subject = json_document_text(json_object_get(json, "subject"), "digest");
    const char *predicate = json_document_text(json_object_get(json, "annotations"),
                                               "dev.sigstore.bundle.predicateType");
    if (subject != NULL && registry_digest_is_sha256(subject))
        memcpy(manifest->subject, subject, REGISTRY_DIGEST_SIZE);
    manifest->predicate_type = predicate == NULL ? NULL : strdup(predicate);
    return predicate == NULL || manifest->predicate_type != NULL;
}

static int parse_image(const json_t *json, struct manifest *manifest, struct err *err)
{
    if (!parse_reference(json, manifest))
        return err_no_memory(err);
    int status = parse_descriptor(json_object_get(json, "config"), "its config", false,
                                  &manifest->config, err);
    return status < 0 ? status : parse_layers(json_object_get(json, "layers"), manifest, err);
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_image_layer(const char *media_type)
{
    static const char *const types[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(media_type, types[i]) == 0)
            return true;
    return false;
}

static bool is_foreign_layer(const char *media_type)
{
    return has_prefix(media_type, "application/vnd.oci.image.layer.nondistributable.") ||
           has_prefix(media_type, "application/vnd.docker.image.rootfs.foreign.");
}

// The OCI image specification's guidelines for artifacts: the config tells.
const char *registry_manifest_artifact_type(const struct manifest *manifest)
{
    const char *config = manifest->config.media_type;
    if (strcmp(config, MEDIA_TYPE_OCI_CONFIG) == 0 || strcmp(config, MEDIA_TYPE_DOCKER_CONFIG) == 0)
        return NULL;
    return manifest->artifact_type != NULL ? manifest->artifact_type : config;
}

static int check_is_distributable(const struct manifest *manifest, struct err *err)
{
    for (size_t i = 0; i < manifest->layer_count; i++)
        if (is_foreign_layer(manifest->layers[i].media_type))
            return err_set(err, EPROTONOSUPPORT,
                           "layer %zu is non-distributable (%s): the registry need not have its "
                           "bytes, and they may not be passed on",
                           i + 1, manifest->layers[i].media_type);
    return 0;
}

int registry_manifest_check_image(const struct manifest *manifest, struct err *err)
{
    const char *artifact_type = registry_manifest_artifact_type(manifest);
    if (artifact_type != NULL)
        return err_set(err, EPROTONOSUPPORT,
                       "it is an artifact of type %s, and no container image as the others are",
                       artifact_type);
    if (check_is_distributable(manifest, err) < 0)
        return -err->errnum;
    for (size_t i = 0; i < manifest->layer_count; i++)
        if (!is_image_layer(manifest->layers[i].media_type))
            return err_set(err, EPROTONOSUPPORT,
                           "layer %zu is of type %s, which no container engine unpacks, and its "
                           "config is that of a container image: an artifact has a config of its "
                           "own",
                           i + 1, manifest->layers[i].media_type);
    return 0;
}

int registry_manifest_check(const struct manifest *manifest, struct err *err)
{
    return registry_manifest_artifact_type(manifest) != NULL
               ? check_is_distributable(manifest, err)
               : registry_manifest_check_image(manifest, err);
}

// ---- indexes -----------------------------------------------------------------------------------

static bool copy_field(const json_t *json, const char *key, char *ret_text, size_t text_size)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *text = json_document_text(json, key);
    if (text == NULL)
        return true;
    size_t size = strlen(text);
    if (size >= text_size || strspn(text, letters) != size)
        return false;
    memcpy(ret_text, text, size + 1);
    return true;
}

// A part that is too long, or no name, makes it a platform that nobody can ask for.
static bool parse_platform(const json_t *json, struct registry_platform *platform)
{
    *platform = (struct registry_platform){0};
    if (copy_field(json, "os", platform->os, sizeof(platform->os)) &&
        copy_field(json, "architecture", platform->architecture, sizeof(platform->architecture)) &&
        copy_field(json, "variant", platform->variant, sizeof(platform->variant)))
        return platform->os[0] != '\0' && platform->architecture[0] != '\0';
    *platform = (struct registry_platform){.os = "unknown", .architecture = "unknown"};
    return true;
}

static bool is_index_type(const char *media_type)
{
    return strcmp(media_type, MEDIA_TYPE_OCI_INDEX) == 0 ||
           strcmp(media_type, MEDIA_TYPE_DOCKER_LIST) == 0;
}

static bool is_manifest_type(const char *media_type)
{
    return strcmp(media_type, MEDIA_TYPE_OCI_MANIFEST) == 0 ||
           strcmp(media_type, MEDIA_TYPE_DOCKER_MANIFEST) == 0;
}

static int parse_entry(const json_t *json, size_t number, struct manifest_entry *ret_entry,
                       struct err *err)
{
    char what[32];
    snprintf(what, sizeof(what), "entry %zu", number);
    struct manifest_entry entry = {0};
    int status = parse_descriptor(json, what, true, &entry.descriptor, err);
    if (status < 0)
        return status;
    const json_t *annotations = json_object_get(json, "annotations");
    const char *kind = json_document_text(annotations, "vnd.docker.reference.type");
    const char *about = json_document_text(annotations, "vnd.docker.reference.digest");
    entry.has_platform = parse_platform(json_object_get(json, "platform"), &entry.platform);
    entry.is_attestation = kind != NULL && strcmp(kind, "attestation-manifest") == 0;
    if (about != NULL && registry_digest_is_sha256(about))
        memcpy(entry.about, about, REGISTRY_DIGEST_SIZE);
    entry.is_index = is_index_type(entry.descriptor.media_type);
    *ret_entry = entry;
    return 0;
}

static int parse_index(const json_t *json, struct manifest *manifest, struct err *err)
{
    const json_t *entries = json_object_get(json, "manifests");
    size_t count = json_array_size(entries);
    if (!json_is_array(entries))
        return err_set(err, EPROTO, "it has no list of manifests");
    if (count > MANIFEST_ENTRIES_MAX)
        return err_set(err, EFBIG, "it has %zu entries, more than %d", count, MANIFEST_ENTRIES_MAX);
    manifest->entries = calloc(count + 1, sizeof(*manifest->entries));
    if (manifest->entries == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        int status = parse_entry(json_array_get(entries, i), i + 1, &manifest->entries[i], err);
        if (status < 0)
            return status;
        manifest->entry_count++;
    }
    return 0;
}

bool registry_manifest_is_choosable(const struct manifest_entry *entry)
{
    const char *type = entry->descriptor.media_type;
    return !entry->is_attestation && (entry->is_index || is_manifest_type(type)) &&
           !(entry->has_platform && registry_platform_is_unknown(&entry->platform));
}

static int no_such_platform(const struct manifest *index, const struct registry_platform *platform,
                            struct err *err)
{
    auto_buf struct buf there = BUF_INIT(PLATFORMS_TOLD);
    char text[100];
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct manifest_entry *entry = &index->entries[i];
        if (!registry_manifest_is_choosable(entry) || !entry->has_platform)
            continue;
        registry_platform_format(&entry->platform, text);
        buf_printf(&there, "%s%s", there.size > 0 ? ", " : "", text);
    }
    registry_platform_format(platform, text);
    if (there.size == 0)
        return err_set(err, ENOENT, "it has no image of %s, nor of any other platform", text);
    return err_set(err, ENOENT, "it has no image of %s; platform= can be one of: %s%s", text,
                   buf_text(&there), there.is_full ? ", ..." : "");
}

int registry_manifest_choose(const struct manifest *index, const struct registry_platform *platform,
                             size_t *ret_entry, struct err *err)
{
    int best_rank = 0;
    size_t best = 0, silent = 0, silent_count = 0;
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct manifest_entry *entry = &index->entries[i];
        if (!registry_manifest_is_choosable(entry))
            continue;
        if (!entry->has_platform) {
            silent = i;
            silent_count++;
            continue;
        }
        int rank = registry_platform_rank(platform, &entry->platform);
        if (rank > best_rank) {
            best_rank = rank;
            best = i;
        }
    }
    if (best_rank == 0 && silent_count == 1)
        best = silent;
    else if (best_rank == 0)
        return no_such_platform(index, platform, err);
    if (index->entries[best].descriptor.digest[0] == '\0')
        return err_set(err, EPROTONOSUPPORT, "the digest of entry %zu is no sha256", best + 1);
    *ret_entry = best;
    return 0;
}

// ---- any of them -------------------------------------------------------------------------------

// What the document is. Only a document that says nothing of itself is taken for what the
// server says it is, and failing that for what it looks like.
static const char *media_type_of(const json_t *json, const char *content_type)
{
    const char *own = json_document_text(json, "mediaType");
    if (own != NULL && own[0] != '\0')
        return own;
    if (content_type != NULL && (is_index_type(content_type) || is_manifest_type(content_type)))
        return content_type;
    return json_object_get(json, "manifests") != NULL ? MEDIA_TYPE_OCI_INDEX
                                                      : MEDIA_TYPE_OCI_MANIFEST;
}

static int parse_document(const json_t *json, const char *content_type, struct manifest *manifest,
                          struct err *err)
{
    uint64_t version = 0;
    bool has_version = json_document_size(json, "schemaVersion", &version);
    const char *type = media_type_of(json, content_type);
    if ((has_version && version == 1) ||
        has_prefix(type, "application/vnd.docker.distribution.manifest.v1"))
        return err_set(err, EPROTONOSUPPORT,
                       "it is of schema 1, which was given up in 2017: push the image again with "
                       "any docker of today");
    if (!has_version || version != 2)
        return err_set(err, EPROTO, "it has no schemaVersion 2: it is no image manifest");
    // CVE-2021-41190: what is an index to one reader must not be an image to another.
    bool has_entries = json_object_get(json, "manifests") != NULL;
    bool has_image =
        json_object_get(json, "layers") != NULL || json_object_get(json, "config") != NULL;
    if (has_entries && has_image)
        return err_set(err, EPROTO, "it is an index and an image at once");
    manifest->is_index = is_index_type(type);
    if (!manifest->is_index && !is_manifest_type(type))
        return err_set(err, EPROTONOSUPPORT, "it is a %.255s, no container image", type);
    manifest->media_type = strdup(type);
    const char *artifact_type = json_document_text(json, "artifactType");
    bool is_artifact = artifact_type != NULL && is_media_type(artifact_type);
    if (is_artifact)
        manifest->artifact_type = strdup(artifact_type);
    if (manifest->media_type == NULL || (is_artifact && manifest->artifact_type == NULL) ||
        registry_provenance_take_labels(&manifest->provenance,
                                        json_object_get(json, "annotations")) < 0)
        return err_no_memory(err);
    return manifest->is_index ? parse_index(json, manifest, err) : parse_image(json, manifest, err);
}

int registry_manifest_parse(const char *bytes, size_t size, const char *content_type,
                            struct manifest *ret_manifest, struct err *err)
{
    struct manifest manifest = {0};
    auto_json json_t *json = json_document_parse(bytes, size, true, "it", err);
    if (json == NULL)
        return -err->errnum;
    char *type = content_type == NULL ? NULL : strndup(content_type, strcspn(content_type, "; \t"));
    if (content_type != NULL && type == NULL)
        return err_no_memory(err);
    int status = parse_document(json, type, &manifest, err);
    free(type);
    if (status < 0) {
        registry_manifest_done(&manifest);
        return status;
    }
    *ret_manifest = manifest;
    return 0;
}

// ---- configs -----------------------------------------------------------------------------------

void registry_config_done(struct image_config *config)
{
    registry_provenance_done(&config->provenance);
    *config = (struct image_config){0};
}

int registry_config_parse(const char *bytes, size_t size, struct image_config *ret_config,
                          struct err *err)
{
    struct image_config config = {0};
    auto_json json_t *json = json_document_parse(bytes, size, false, "its config", err);
    if (json == NULL)
        return -err->errnum;
    const json_t *diff_ids = json_object_get(json_object_get(json, "rootfs"), "diff_ids");
    if (!json_is_array(diff_ids) && !json_is_null(diff_ids))
        return err_set(err, EPROTO, "its config has no rootfs.diff_ids: no engine would load it");
    config.diff_id_count = json_array_size(diff_ids);
    if (config.diff_id_count > MANIFEST_DIFF_IDS_MAX)
        return err_set(err, EFBIG, "its config has %zu diff_ids, more than %d",
                       config.diff_id_count, MANIFEST_DIFF_IDS_MAX);
    for (size_t i = 0; i < config.diff_id_count; i++) {
        const char *diff_id = json_string_value(json_array_get(diff_ids, i));
        if (diff_id == NULL || !registry_digest_is_wellformed(diff_id))
            return err_set(err, EPROTO, "diff_id %zu of its config is no digest", i + 1);
    }
    if (!parse_platform(json, &config.platform))
        config.platform = (struct registry_platform){0};
    const json_t *labels = json_object_get(json_object_get(json, "config"), "Labels");
    if (registry_provenance_take_labels(&config.provenance, labels) < 0) {
        registry_config_done(&config);
        return err_no_memory(err);
    }
    *ret_config = config;
    return 0;
}
