// Every allocation fails once: of the parsers, and of a resolution with tokens, index, manifest and
// config. What comes of it is ENOMEM, no leak, and a client that works afterwards.
#include "scripted_registry.h"

#include "../base/fault_memory.h"

#include "registry/challenge.h"
#include "registry/docker_config.h"
#include "registry/manifest.h"

#include "base/digest.h"

#include <errno.h>
#include <stdio.h>

#define DIFF_ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Calls `once` with the nth allocation failing, for every n there is. `once` answers its status and
// frees what it made.
static int fail_each(int (*once)(struct err *err))
{
    for (int nth = 1;; nth++) {
        struct err err = {0};
        memory_fail_at(nth);
        int status = once(&err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (!has_failed) {
            if (status != 0)
                fail_msg("%s", err.text);
            return nth;
        }
        // Where the toolbox can do without (locked memory, say), it may still succeed.
        if (status != 0 && status != -ENOMEM)
            fail_msg("allocation %d: %d %s", nth, status, err.text);
        if (status != 0)
            assert_int_equal(err.errnum, ENOMEM);
    }
}

// ---- parsers -----------------------------------------------------------------------------------

static int parse_reference(struct err *err)
{
    struct registry_reference reference = {0}, copy = {0};
    int status = registry_reference_parse("ghcr.io/a/b:c@" DIFF_ID, &reference, err);
    if (status == 0) {
        status = registry_reference_copy(&reference, &copy);
        err->errnum = -status;
    }
    registry_reference_done(&reference);
    registry_reference_done(&copy);
    return status;
}

static int parse_challenges(struct err *err)
{
    struct challenges challenges = {0};
    int status =
        registry_challenges_parse("Basic realm=\"a\", Bearer realm=\"b\",scope=\"c\"", &challenges);
    registry_challenges_done(&challenges);
    err->errnum = -status;
    return status;
}

static int parse_config(struct err *err)
{
    static const char text[] = "{\"credsStore\":\"pass\",\"auths\":{\"a.b\":{\"auth\":\"dTpw\"}}}";
    struct docker_word word = {0};
    int status = registry_docker_config_parse(text, strlen(text), "a.b", "c/d", &word, err);
    registry_login_done(&word.login);
    return status;
}

static void of_parsers(void **state)
{
    (void)state;
    assert_true(fail_each(parse_reference) > 1);
    assert_true(fail_each(parse_challenges) > 1);
    assert_true(fail_each(parse_config) > 5);
}

// ---- a resolution ------------------------------------------------------------------------------

static char config[300], manifest[1000], image_index[1000];
static char config_digest[REGISTRY_DIGEST_SIZE], manifest_digest[REGISTRY_DIGEST_SIZE];

static void digest_of(const char *text, char digest[REGISTRY_DIGEST_SIZE])
{
    snprintf(digest, REGISTRY_DIGEST_SIZE, "sha256:");
    sha256_hex_of(text, strlen(text), digest + 7);
}

static void make_documents(void)
{
    snprintf(config, sizeof(config),
             "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"" DIFF_ID
             "\"]}}");
    digest_of(config, config_digest);
    snprintf(manifest, sizeof(manifest),
             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
             "\",\"config\":{\"mediaType\":\"" MEDIA_TYPE_OCI_CONFIG
             "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
             "\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" DIFF_ID "\",\"size\":9}]}",
             config_digest, strlen(config));
    digest_of(manifest, manifest_digest);
    snprintf(image_index, sizeof(image_index),
             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX
             "\",\"manifests\":[{\"mediaType\":\"" MEDIA_TYPE_OCI_MANIFEST
             "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":"
             "\"amd64\"}}]}",
             manifest_digest, strlen(manifest));
}

static void answer(const struct scripted_request *request, struct scripted_reply *reply)
{
    const char *text = strstr(request->target, config_digest) != NULL     ? config
                       : strstr(request->target, manifest_digest) != NULL ? manifest
                                                                          : image_index;
    scripted_reply_text(reply, 200, text);
    scripted_reply_header(reply, "Content-Type: application/json");
}

static struct registry_reference reference;
static const struct registry_platforms platform = {
    .list = {{.os = "linux", .architecture = "amd64"}}, .count = 1};

static int resolve(struct err *err)
{
    struct registry_image *image = NULL;
    int status =
        registry_image_resolve(fixture.client, &fixture.call, &reference, &platform, &image, err);
    assert_int_equal(status == 0, image != NULL);
    registry_image_free(image);
    return status;
}

static int resolve_anew(struct err *err)
{
    struct registry_client *kept = fixture.client;
    const struct registry_options options = {.http = fixture.http,
                                             .clock = clock_system(),
                                             .docker_config = fixture.config,
                                             .environment = fixture_environment};
    int status = registry_client_new(&options, &fixture.client, err);
    if (status == 0) {
        status = resolve(err);
        registry_client_free(fixture.client);
    }
    fixture.client = kept;
    return status;
}

static void of_a_resolution(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_login = "user:password";
    registry.answer = answer;
    scripted_registry_log_in("user:password");
    make_documents();
    reference = fixture_reference(scripted_server_authority(server), "a:1");
    // With a client that learns everything anew each time ...
    assert_true(fail_each(resolve_anew) > 100);
    // ... and with one that lives on: the failure before does not stick.
    assert_true(fail_each(resolve) > 50);
    registry_reference_done(&reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_parsers),
        TEST(of_a_resolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
