// Resolving a reference: manifest, through an index where there is one, then the config. What
// the registry says is believed only as far as a digest proves it, from the reference's own
// digest downwards; a tag's manifest is what the registry says it is.
#include "image_private.h"

#include "blob.h"
#include "platform.h"
#include "reference.h"
#include "request.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// NOLINTNEXTLINE(misc-no-recursion): others have no others
void registry_image_free(struct registry_image *image)
{
    if (image == NULL)
        return;
    registry_reference_done(&image->reference);
    registry_provenance_done(&image->provenance);
    for (size_t i = 0; i < image->layer_count; i++)
        free(image->layers[i].media_type);
    free(image->layers);
    free(image->manifest.media_type);
    free(image->config.media_type);
    free(image->manifest_bytes);
    free(image->config_bytes);
    free(image->artifact_type);
    for (size_t i = 0; i < image->other_count; i++)
        registry_image_free(image->others[i]);
    free(image->others);
    for (size_t i = 0; i < image->index_count; i++) {
        free(image->indexes[i].descriptor.media_type);
        free(image->indexes[i].bytes);
    }
    free(image);
}
DEFINE_SCOPE_CLEANUP(image, struct registry_image, registry_image_free)

// ---- an image ----------------------------------------------------------------------------------

void registry_resolution_done(struct resolution *resolution)
{
    registry_document_done(&resolution->document);
    registry_manifest_done(&resolution->manifest);
}

int registry_resolution_enter(struct registry_client *client, struct call *call,
                              const struct registry_reference *reference,
                              const struct manifest_entry *entry, struct resolution *ret_resolution,
                              struct err *err)
{
    struct resolution resolution = {0};
    int status = registry_document_fetch_entry(client, call, reference, &entry->descriptor,
                                               &resolution.document, err);
    if (status < 0)
        return status;
    if (entry->has_platform)
        resolution.platform = entry->platform;
    status = registry_manifest_parse(resolution.document.bytes, resolution.document.size,
                                     resolution.document.content_type, &resolution.manifest, err);
    if (status < 0) {
        registry_resolution_done(&resolution);
        return status;
    }
    *ret_resolution = resolution;
    return 0;
}

static int enter_reference(struct registry_client *client, struct call *call,
                           const struct registry_reference *reference,
                           struct resolution *resolution, struct err *err)
{
    struct document *document = &resolution->document;
    int status = registry_document_fetch(client, call, reference, reference->digest, document, err);
    if (status < 0)
        return status;
    return registry_manifest_parse(document->bytes, document->size, document->content_type,
                                   &resolution->manifest, err);
}

static void keep_index(struct resolution *index, struct registry_image *image)
{
    struct registry_index *kept = &image->indexes[image->index_count++];
    memcpy(kept->descriptor.digest, index->document.digest, REGISTRY_DIGEST_SIZE);
    kept->descriptor.size_bytes = index->document.size;
    kept->descriptor.media_type = TAKE(index->manifest.media_type);
    kept->bytes = TAKE(index->document.bytes);
}

// From an index to the manifest of the platform. *index is the last index on the way, empty where
// there was none; the bytes of all are the image's.
static int descend(struct registry_client *client, struct call *call,
                   const struct registry_platform *platform, struct resolution *index,
                   struct resolution *resolution, struct registry_image *image, struct err *err)
{
    const struct registry_reference *reference = &image->reference;
    for (int depth = 1; resolution->manifest.is_index; depth++) {
        size_t chosen;
        if (depth > REGISTRY_INDEXES_MAX)
            return err_set(err, EPROTO, "its index holds indexes more than %d deep",
                           REGISTRY_INDEXES_MAX);
        registry_resolution_done(index);
        *index = *resolution;
        *resolution = (struct resolution){0};
        keep_index(index, image);
        if (registry_manifest_choose(&index->manifest, platform, &chosen, err) < 0 ||
            registry_resolution_enter(client, call, reference, &index->manifest.entries[chosen],
                                      resolution, err) < 0)
            return -err->errnum;
        if (resolution->platform.os[0] == '\0')
            resolution->platform = index->platform;
    }
    return registry_manifest_check(&resolution->manifest, err);
}

// Moves what was resolved into the image.
static void take_manifest(struct resolution *resolution, struct registry_image *image)
{
    struct manifest *manifest = &resolution->manifest;
    memcpy(image->manifest.digest, resolution->document.digest, REGISTRY_DIGEST_SIZE);
    image->manifest.size_bytes = resolution->document.size;
    image->manifest.media_type = TAKE(manifest->media_type);
    image->manifest_bytes = TAKE(resolution->document.bytes);
    image->is_docker_schema2 = strcmp(image->manifest.media_type, MEDIA_TYPE_DOCKER_MANIFEST) == 0;
    image->config = manifest->config;
    manifest->config = (struct registry_descriptor){0};
    image->layers = TAKE(manifest->layers);
    image->layer_count = manifest->layer_count;
    manifest->layer_count = 0;
    for (size_t i = 0; i < image->layer_count; i++)
        if (image->layers[i].compression == REGISTRY_COMPRESSION_ZSTD)
            image->has_zstd_layers = true;
}

// The config's word, with the index's variant where the config has none (arm images often lack
// it), and what was asked for where neither says anything.
static int settle_platform(struct registry_image *image, const struct image_config *config,
                           const struct registry_platform *said,
                           const struct registry_platform *wanted, struct err *err)
{
    const struct registry_platform *own = &config->platform;
    bool has_own = own->os[0] != '\0', was_said = said->os[0] != '\0';
    image->platform = has_own ? *own : was_said ? *said : *wanted;
    if (has_own && !was_said && wanted->os[0] != '\0' && registry_platform_rank(wanted, own) == 0) {
        char is[100], asked[100];
        registry_platform_format(own, is);
        registry_platform_format(wanted, asked);
        return err_set(err, ENOENT, "it has no image of %s, it is one of %s: platform=%s takes it",
                       asked, is, is);
    }
    if (has_own && was_said && own->variant[0] == '\0' && strcmp(own->os, said->os) == 0 &&
        strcmp(own->architecture, said->architecture) == 0)
        image->platform = *said;
    if (registry_platform_is_unknown(&image->platform) && was_said)
        image->platform = *said;
    if (registry_platform_is_unknown(&image->platform))
        return err_set(err, EPROTO, "its config names no platform that any engine knows");
    if (image->platform.os[0] == '\0') // nobody says, nobody asked
        image->platform = (struct registry_platform){.os = "linux", .architecture = "amd64"};
    return 0;
}

int registry_image_load(struct registry_client *client, struct call *call,
                        const struct registry_reference *reference, struct resolution *resolution,
                        const struct registry_platform *wanted, struct registry_image *image,
                        struct err *err)
{
    AUTO(registry_config_done) struct image_config config = {0};
    const char *artifact_type = registry_manifest_artifact_type(&resolution->manifest);
    if (artifact_type != NULL && (image->artifact_type = strdup(artifact_type)) == NULL)
        return err_no_memory(err);
    take_manifest(resolution, image);
    int status = registry_blob_fetch(client, call, reference, &image->config, REGISTRY_CONFIG_LIMIT,
                                     &image->config_bytes, err);
    if (status < 0)
        return err_wrap(err, "its config");
    if (image->artifact_type != NULL)
        image->platform = resolution->platform; // an index's word, if any
    if (wanted == NULL || image->artifact_type != NULL)
        return registry_provenance_take(&image->provenance, &resolution->manifest.provenance) < 0
                   ? err_no_memory(err)
                   : 0;
    status = registry_config_parse(image->config_bytes, image->config.size_bytes, &config, err);
    if (status < 0)
        return status;
    if (config.diff_id_count != image->layer_count)
        return err_set(err, EPROTO,
                       "its manifest has %zu layers and its config %zu: no engine would load it",
                       image->layer_count, config.diff_id_count);
    if (registry_provenance_take(&image->provenance, &config.provenance) < 0 ||
        registry_provenance_take(&image->provenance, &resolution->manifest.provenance) < 0)
        return err_no_memory(err);
    return settle_platform(image, &config, &resolution->platform, wanted, err);
}

// Several platforms are taken from one index, which goes along.
static int check_is_flat(const struct manifest *index, struct err *err)
{
    for (size_t i = 0; i < index->entry_count; i++)
        if (index->entries[i].is_index)
            return err_set(err, EPROTONOSUPPORT,
                           "entry %zu of its index is an index itself: name one platform, as in "
                           "platform=linux/amd64, and publish the others under names of their own",
                           i + 1);
    return 0;
}

// The one that docker gets: of platform=all linux/amd64, as bytes may not depend on the mount; of
// an image that has none of that, the first there is; of one that has no index, whatever it is.
static const struct registry_platform *main_platform(const struct registry_platforms *platforms,
                                                     const struct manifest *index)
{
    static const struct registry_platform usual = {.os = "linux", .architecture = "amd64"};
    static const struct registry_platform any = {.os = ""};
    struct err ignored;
    size_t chosen;
    if (!platforms->is_all)
        return &platforms->list[0];
    if (!index->is_index)
        return &any;
    if (registry_manifest_choose(index, &usual, &chosen, &ignored) == 0)
        return &usual;
    for (size_t i = 0; i < index->entry_count; i++)
        if (registry_manifest_is_choosable(&index->entries[i]) && index->entries[i].has_platform)
            return &index->entries[i].platform;
    return &usual;
}

static int resolve(struct registry_client *client, struct call *call,
                   const struct registry_platforms *platforms, struct registry_image *image,
                   struct err *err)
{
    const struct registry_reference *reference = &image->reference;
    AUTO(registry_resolution_done) struct resolution resolution = {0};
    AUTO(registry_resolution_done) struct resolution index = {0};
    if (enter_reference(client, call, reference, &resolution, err) < 0)
        return -err->errnum;
    memcpy(image->source_digest, resolution.document.digest, REGISTRY_DIGEST_SIZE);
    if (platforms->count != 1 && check_is_flat(&resolution.manifest, err) < 0)
        return -err->errnum;
    struct registry_platform platform = *main_platform(platforms, &resolution.manifest);
    if (descend(client, call, &platform, &index, &resolution, image, err) < 0)
        return -err->errnum;
    if (registry_image_load(client, call, reference, &resolution, &platform, image, err) < 0)
        return -err->errnum;
    if (registry_provenance_take(&image->provenance, &index.manifest.provenance) < 0)
        return err_no_memory(err);
    if (index.manifest.is_index)
        return registry_image_add_others(client, call, platforms, &index, image, err);
    char text[100];
    registry_platform_format(&image->platform, text);
    return platforms->count > 1 && image->artifact_type == NULL
               ? err_set(err, ENOENT, "it has one image, of %s: platform=%s takes it", text, text)
               : 0;
}

static int list_platforms(struct registry_image *image, struct err *err)
{
    char *end = image->platforms, platform[100];
    for (size_t i = 0; i <= image->other_count; i++) {
        const struct registry_image *each = i == 0 ? image : image->others[i - 1];
        if (each->is_attestation)
            continue;
        if (each->platform.os[0] == '\0')
            snprintf(platform, sizeof(platform), REGISTRY_NO_PLATFORM);
        else
            registry_platform_format(&each->platform, platform);
        size_t left = sizeof(image->platforms) - (size_t)(end - image->platforms);
        if (strlen(platform) + 2 > left)
            return err_set(err, EFBIG, "its platforms are too many: name those that are wanted");
        end += snprintf(end, left, "%s%s", i == 0 ? "" : ",", platform);
    }
    return 0;
}

int registry_image_resolve(struct registry_client *client, struct call *call,
                           const struct registry_reference *reference,
                           const struct registry_platforms *platforms,
                           struct registry_image **ret_image, struct err *err)
{
    AUTO(image_scope) struct registry_image *image = calloc(1, sizeof(*image));
    if (image == NULL || registry_reference_copy(reference, &image->reference) < 0)
        return err_no_memory(err);
    if (resolve(client, call, platforms, image, err) < 0 || list_platforms(image, err) < 0)
        return err_wrap(err, "%s", reference->text);
    *ret_image = TAKE(image);
    return 0;
}

const char *registry_image_digest(const struct registry_image *image)
{
    return image->is_multi_platform ? image->index->descriptor.digest : image->manifest.digest;
}

// ---- digests alone -----------------------------------------------------------------------------

// -ENOENT also where the registry answers without a digest, or does not know HEAD.
static int head_digest(struct registry_client *client, struct call *call,
                       const struct registry_reference *reference,
                       char ret_digest[REGISTRY_DIGEST_SIZE], struct err *err)
{
    auto_http_response struct http_response response = {0};
    auto_free char *path = NULL;
    if (asprintf(&path, "manifests/%s", reference->tag) < 0) {
        path = NULL;
        return err_no_memory(err);
    }
    const struct registry_request request = {
        .method = "HEAD",
        .reference = reference,
        .path = path,
        .accept = MANIFEST_ACCEPT,
    };
    int status = registry_request_perform(client, call, &request, &response, err);
    if (status < 0)
        return status;
    const char *digest = http_response_header(&response, "docker-content-digest");
    if (digest == NULL || !registry_digest_is_sha256(digest))
        return err_set(err, ENOENT, "an answer without a digest");
    memcpy(ret_digest, digest, REGISTRY_DIGEST_SIZE);
    return 0;
}

int registry_digest_resolve(struct registry_client *client, struct call *call,
                            const struct registry_reference *reference,
                            char ret_digest[REGISTRY_DIGEST_SIZE], struct err *err)
{
    if (reference->digest != NULL) {
        memcpy(ret_digest, reference->digest, REGISTRY_DIGEST_SIZE);
        return 0;
    }
    int status = head_digest(client, call, reference, ret_digest, err);
    // A refused HEAD says little (no body); the GET says why, or succeeds where HEAD is not known.
    if (status == -ENOENT || status == -EPROTO) {
        AUTO(registry_document_done) struct document document = {0};
        status = registry_document_fetch(client, call, reference, NULL, &document, err);
        if (status == 0)
            memcpy(ret_digest, document.digest, REGISTRY_DIGEST_SIZE);
    }
    return status < 0 ? err_wrap(err, "%s", reference->text) : 0;
}
