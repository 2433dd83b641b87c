// Resolving references, against a registry of a few documents that are right or wrong on purpose.
#include "../base/test.h"
#include "fixture.h"
#include "scripted_server.h"

#include "registry/manifest.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENTS_MAX = 32 };

struct document {
    char *name; // "manifests/1", "blobs/sha256:..."
    char *bytes;
    const char *content_type;
    char digest[REGISTRY_DIGEST_SIZE];
};

static struct fixture fixture;
static struct scripted_server *server;
static struct {
    struct document documents[DOCUMENTS_MAX];
    size_t count;
    const char *said_digest; // Docker-Content-Digest of tags; NULL: the right one, "": none
    bool knows_no_head;
    unsigned flips; // manifests that are sent with a flipped byte
} store;

static void answer(void *context, const struct scripted_request *request,
                   struct scripted_reply *reply)
{
    (void)context;
    static char flipped[10000];
    if (strcmp(request->method, "HEAD") == 0 && store.knows_no_head) {
        scripted_reply_text(reply, 405, "");
        return;
    }
    for (size_t i = 0; i < store.count; i++) {
        struct document *document = &store.documents[i];
        if (strcmp(request->target + strlen("/v2/a/b/"), document->name) != 0)
            continue;
        scripted_reply_text(reply, 200, document->bytes);
        if (document->content_type != NULL)
            scripted_reply_header(reply, "Content-Type: %s", document->content_type);
        const char *digest = store.said_digest == NULL ? document->digest : store.said_digest;
        if (digest[0] != '\0')
            scripted_reply_header(reply, "Docker-Content-Digest: %s", digest);
        if (store.flips > 0 && strncmp(document->name, "manifests/", 10) == 0) {
            store.flips--;
            snprintf(flipped, sizeof(flipped), "%s", document->bytes);
            flipped[strlen(flipped) - 1] = ' ';
            reply->body = flipped;
        }
        return;
    }
    scripted_reply_text(reply, 404,
                        "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"unknown\"}]}");
}

static int set_up(void **state)
{
    (void)state;
    memset(&store, 0, sizeof(store));
    server = scripted_server_new(answer, NULL);
    fixture_start(&fixture, NULL);
    return 0;
}

static void clear_store(void)
{
    for (size_t i = 0; i < store.count; i++) {
        free(store.documents[i].name);
        free(store.documents[i].bytes);
    }
    memset(&store, 0, sizeof(store));
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    scripted_server_free(server);
    clear_store();
    return 0;
}

// Stores a document under its digest (and a tag), and answers the digest.
static const char *put(const char *kind, const char *tag, const char *content_type,
                       const char *bytes)
{
    const char *digest = NULL;
    for (int is_tag = 0; is_tag <= (tag ? 1 : 0); is_tag++) {
        assert_true(store.count < DOCUMENTS_MAX);
        struct document *document = &store.documents[store.count++];
        strcpy(document->digest, "sha256:");
        sha256_hex_of(bytes, strlen(bytes), document->digest + 7);
        digest = document->digest;
        document->bytes = strdup(bytes);
        document->content_type = content_type;
        assert_true(asprintf(&document->name, "%s/%s", kind, is_tag ? tag : digest) > 0);
    }
    return digest;
}

#define DIFF_ID "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
#define LAYER                                                                                      \
    "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":" DIFF_ID           \
    ",\"size\":100}"

struct made {
    const char *os_and_architecture; // of the config, as JSON fields with a comma behind
    const char *layers;              // as JSON
    const char *diff_ids;
    const char *config_type;
    const char *manifest_type;
    long config_size_change;
    bool has_no_config; // in the store
};

static const struct made plain_image = {
    .os_and_architecture = "\"os\":\"linux\",\"architecture\":\"amd64\",",
    .layers = LAYER "," LAYER,
    .diff_ids = DIFF_ID "," DIFF_ID,
    .config_type = MEDIA_TYPE_OCI_CONFIG,
    .manifest_type = MEDIA_TYPE_OCI_MANIFEST,
};

static char made_text[8000]; // of the last manifest that was made

static const char *put_image(const char *tag, const struct made *made)
{
    char config[2000], digest[REGISTRY_DIGEST_SIZE] = "sha256:";
    snprintf(config, sizeof(config), "{%s\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
             made->os_and_architecture, made->diff_ids);
    sha256_hex_of(config, strlen(config), digest + 7);
    if (!made->has_no_config)
        put("blobs", NULL, "application/octet-stream", config);
    snprintf(
        made_text, sizeof(made_text),
        "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":"
        "\"%s\",\"size\":%ld},\"layers\":[%s]}",
        made->manifest_type, made->config_type, digest,
        (long)strlen(config) + made->config_size_change, made->layers);
    return put("manifests", tag, made->manifest_type, made_text);
}

static const char *put_index(const char *tag, const char *entries, ...)
    __attribute__((format(printf, 2, 3)));
static const char *put_index(const char *tag, const char *entries, ...)
{
    static char text[8000];
    va_list args;
    va_start(args, entries);
    int size =
        snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[",
                 MEDIA_TYPE_OCI_INDEX);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, on the line above
    vsnprintf(text + size, sizeof(text) - (size_t)size, entries, args);
    va_end(args);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
    return put("manifests", tag, MEDIA_TYPE_OCI_INDEX, text);
}

#define ENTRY "{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu%s}"
#define NESTED "{\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX "\",\"digest\":\"%s\",\"size\":%zu}"
#define PLATFORM(architecture)                                                                     \
    ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" architecture "\"}"

static struct registry_image *image;
static struct err last_err;

static int resolve(const char *path, const char *platform_text)
{
    struct registry_reference reference =
        fixture_reference(scripted_server_authority(server), path);
    struct registry_platforms platforms;
    registry_image_free(image);
    image = NULL;
    last_err = (struct err){0};
    assert_int_equal(registry_platforms_parse(platform_text, &platforms, &last_err), 0);
    int status = registry_image_resolve(fixture.client, &fixture.call, &reference, &platforms,
                                        &image, &last_err);
    if (status < 0) {
        assert_null(image);
        assert_int_equal(last_err.errnum, -status);
        assert_non_null(strstr(last_err.text, reference.text)); // the sentence says of what
    }
    registry_reference_done(&reference);
    return status;
}

#define assert_resolve(path, platform)                                                             \
    do {                                                                                           \
        if (resolve(path, platform) != 0)                                                          \
            fail_msg("%s", last_err.text);                                                         \
    } while (0)
#define assert_refuse(path, platform, errnum, words)                                               \
    do {                                                                                           \
        assert_int_equal(resolve(path, platform), -(errnum));                                      \
        if (strstr(last_err.text, words) == NULL)                                                  \
            fail_msg("'%s' lacks '%s'", last_err.text, words);                                     \
    } while (0)
#define assert_requests(count) assert_int_equal(scripted_server_count(server, ""), count)

static const char *by_digest(const char *digest)
{
    static char path[200];
    snprintf(path, sizeof(path), "a/b@%s", digest);
    return path;
}

static void an_image_by_its_tag(void **state)
{
    (void)state;
    const char *digest = put_image("1", &plain_image);
    assert_resolve("a/b:1", "linux/amd64");
    assert_requests(2); // manifest, config
    assert_string_equal(image->source_digest, digest);
    assert_string_equal(image->manifest.digest, digest);
    assert_string_equal(image->manifest.media_type, MEDIA_TYPE_OCI_MANIFEST);
    assert_string_equal(image->manifest_bytes, made_text);
    assert_int_equal(image->manifest.size_bytes, strlen(made_text));
    assert_int_equal(image->config.size_bytes, strlen(image->config_bytes));
    assert_int_equal(image->layer_count, 2);
    assert_int_equal(image->layers[1].size_bytes, 100);
    assert_int_equal(image->layers[1].compression, REGISTRY_COMPRESSION_GZIP);
    assert_string_equal(image->platform.architecture, "amd64");
    assert_false(image->is_docker_schema2);
    assert_false(image->has_zstd_layers);
}

static void an_image_by_its_digest(void **state)
{
    (void)state;
    const char *digest = put_image(NULL, &plain_image);
    char both[200];
    assert_resolve(by_digest(digest), "linux/amd64");
    snprintf(both, sizeof(both), "a/b:some-name@%s", digest); // the tag need not be there
    assert_resolve(both, "linux/amd64");
    assert_string_equal(image->reference.tag, "some-name");
}

static void a_docker_image(void **state)
{
    (void)state;
    struct made made = plain_image;
    made.manifest_type = MEDIA_TYPE_DOCKER_MANIFEST;
    made.config_type = MEDIA_TYPE_DOCKER_CONFIG;
    made.layers =
        "{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.zstd\",\"digest\":" DIFF_ID
        ",\"size\":1}";
    made.diff_ids = DIFF_ID;
    put_image("1", &made);
    assert_resolve("a/b:1", "linux/amd64");
    assert_true(image->is_docker_schema2);
    assert_true(image->has_zstd_layers);
}

static void a_platform_of_an_index(void **state)
{
    (void)state;
    struct made arm = plain_image, attestation = plain_image;
    arm.os_and_architecture = "\"os\":\"linux\",\"architecture\":\"arm64\",";
    attestation.layers =
        "{\"mediaType\":\"application/vnd.in-toto+json\",\"digest\":" DIFF_ID ",\"size\":1}";
    const char *a = put_image(NULL, &plain_image);
    size_t a_size = strlen(made_text);
    const char *b = put_image(NULL, &arm);
    size_t b_size = strlen(made_text);
    const char *c = put_image(NULL, &attestation);
    const char *digest =
        put_index("1", ENTRY "," ENTRY "," ENTRY, c, strlen(made_text),
                  ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}", a, a_size,
                  PLATFORM("amd64"), b, b_size,
                  ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}");
    assert_resolve("a/b:1", "linux/arm64");
    assert_requests(3);
    assert_string_equal(image->source_digest, digest);
    assert_string_equal(image->manifest.digest, b);
    assert_string_equal(image->platform.variant, "v8"); // the index knows what the config does not
    assert_resolve("a/b:1", "linux/amd64");
    assert_string_equal(image->manifest.digest, a);
    assert_refuse("a/b:1", "linux/s390x", ENOENT, "linux/amd64, linux/arm64/v8");
    // By the digest of one platform, another cannot be had.
    assert_resolve(by_digest(b), "linux/arm64");
    assert_refuse(by_digest(b), "linux/amd64", ENOENT, "platform=linux/arm64 takes it");
    assert_refuse(by_digest(c), "linux/amd64", EPROTONOSUPPORT, "application/vnd.in-toto+json");
}

// amd64, arm64/v8 and an attestation about each; the attestation about amd64 is not in the store.
static void put_platforms(const char *ret_digests[4])
{
    struct made arm = plain_image, attestation = plain_image;
    arm.os_and_architecture = "\"os\":\"linux\",\"architecture\":\"arm64\",";
    attestation.layers =
        "{\"mediaType\":\"application/vnd.in-toto+json\",\"digest\":" DIFF_ID ",\"size\":1}";
    attestation.os_and_architecture = "";
    size_t sizes[3];
    ret_digests[0] = put_image(NULL, &plain_image);
    sizes[0] = strlen(made_text);
    ret_digests[1] = put_image(NULL, &arm);
    sizes[1] = strlen(made_text);
    ret_digests[2] = put_image(NULL, &attestation);
    sizes[2] = strlen(made_text);
    char abouts[2][400];
    for (int i = 0; i < 2; i++)
        snprintf(abouts[i], sizeof(abouts[i]),
                 ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},"
                 "\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\","
                 "\"vnd.docker.reference.digest\":\"%s\"}",
                 ret_digests[1 - i]);
    ret_digests[3] = put_index(
        "all", ENTRY "," ENTRY "," ENTRY "," ENTRY, ret_digests[2], sizes[2], abouts[0],
        ret_digests[1], sizes[1], ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}",
        ret_digests[0], sizes[0], PLATFORM("amd64"),
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", sizes[2],
        abouts[1]);
}

static void several_platforms_and_what_is_said_about_them(void **state)
{
    (void)state;
    const char *digests[4];
    put_platforms(digests);
    assert_resolve("a/b:all", "all");
    assert_string_equal(registry_image_digest(image), digests[3]);
    assert_string_equal(image->index->descriptor.digest, digests[3]);
    assert_int_equal(image->index->descriptor.size_bytes, strlen(image->index->bytes));
    assert_string_equal(image->manifest.digest, digests[0]); // docker gets amd64
    assert_string_equal(image->platforms, "linux/amd64,linux/arm64");
    assert_int_equal(image->other_count, 2);
    assert_string_equal(image->others[0]->manifest.digest, digests[1]);
    assert_false(image->others[0]->is_attestation);
    assert_string_equal(image->others[1]->manifest.digest, digests[2]);
    assert_true(image->others[1]->is_attestation);
    assert_int_equal(image->attestations_missing, 1);

    assert_resolve("a/b:all", "linux/arm64,linux/amd64"); // docker gets the first
    assert_string_equal(image->manifest.digest, digests[1]);
    assert_string_equal(image->platforms, "linux/arm64,linux/amd64");
    assert_string_equal(registry_image_digest(image), digests[3]);

    assert_resolve("a/b:all", "linux/arm64"); // with what is said about it alone
    assert_string_equal(registry_image_digest(image), digests[1]);
    assert_int_equal(image->other_count, 1);
    assert_string_equal(image->index->descriptor.digest, digests[3]);
    assert_int_equal(image->attestations_missing, 0);
    assert_resolve("a/b:all", "linux/amd64");
    assert_int_equal(image->other_count, 0);
    assert_null(image->index);
    assert_int_equal(image->attestations_missing, 1);

    assert_refuse("a/b:all", "linux/amd64,linux/s390x", ENOENT, "no image of linux/s390x");
    put_image("one", &plain_image);
    assert_resolve("a/b:one", "all");
    assert_string_equal(image->platforms, "linux/amd64");
    assert_false(image->is_multi_platform);
    assert_refuse("a/b:one", "linux/amd64,linux/arm64", ENOENT, "it has one image, of linux/amd64");
}

static void all_platforms_of_an_odd_index(void **state)
{
    (void)state;
    struct made arm = plain_image;
    arm.os_and_architecture = "\"os\":\"linux\",\"architecture\":\"riscv64\",";
    const char *a = put_image(NULL, &arm);
    const char *inner = put_index("inner", ENTRY, a, strlen(made_text), PLATFORM("riscv64"));
    assert_resolve("a/b:inner", "all"); // no amd64: docker gets the first
    assert_string_equal(image->manifest.digest, a);
    assert_int_equal(image->other_count, 0);
    assert_true(image->is_multi_platform);
    size_t inner_size = image->index->descriptor.size_bytes;
    put_index("outer", NESTED, inner, inner_size);
    assert_refuse("a/b:outer", "all", EPROTONOSUPPORT, "is an index itself");
    put_index("gone", ENTRY "," ENTRY, a, strlen(made_text), PLATFORM("riscv64"),
              "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", (size_t)9,
              PLATFORM("amd64"));
    assert_refuse("a/b:gone", "all", ENOENT, "no such digest");
}

static void an_index_that_says_no_platform(void **state)
{
    (void)state;
    const char *a = put_image(NULL, &plain_image);
    put_index("1", ENTRY, a, strlen(made_text), "");
    assert_resolve("a/b:1", "linux/amd64");
    assert_refuse("a/b:1", "linux/arm64", ENOENT, "it is one of linux/amd64");
}

static void an_image_that_says_no_platform(void **state)
{
    (void)state;
    struct made made = plain_image;
    made.os_and_architecture = "";
    put_image("1", &made);
    assert_resolve("a/b:1", "linux/arm64");
    assert_string_equal(image->platform.architecture, "arm64");
}

static void indexes_in_indexes(void **state)
{
    (void)state;
    const char *digest = put_image(NULL, &plain_image);
    digest = put_index("1", ENTRY, digest, strlen(made_text), PLATFORM("amd64"));
    for (int depth = 2; depth <= 4; depth++) {
        char tag[2] = {(char)('0' + depth), '\0'};
        size_t size = strlen(store.documents[store.count - 1].bytes);
        digest = put_index(tag, NESTED, digest, size);
    }
    assert_resolve("a/b:2", "linux/amd64");
    assert_resolve("a/b:3", "linux/amd64");
    assert_string_equal(image->source_digest, store.documents[store.count - 3].digest);
    assert_refuse("a/b:4", "linux/amd64", EPROTO, "deep");
    // An index that holds itself cannot be made: its digest would have to be in it.
}

static void bytes_that_do_not_match_their_digest(void **state)
{
    (void)state;
    const char *digest = put_image("1", &plain_image);
    store.flips = 1;
    assert_resolve(by_digest(digest), "linux/amd64"); // one more try
    assert_int_equal(fixture.told, 1);
    store.flips = 2;
    assert_refuse(by_digest(digest), "linux/amd64", EBADMSG, "are others");
    store.flips = 2;
    assert_refuse("a/b:1", "linux/amd64", EBADMSG, digest); // by what the server said of it
    store.flips = 2;
    store.said_digest = ""; // a tag is what the registry says it is
    assert_refuse("a/b:1", "linux/amd64", EPROTO, "no JSON");
    store.flips = 0;
    assert_resolve("a/b:1", "linux/amd64");
    store.said_digest = "sha512:whatever";
    assert_resolve("a/b:1", "linux/amd64");
    store.said_digest = "nonsense";
    assert_resolve("a/b:1", "linux/amd64");
}

static void sizes_that_do_not_match(void **state)
{
    (void)state;
    const char *digest = put_image(NULL, &plain_image);
    put_index("1", ENTRY, digest, strlen(made_text) + 1, PLATFORM("amd64"));
    assert_refuse("a/b:1", "linux/amd64", EBADMSG, "its index says");
    put_index("2", ENTRY, digest, (size_t)REGISTRY_MANIFEST_LIMIT + 1, PLATFORM("amd64"));
    assert_refuse("a/b:2", "linux/amd64", EFBIG, "its manifest");
    struct made made = plain_image;
    made.config_size_change = 1;
    put_image("3", &made);
    assert_refuse("a/b:3", "linux/amd64", EBADMSG, "its config");
    made.config_size_change = REGISTRY_CONFIG_LIMIT;
    put_image("4", &made);
    assert_refuse("a/b:4", "linux/amd64", EFBIG, "its config");
}

static void configs_that_do_not_fit(void **state)
{
    (void)state;
    struct made made = plain_image;
    made.diff_ids = DIFF_ID;
    put_image("1", &made);
    assert_refuse("a/b:1", "linux/amd64", EPROTO, "2 layers and its config 1");
    made.diff_ids = "1";
    put_image("2", &made);
    assert_refuse("a/b:2", "linux/amd64", EPROTO, "diff_id 1");
    made = plain_image;
    made.has_no_config = true;
    made.os_and_architecture = "\"os\":\"plan9\",\"architecture\":\"amd64\",";
    put_image("3", &made);
    assert_refuse("a/b:3", "linux/amd64", ENOENT, "its config: sha256:");
}

static void what_is_no_image(void **state)
{
    (void)state;
    struct made made = plain_image;
    made.config_type = REGISTRY_HELM_CONFIG;
    // An artifact, of no platform whatever was asked for; nobody looks into its config.
    made.os_and_architecture = "\"name\":\"chart\",";
    made.layers = "{\"mediaType\":\"application/vnd.cncf.helm.chart.content.v1.tar+gzip\","
                  "\"digest\":" DIFF_ID ",\"size\":100}";
    put_image("chart", &made);
    for (size_t i = 0; i < 3; i++) {
        static const char *const platforms[] = {"linux/amd64", "linux/arm64,linux/amd64", "all"};
        assert_resolve("a/b:chart", platforms[i]);
        assert_string_equal(image->artifact_type, REGISTRY_HELM_CONFIG);
        assert_string_equal(image->platforms, REGISTRY_NO_PLATFORM);
        assert_string_equal(image->layers[0].extension, ".tgz");
    }
    made.layers = "{\"mediaType\":\"application/vnd.oci.image.layer.nondistributable.v1.tar\","
                  "\"digest\":" DIFF_ID ",\"size\":100}";
    put_image("foreign", &made);
    assert_refuse("a/b:foreign", "linux/amd64", EPROTONOSUPPORT, "non-distributable");
    made = plain_image;
    made.layers = "{\"mediaType\":\"application/x\",\"digest\":" DIFF_ID ",\"size\":100}";
    put_image("neither", &made);
    assert_refuse("a/b:neither", "linux/amd64", EPROTONOSUPPORT, "has a config of its own");
    put("manifests", "old", "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "{\"schemaVersion\":1,\"fsLayers\":[]}");
    assert_refuse("a/b:old", "linux/amd64", EPROTONOSUPPORT, "schema 1");
    put("manifests", "page", "text/html", "<html>Log in</html>");
    assert_refuse("a/b:page", "linux/amd64", EPROTO, "no JSON");
    assert_refuse("a/b:missing", "linux/amd64", ENOENT, "no such tag");
    assert_refuse(
        by_digest("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        "linux/amd64", ENOENT, "no such digest");
    put_index("sparse", ENTRY,
              "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", (size_t)1,
              PLATFORM("amd64"));
    assert_refuse("a/b:sparse", "linux/amd64", ENOENT, "its manifest sha256:");
}

static void a_manifest_over_its_limit(void **state)
{
    (void)state;
    char *text = malloc(REGISTRY_MANIFEST_LIMIT + 100);
    memset(text, ' ', REGISTRY_MANIFEST_LIMIT + 99);
    text[REGISTRY_MANIFEST_LIMIT + 99] = '\0';
    put("manifests", "1", MEDIA_TYPE_OCI_MANIFEST, text);
    free(text);
    assert_refuse("a/b:1", "linux/amd64", EFBIG, "4194304 bytes");
}

// ---- digests alone -----------------------------------------------------------------------------

static int resolve_digest(const char *path, char digest[REGISTRY_DIGEST_SIZE])
{
    struct registry_reference reference =
        fixture_reference(scripted_server_authority(server), path);
    snprintf(digest, REGISTRY_DIGEST_SIZE, "untouched");
    last_err = (struct err){0};
    int status =
        registry_digest_resolve(fixture.client, &fixture.call, &reference, digest, &last_err);
    registry_reference_done(&reference);
    return status;
}

static void a_digest_is_asked_for_by_head(void **state)
{
    (void)state;
    char digest[REGISTRY_DIGEST_SIZE];
    const char *expected = put_image("1", &plain_image);
    assert_int_equal(resolve_digest("a/b:1", digest), 0);
    assert_string_equal(digest, expected);
    assert_int_equal(scripted_server_count(server, "HEAD"), 1);
    assert_requests(1);
}

static void a_digest_that_is_written_is_not_asked_for(void **state)
{
    (void)state;
    char digest[REGISTRY_DIGEST_SIZE];
    const char *expected = put_image("1", &plain_image);
    assert_int_equal(resolve_digest(by_digest(expected), digest), 0);
    assert_string_equal(digest, expected);
    assert_requests(0);
}

static void a_digest_where_head_does_not_tell(void **state)
{
    (void)state;
    char digest[REGISTRY_DIGEST_SIZE];
    const char *expected = put_image("1", &plain_image);
    store.said_digest = "";
    assert_int_equal(resolve_digest("a/b:1", digest), 0);
    assert_string_equal(digest, expected);
    store.knows_no_head = true;
    assert_int_equal(resolve_digest("a/b:1", digest), 0);
    assert_string_equal(digest, expected);
    assert_int_equal(resolve_digest("a/b:2", digest), -ENOENT);
    assert_non_null(strstr(last_err.text, "no such tag"));
    assert_string_equal(digest, "untouched");
}

static int free_image(void **state)
{
    registry_image_free(image);
    image = NULL;
    return tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_image)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_image_by_its_tag),
        TEST(an_image_by_its_digest),
        TEST(a_docker_image),
        TEST(a_platform_of_an_index),
        TEST(several_platforms_and_what_is_said_about_them),
        TEST(all_platforms_of_an_odd_index),
        TEST(an_index_that_says_no_platform),
        TEST(an_image_that_says_no_platform),
        TEST(indexes_in_indexes),
        TEST(bytes_that_do_not_match_their_digest),
        TEST(sizes_that_do_not_match),
        TEST(configs_that_do_not_fit),
        TEST(what_is_no_image),
        TEST(a_manifest_over_its_limit),
        TEST(a_digest_is_asked_for_by_head),
        TEST(a_digest_that_is_written_is_not_asked_for),
        TEST(a_digest_where_head_does_not_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
