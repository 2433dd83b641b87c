// Resolving a reference: manifest, through an index where there is one, then the config. What
// the registry says is believed only as far as a digest proves it, from the reference's own
// digest downwards; a tag's manifest is what the registry says it is.
#include "registry.h"

#include "blob.h"
#include "manifest.h"
#include "platform.h"
#include "reference.h"
#include "request.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NESTED_INDEXES_MAX = 3 }; // indexes in indexes that are followed

// A manifest or index as it came.
struct document {
    char *bytes;
    size_t size;
    char *content_type; // NULL where the answer had none
    char digest[REGISTRY_DIGEST_SIZE];
};

static void document_done(struct document *document)
{
    free(document->bytes);
    free(document->content_type);
    *document = (struct document){0};
}

void registry_image_free(struct registry_image *image)
{
    if (image == NULL)
        return;
    registry_reference_done(&image->reference);
    for (size_t i = 0; i < image->layer_count; i++)
        free(image->layers[i].media_type);
    free(image->layers);
    free(image->manifest.media_type);
    free(image->config.media_type);
    free(image->manifest_bytes);
    free(image->config_bytes);
    free(image);
}
DEFINE_SCOPE_CLEANUP(image, struct registry_image, registry_image_free)

// ---- documents ---------------------------------------------------------------------------------

static void digest_of(const char *bytes, size_t size, char ret_digest[REGISTRY_DIGEST_SIZE])
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex_of(bytes, size, hex);
    snprintf(ret_digest, REGISTRY_DIGEST_SIZE, "sha256:%s", hex);
}

// `digest`: what was asked for, NULL for a tag; then the answer's own header is compared, so that
// bytes that were mangled on their way show.
static int check_document(const struct document *document, const char *digest,
                          const struct http_response *response, struct err *err)
{
    const char *said = http_response_header(response, "docker-content-digest");
    const char *expected = digest;
    if (expected == NULL && said != NULL && registry_digest_is_sha256(said))
        expected = said;
    if (expected == NULL || strcmp(document->digest, expected) == 0)
        return 0;
    return err_set(err, EBADMSG, "the bytes that came for the manifest %s are others: they are %s",
                   expected, document->digest);
}

static int fetch_once(struct registry_client *client, struct call *call,
                      const struct registry_reference *reference, const char *digest,
                      struct document *ret_document, struct err *err)
{
    auto_free char *path = NULL;
    if (asprintf(&path, "manifests/%s", digest != NULL ? digest : reference->tag) < 0) {
        path = NULL;
        return err_no_memory(err);
    }
    const struct registry_request request = {
        .method = "GET",
        .reference = reference,
        .path = path,
        .accept = MANIFEST_ACCEPT,
        .body_limit = REGISTRY_MANIFEST_LIMIT,
    };
    auto_http_response struct http_response response = {0};
    AUTO(document_done) struct document document = {0};
    int status = registry_request_perform(client, call, &request, &response, err);
    if (status < 0)
        return status;
    const char *type = http_response_header(&response, "content-type");
    document.size = response.body.size;
    document.bytes = buf_take(&response.body);
    document.content_type = type == NULL ? NULL : strdup(type);
    if (document.bytes == NULL || (type != NULL && document.content_type == NULL))
        return err_no_memory(err);
    digest_of(document.bytes, document.size, document.digest);
    status = check_document(&document, digest, &response, err);
    if (status < 0)
        return status;
    *ret_document = document;
    document = (struct document){0};
    return 0;
}

static int fetch_document(struct registry_client *client, struct call *call,
                          const struct registry_reference *reference, const char *digest,
                          struct document *ret_document, struct err *err)
{
    int status = fetch_once(client, call, reference, digest, ret_document, err);
    if (status == -EBADMSG) {
        err->is_retryable = true;
        err->retry_after_ms = -1;
        if (call_should_retry(call, 1, err))
            status = fetch_once(client, call, reference, digest, ret_document, err);
    }
    if (status == -ENOENT)
        err_wrap(err, strcmp(err->code, "NAME_UNKNOWN") == 0 ? "no such repository"
                      : digest != NULL                       ? "no such digest"
                                                             : "no such tag");
    return status < 0 ? -err->errnum : 0;
}

static int fetch_entry(struct registry_client *client, struct call *call,
                       const struct registry_reference *reference,
                       const struct registry_descriptor *descriptor, struct document *ret_document,
                       struct err *err)
{
    AUTO(document_done) struct document document = {0};
    if (descriptor->size_bytes > REGISTRY_MANIFEST_LIMIT)
        return err_set(err, EFBIG,
                       "its manifest %s is said to have %" PRIu64 " bytes, more than %d",
                       descriptor->digest, descriptor->size_bytes, REGISTRY_MANIFEST_LIMIT);
    int status = fetch_document(client, call, reference, descriptor->digest, &document, err);
    if (status < 0)
        return err_wrap(err, "its manifest %s", descriptor->digest);
    if (document.size != descriptor->size_bytes)
        return err_set(err, EBADMSG, "its manifest %s has %zu bytes, its index says %" PRIu64,
                       descriptor->digest, document.size, descriptor->size_bytes);
    // The server's word for what it is counts less than the index's, which a digest vouches for.
    free(document.content_type);
    document.content_type = strdup(descriptor->media_type);
    if (document.content_type == NULL)
        return err_no_memory(err);
    *ret_document = document;
    document = (struct document){0};
    return 0;
}

// ---- an image ----------------------------------------------------------------------------------

struct resolution {
    struct document document; // of the image's manifest, in the end
    struct manifest manifest;
    char source_digest[REGISTRY_DIGEST_SIZE];
    struct registry_platform platform; // that the index says; os "" where none does
};

static void resolution_done(struct resolution *resolution)
{
    document_done(&resolution->document);
    registry_manifest_done(&resolution->manifest);
}

static int parse_document(struct resolution *resolution, struct err *err)
{
    registry_manifest_done(&resolution->manifest);
    return registry_manifest_parse(resolution->document.bytes, resolution->document.size,
                                   resolution->document.content_type, &resolution->manifest, err);
}

// From an index to the manifest of the platform.
static int descend(struct registry_client *client, struct call *call,
                   const struct registry_reference *reference,
                   const struct registry_platform *platform, struct resolution *resolution,
                   struct err *err)
{
    size_t chosen;
    int status = registry_manifest_choose(&resolution->manifest, platform, &chosen, err);
    if (status < 0)
        return status;
    const struct manifest_entry *entry = &resolution->manifest.entries[chosen];
    struct document document;
    status = fetch_entry(client, call, reference, &entry->descriptor, &document, err);
    if (status < 0)
        return status;
    if (entry->has_platform)
        resolution->platform = entry->platform;
    document_done(&resolution->document);
    resolution->document = document;
    return parse_document(resolution, err);
}

static int find_manifest(struct registry_client *client, struct call *call,
                         const struct registry_reference *reference,
                         const struct registry_platform *platform, struct resolution *resolution,
                         struct err *err)
{
    int status =
        fetch_document(client, call, reference, reference->digest, &resolution->document, err);
    if (status < 0)
        return status;
    memcpy(resolution->source_digest, resolution->document.digest, REGISTRY_DIGEST_SIZE);
    status = parse_document(resolution, err);
    for (int depth = 1; status == 0 && resolution->manifest.is_index; depth++) {
        if (depth > NESTED_INDEXES_MAX)
            return err_set(err, EPROTO, "its index holds indexes more than %d deep",
                           NESTED_INDEXES_MAX);
        status = descend(client, call, reference, platform, resolution, err);
    }
    return status < 0 ? status : registry_manifest_check_image(&resolution->manifest, err);
}

// Moves what was resolved into the image.
static void take_manifest(struct resolution *resolution, struct registry_image *image)
{
    struct manifest *manifest = &resolution->manifest;
    memcpy(image->source_digest, resolution->source_digest, REGISTRY_DIGEST_SIZE);
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
    if (has_own && !was_said && registry_platform_rank(wanted, own) == 0) {
        char is[100], asked[100];
        registry_platform_format(own, is);
        registry_platform_format(wanted, asked);
        return err_set(err, ENOENT, "it has no image of %s, it is one of %s: platform=%s takes it",
                       asked, is, is);
    }
    if (has_own && was_said && own->variant[0] == '\0' && strcmp(own->os, said->os) == 0 &&
        strcmp(own->architecture, said->architecture) == 0)
        image->platform = *said;
    return 0;
}

static int fetch_config(struct registry_client *client, struct call *call,
                        struct registry_image *image, const struct registry_platform *said,
                        const struct registry_platform *wanted, struct err *err)
{
    struct image_config config;
    int status = registry_blob_fetch(client, call, &image->reference, &image->config,
                                     REGISTRY_CONFIG_LIMIT, &image->config_bytes, err);
    if (status < 0)
        return err_wrap(err, "its config");
    status = registry_config_parse(image->config_bytes, image->config.size_bytes, &config, err);
    if (status < 0)
        return status;
    if (config.diff_id_count != image->layer_count)
        return err_set(err, EPROTO,
                       "its manifest has %zu layers and its config %zu: no engine would load it",
                       image->layer_count, config.diff_id_count);
    return settle_platform(image, &config, said, wanted, err);
}

int registry_image_resolve(struct registry_client *client, struct call *call,
                           const struct registry_reference *reference,
                           const struct registry_platform *platform,
                           struct registry_image **ret_image, struct err *err)
{
    AUTO(resolution_done) struct resolution resolution = {0};
    AUTO(image_scope) struct registry_image *image = calloc(1, sizeof(*image));
    if (image == NULL || registry_reference_copy(reference, &image->reference) < 0)
        return err_no_memory(err);
    int status = find_manifest(client, call, reference, platform, &resolution, err);
    if (status == 0) {
        take_manifest(&resolution, image);
        status = fetch_config(client, call, image, &resolution.platform, platform, err);
    }
    if (status < 0)
        return err_wrap(err, "%s", reference->text);
    *ret_image = TAKE(image);
    return 0;
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
        AUTO(document_done) struct document document = {0};
        status = fetch_document(client, call, reference, NULL, &document, err);
        if (status == 0)
            memcpy(ret_digest, document.digest, REGISTRY_DIGEST_SIZE);
    }
    return status < 0 ? err_wrap(err, "%s", reference->text) : 0;
}
