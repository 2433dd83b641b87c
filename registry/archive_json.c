#include "registry/archive_json.h"

#include "registry/manifest.h"

#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

static const struct registry_descriptor *published(const struct registry_image *image)
{
    return image->is_multi_platform ? &image->index->descriptor : &image->manifest;
}

// The image under its name; NULL on no memory.
static json_t *image_entry(const struct registry_image *image, const char *tag)
{
    auto_free char *full_name = archive_json_full_name(tag);
    if (!full_name)
        return NULL;
    const struct registry_descriptor *named = published(image);
    auto_json json_t *descriptor = json_pack(
        "{s:s,s:s,s:I,s:{s:s,s:s}}", "mediaType", named->media_type, "digest", named->digest,
        "size", (json_int_t)named->size_bytes, "annotations", "io.containerd.image.name", full_name,
        "org.opencontainers.image.ref.name", full_name);
    if (!image->is_multi_platform && add_platform(descriptor, &image->platform) != 0)
        return NULL;
    return TAKE(descriptor);
}

static int index_of(json_t *entries, char **ret_text, struct err *err)
{
    auto_json json_t *index =
        json_pack("{s:i,s:s,s:O}", "schemaVersion", 2, "mediaType",
                  "application/vnd.oci.image.index.v1+json", "manifests", entries);
    return text_of(index, ret_text, err);
}

int archive_json_index(const struct registry_image *image, const char *tag, char **ret_text,
                       struct err *err)
{
    int r = tag_check(tag, err);
    if (r != 0)
        return r;
    auto_json json_t *entries = json_pack("[o]", image_entry(image, tag));
    if (!entries)
        return err_no_memory(err);
    return index_of(entries, ret_text, err);
}

// ---- referrers ---------------------------------------------------------------------------------

static bool is_about(const struct registry_referrer *referrer, const char *digest)
{
    return strcmp(referrer->subject, digest) == 0;
}

// What cosign is to take for the image: the first that has a signature, else that has anything.
static const char *main_subject(const struct registry_referrers *referrers)
{
    for (size_t i = 0; i < referrers->count; i++)
        if (referrers->list[i].kind == REGISTRY_SIGNATURE)
            return referrers->list[i].subject;
    return referrers->list[0].subject;
}

static bool has_tagged(const struct registry_referrers *referrers, const char *subject)
{
    for (size_t i = 0; i < referrers->count; i++)
        if (referrers->list[i].tag[0] != '\0' && is_about(&referrers->list[i], subject))
            return true;
    return false;
}

static int annotate(json_t *entry, const char *name, const char *value)
{
    json_t *annotations = json_object_get(entry, "annotations");
    if (!annotations && (json_object_set_new(entry, "annotations", json_object()) != 0 ||
                         !(annotations = json_object_get(entry, "annotations"))))
        return -ENOMEM;
    return json_object_set_new(annotations, name, json_string(value)) == 0 ? 0 : -ENOMEM;
}

struct entries {
    json_t *list;
    const struct registry_referrers *referrers;
    const char *main; // the image, to cosign
};

// Takes the entry over, which may be NULL. cosign 3 finds bundles only about what is said to be an
// image, be it an index; what is tagged about an index, cosign of any version wants called one.
static int add_subject(struct entries *entries, json_t *taken,
                       const struct registry_descriptor *descriptor)
{
    auto_json json_t *entry = taken;
    if (!entry)
        return -ENOMEM;
    bool is_index = strcmp(descriptor->media_type, MEDIA_TYPE_OCI_INDEX) == 0 ||
                    strcmp(descriptor->media_type, MEDIA_TYPE_DOCKER_LIST) == 0;
    const char *kind = is_index && has_tagged(entries->referrers, descriptor->digest)
                           ? "dev.cosignproject.cosign/imageIndex"
                           : "dev.cosignproject.cosign/image";
    if (strcmp(descriptor->digest, entries->main) == 0 && annotate(entry, "kind", kind) < 0)
        return -ENOMEM;
    return json_array_append(entries->list, entry) == 0 ? 0 : -ENOMEM;
}

static json_t *plain_entry(const struct registry_descriptor *descriptor)
{
    return json_pack("{s:s,s:s,s:I}", "mediaType", descriptor->media_type, "digest",
                     descriptor->digest, "size", (json_int_t)descriptor->size_bytes);
}

static int add_subjects(struct entries *entries, const struct registry_image *image,
                        const char *tag)
{
    const struct registry_descriptor *named = published(image);
    if (add_subject(entries, image_entry(image, tag), named) < 0)
        return -ENOMEM;
    for (size_t i = image->index_count; i > 0; i--) {
        const struct registry_descriptor *index = &image->indexes[i - 1].descriptor;
        if (strcmp(index->digest, named->digest) != 0 &&
            add_subject(entries, plain_entry(index), index) < 0)
            return -ENOMEM;
    }
    // Of a platform's manifest, which its index names, only where it is what was signed.
    for (size_t i = 0; image->is_multi_platform && i <= image->other_count; i++) {
        const struct registry_descriptor *each =
            i == 0 ? &image->manifest : &image->others[i - 1]->manifest;
        if (strcmp(each->digest, entries->main) == 0 &&
            add_subject(entries, plain_entry(each), each) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_referrer(struct entries *entries, const struct registry_referrer *referrer,
                        const char *repository)
{
    auto_json json_t *entry = plain_entry(&referrer->manifest);
    auto_free char *name = NULL;
    if (!entry ||
        (referrer->artifact_type &&
         json_object_set_new(entry, "artifactType", json_string(referrer->artifact_type)) != 0))
        return -ENOMEM;
    if (referrer->tag[0] != '\0') {
        if (asprintf(&name, "%s:%s", repository, referrer->tag) < 0) {
            name = NULL;
            return -ENOMEM;
        }
        bool is_main = is_about(referrer, entries->main);
        const char *kind =
            is_main && referrer->kind == REGISTRY_SIGNATURE     ? "dev.cosignproject.cosign/sigs"
            : is_main && referrer->kind == REGISTRY_ATTESTATION ? "dev.cosignproject.cosign/atts"
                                                                : NULL;
        if ((kind && annotate(entry, "kind", kind) < 0) ||
            annotate(entry, "org.opencontainers.image.ref.name", name) < 0)
            return -ENOMEM;
    }
    return json_array_append(entries->list, entry) == 0 ? 0 : -ENOMEM;
}

int archive_json_referrers(const struct registry_image *image,
                           const struct registry_referrers *referrers, const char *tag,
                           char **ret_text, struct err *err)
{
    int r = tag_check(tag, err);
    if (r != 0)
        return r;
    auto_json json_t *list = json_array();
    auto_free char *full_name = archive_json_full_name(tag);
    if (!list || !full_name)
        return err_no_memory(err);
    *strrchr(full_name, ':') = '\0'; // the repository that docker load names it by
    struct entries entries = {list, referrers, main_subject(referrers)};
    if (add_subjects(&entries, image, tag) < 0)
        return err_no_memory(err);
    for (size_t i = 0; i < referrers->count; i++)
        if (add_referrer(&entries, &referrers->list[i], full_name) < 0)
            return err_no_memory(err);
    return index_of(list, ret_text, err);
}

// ---- docker save -------------------------------------------------------------------------------

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
