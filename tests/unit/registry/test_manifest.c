#include "../base/test.h"
#include "corpus.h"

#include "base/json.h"
#include "registry/manifest.h"

#include "base/buf.h"

#include <errno.h>
#include <string.h>

static void check_errno(const char *name, int status, const char *expected, const struct err *err)
{
    const char *is = status == 0 ? "" : strerrorname_np(-status);
    if (strcmp(is, expected) != 0)
        fail_msg("%s: '%s' (%s), not '%s'", name, is, err->text, expected);
    if (status != 0)
        assert_int_equal(err->errnum, -status);
}

static void check_image(const char *name, const struct manifest *manifest, const json_t *expected)
{
    static const char *const names[] = {"none", "gzip", "zstd"};
    auto_buf struct buf compressions = BUF_INIT(4096);
    struct err err = {0};
    assert_false(manifest->is_index);
    assert_int_equal(manifest->layer_count,
                     json_integer_value(json_object_get(expected, "layers")));
    for (size_t i = 0; i < manifest->layer_count; i++)
        buf_printf(&compressions, "%s%s", i > 0 ? " " : "", names[manifest->layers[i].compression]);
    if (strcmp(buf_text(&compressions), json_document_text(expected, "compressions")) != 0)
        fail_msg("%s: %s", name, buf_text(&compressions));
    check_errno(name, registry_manifest_check_image(manifest, &err),
                json_document_text(expected, "image"), &err);
    const char *artifact = json_document_text(expected, "artifact");
    const char *is = registry_manifest_artifact_type(manifest);
    if (strcmp(is ? is : "-", artifact ? artifact : "-") != 0)
        fail_msg("%s: %s is an artifact of type %s", name, is, artifact);
    const json_t *extensions = json_object_get(expected, "extensions");
    for (size_t i = 0; i < json_array_size(extensions); i++)
        assert_string_equal(manifest->layers[i].extension,
                            json_string_value(json_array_get(extensions, i)));
}

static void check_index(const char *name, const struct manifest *manifest, const json_t *expected)
{
    json_t *choices = json_object_get(expected, "choose"), *choice;
    const char *text;
    assert_true(manifest->is_index);
    assert_int_equal(manifest->entry_count,
                     json_integer_value(json_object_get(expected, "entries")));
    json_object_foreach(choices, text, choice)
    {
        struct registry_platform platform;
        struct err err = {0};
        size_t entry = 99;
        assert_int_equal(registry_platform_parse(text, &platform, &err), 0);
        int status = registry_manifest_choose(manifest, &platform, &entry, &err);
        if (json_is_string(choice))
            check_errno(name, status, json_string_value(choice), &err);
        else if (status < 0 || entry != (size_t)json_integer_value(choice))
            fail_msg("%s: %s chooses %zu (%s)", name, text, entry, err.text);
    }
}

static void check_accept(const char *name, char *text, size_t size)
{
    struct err err = {0};
    struct manifest manifest;
    json_error_t ignored;
    auto_json json_t *document = json_loadb(text, size, 0, &ignored);
    auto_json json_t *expected = json_incref(json_object_get(document, "expect"));
    assert_non_null(expected);
    json_object_del(document, "expect");
    char *bytes = json_dumps(document, 0);
    if (registry_manifest_parse(bytes, strlen(bytes), "application/json; charset=utf-8", &manifest,
                                &err) < 0)
        fail_msg("%s: %s", name, err.text);
    free(bytes);
    if (json_object_get(expected, "layers") != NULL)
        check_image(name, &manifest, expected);
    else
        check_index(name, &manifest, expected);
    registry_manifest_done(&manifest);
}

static void check_reject(const char *name, char *text, size_t size)
{
    struct err err = {0};
    char untouched[] = "untouched";
    struct manifest manifest = {.media_type = untouched};
    char expected[32];
    snprintf(expected, sizeof(expected), "%.*s", (int)strcspn(name, "-"), name);
    check_errno(name, registry_manifest_parse(text, size, NULL, &manifest, &err), expected, &err);
    assert_ptr_equal(manifest.media_type, untouched);
}

static void parses(void **state)
{
    (void)state;
    corpus_replay("manifest/accept", check_accept);
    corpus_replay("manifest/reject", check_reject);
    registry_manifest_done(NULL);
}

static void cut_everywhere(const char *name, char *text, size_t size)
{
    (void)name;
    for (size_t cut = 0; cut < size && cut < 2000; cut++) {
        struct manifest manifest;
        struct err err;
        if (registry_manifest_parse(text, cut, NULL, &manifest, &err) == 0)
            registry_manifest_done(&manifest);
    }
}

static void is_total(void **state)
{
    (void)state;
    corpus_replay("manifest/accept", cut_everywhere);
}

// What the document says of itself counts more than what the server says.
static void believes_the_document(void **state)
{
    (void)state;
    static const char silent_index[] = "{\"schemaVersion\":2,\"manifests\":[]}";
    static const char oci_index[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_OCI_INDEX "\",\"manifests\":[]}";
    static const struct {
        const char *bytes;
        const char *content_type;
        const char *media_type;
    } cases[] = {
        {silent_index, NULL, MEDIA_TYPE_OCI_INDEX},
        {silent_index, "text/plain", MEDIA_TYPE_OCI_INDEX},
        {silent_index, MEDIA_TYPE_DOCKER_LIST, MEDIA_TYPE_DOCKER_LIST},
        {silent_index, MEDIA_TYPE_DOCKER_LIST "; charset=utf-8", MEDIA_TYPE_DOCKER_LIST},
        {oci_index, MEDIA_TYPE_DOCKER_LIST, MEDIA_TYPE_OCI_INDEX},
        {oci_index, MEDIA_TYPE_OCI_MANIFEST, MEDIA_TYPE_OCI_INDEX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct manifest manifest;
        struct err err;
        assert_int_equal(registry_manifest_parse(cases[i].bytes, strlen(cases[i].bytes),
                                                 cases[i].content_type, &manifest, &err),
                         0);
        assert_string_equal(manifest.media_type, cases[i].media_type);
        registry_manifest_done(&manifest);
    }
}

static void names_the_platforms_that_there_are(void **state)
{
    (void)state;
    char media_type[] = MEDIA_TYPE_OCI_MANIFEST;
    struct manifest manifest = {.is_index = true};
    struct manifest_entry entries[60] = {0};
    struct registry_platform platform = {.os = "plan9", .architecture = "mips"};
    struct err err = {0};
    size_t chosen;
    for (size_t i = 0; i < 60; i++) {
        entries[i].descriptor.media_type = media_type;
        entries[i].has_platform = true;
        strcpy(entries[i].platform.os, "linux");
        snprintf(entries[i].platform.architecture, sizeof(entries[i].platform.architecture),
                 "arch-%zu", i);
    }
    manifest.entries = entries;
    manifest.entry_count = 2;
    assert_int_equal(registry_manifest_choose(&manifest, &platform, &chosen, &err), -ENOENT);
    assert_non_null(strstr(err.text, "plan9/mips"));
    assert_non_null(strstr(err.text, "linux/arch-0, linux/arch-1"));
    manifest.entry_count = 60;
    assert_int_equal(registry_manifest_choose(&manifest, &platform, &chosen, &err), -ENOENT);
    assert_non_null(strstr(err.text, ", ..."));
}

static void parses_configs(void **state)
{
    (void)state;
#define DIFF_ID "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
    static const struct {
        const char *text;
        int status;
        const char *platform; // "/" where it says none
        size_t diff_ids;
    } cases[] = {
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"rootfs\":{\"diff_ids\":"
         "[" DIFF_ID "," DIFF_ID "]}}",
         0, "linux/arm/v7", 2},
        {"{\"rootfs\":{\"diff_ids\":[]}}", 0, "/", 0},
        {"{\"rootfs\":{\"diff_ids\":null}}", 0, "/", 0},
        {"{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[]}}", 0, "/", 0},
        {"{\"os\":\"li nux\",\"architecture\":\"x\",\"rootfs\":{\"diff_ids\":[]}}", 0,
         "unknown/unknown", 0},
        {"{\"n\":123456789012345678901234567890,\"s\":\"\\u0000\",\"rootfs\":{\"diff_ids\":[]}}", 0,
         "/", 0},
        {"{}", -EPROTO, NULL, 0},
        {"{\"rootfs\":{}}", -EPROTO, NULL, 0},
        {"{\"rootfs\":{\"diff_ids\":{}}}", -EPROTO, NULL, 0},
        {"{\"rootfs\":{\"diff_ids\":[1]}}", -EPROTO, NULL, 0},
        {"{\"rootfs\":{\"diff_ids\":[\"x\"]}}", -EPROTO, NULL, 0},
        {"[]", -EPROTO, NULL, 0},
        {"", -EPROTO, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct image_config config;
        struct err err = {0};
        char text[100];
        int status = registry_config_parse(cases[i].text, strlen(cases[i].text), &config, &err);
        if (status != cases[i].status)
            fail_msg("%s: %d %s", cases[i].text, status, err.text);
        if (status < 0)
            continue;
        registry_platform_format(&config.platform, text);
        assert_string_equal(text, cases[i].platform);
        assert_int_equal(config.diff_id_count, cases[i].diff_ids);
        registry_config_done(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(is_total),
        cmocka_unit_test(believes_the_document),
        cmocka_unit_test(names_the_platforms_that_there_are),
        cmocka_unit_test(parses_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
