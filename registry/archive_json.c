#include "registry/archive_json.h"

#include "base/scope.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void json_scope(json_t **value)
{
    json_decref(*value);
}
#define auto_json AUTO(json_scope)

int archive_blob_name(const char *digest, char ret_name[ARCHIVE_BLOB_NAME_SIZE], struct err *err)
{
    static const char algorithm[] = "sha256:";
    size_t prefix = sizeof(algorithm) - 1;
    if (strncmp(digest, algorithm, prefix) != 0 || strlen(digest + prefix) != 64 ||
        strspn(digest + prefix, "0123456789abcdef") != 64)
        return err_set(err, EPROTONOSUPPORT,
                       "the image names a blob by '%.80s'; only sha256 digests are supported",
                       digest);
    snprintf(ret_name, ARCHIVE_BLOB_NAME_SIZE, "blobs/sha256/%s", digest + prefix);
    return 0;
}

// The rule of github.com/distribution/reference: what stands before the first '/' is a host only
// if it could not be the first part of a path.
static bool begins_with_host(const char *tag, size_t first_size)
{
    if (first_size == strlen("localhost") && memcmp(tag, "localhost", first_size) == 0)
        return true;
    for (size_t i = 0; i < first_size; i++) {
        if (tag[i] == '.' || tag[i] == ':' || (tag[i] >= 'A' && tag[i] <= 'Z'))
            return true;
    }
    return false;
}

char *archive_json_full_name(const char *tag)
{
    const char *host = "docker.io/";
    const char *path = tag;
    const char *slash = strchr(tag, '/');
    if (slash && begins_with_host(tag, (size_t)(slash - tag))) {
        size_t host_size = (size_t)(slash - tag);
        bool is_docker_hub =
            (host_size == strlen("docker.io") && memcmp(tag, "docker.io", host_size) == 0) ||
            (host_size == strlen("index.docker.io") &&
             memcmp(tag, "index.docker.io", host_size) == 0);
        if (!is_docker_hub)
            return strdup(tag);
        path = slash + 1;
    }
    char *name = NULL;
    const char *library = strchr(path, '/') ? "" : "library/";
    return asprintf(&name, "%s%s%s", host, library, path) < 0 ? NULL : name;
}

// Not json_dumps: jansson 2.14 drops bytes without a word when its buffer cannot grow.
static int text_of(const json_t *value, char **ret_text, struct err *err)
{
    size_t size = value ? json_dumpb(value, NULL, 0, JSON_COMPACT) : 0;
    char *text = size > 0 ? malloc(size + 1) : NULL;
    if (!text)
        return err_no_memory(err);
    if (json_dumpb(value, text, size, JSON_COMPACT) != size) {
        free(text);
        return err_no_memory(err);
    }
    text[size] = '\0';
    *ret_text = text;
    return 0;
}

// Any tag of an image is printable ASCII. jansson would refuse what is no UTF-8, with the same NULL
// that it answers for no memory.
static int tag_check(const char *tag, struct err *err)
{
    const char *colon = strrchr(tag, ':');
    bool is_printable = true;
    for (const char *c = tag; *c != '\0'; c++)
        is_printable = is_printable && *c > ' ' && *c <= '~';
    if (!is_printable || !colon || colon == tag || colon[1] == '\0' || strchr(colon, '/'))
        return err_set(err, EINVAL, "'%s' is no REPOSITORY:TAG", tag);
    return 0;
}

// Sets the descriptor's platform; an image that has none (an artifact) gets none.
static int add_platform(json_t *descriptor, const struct registry_platform *platform)
{
    if (platform->os[0] == '\0' && platform->architecture[0] == '\0')
        return 0;
    auto_json json_t *object =
        json_pack("{s:s,s:s}", "architecture", platform->architecture, "os", platform->os);
    if (platform->variant[0] != '\0' &&
        json_object_set_new(object, "variant", json_string(platform->variant)) != 0)
        return -ENOMEM;
    return json_object_set(descriptor, "platform", object);
}

int archive_json_index(const struct registry_image *image, const char *tag, char **ret_text,
                       struct err *err)
{
    int r = tag_check(tag, err);
    if (r != 0)
        return r;
    auto_free char *full_name = archive_json_full_name(tag);
    if (!full_name)
        return err_no_memory(err);

    const struct registry_descriptor *named =
        image->is_multi_platform ? &image->index : &image->manifest;
    auto_json json_t *descriptor = json_pack(
        "{s:s,s:s,s:I,s:{s:s,s:s}}", "mediaType", named->media_type, "digest", named->digest,
        "size", (json_int_t)named->size_bytes, "annotations", "io.containerd.image.name", full_name,
        "org.opencontainers.image.ref.name", full_name);
    if (!image->is_multi_platform && add_platform(descriptor, &image->platform) != 0)
        return err_no_memory(err);
    auto_json json_t *index =
        json_pack("{s:i,s:s,s:[O]}", "schemaVersion", 2, "mediaType",
                  "application/vnd.oci.image.index.v1+json", "manifests", descriptor);
    return text_of(index, ret_text, err);
}

static int append_blob_name(json_t *names, const char *digest, struct err *err)
{
    char name[ARCHIVE_BLOB_NAME_SIZE];
    int r = archive_blob_name(digest, name, err);
    if (r == 0 && json_array_append_new(names, json_string(name)) != 0)
        r = err_no_memory(err);
    return r;
}

int archive_json_manifest(const struct registry_image *image, const char *tag, char **ret_text,
                          struct err *err)
{
    char config_name[ARCHIVE_BLOB_NAME_SIZE];
    int r = tag_check(tag, err);
    if (r == 0)
        r = archive_blob_name(image->config.digest, config_name, err);
    if (r != 0)
        return r;
    auto_json json_t *layers = json_array();
    for (size_t i = 0; i < image->layer_count; i++) {
        r = append_blob_name(layers, image->layers[i].digest, err);
        if (r != 0)
            return r;
    }
    auto_json json_t *manifest =
        json_pack("[{s:s,s:[s],s:O}]", "Config", config_name, "RepoTags", tag, "Layers", layers);
    return text_of(manifest, ret_text, err);
}
