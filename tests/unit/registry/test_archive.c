// The layout of the published object, by tables. Its bytes are test_archive_bytes.c's; that other
// programs read them is check_archive.py's.
#include "base/scope.h"
#include "registry/archive_json.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/registry/archive_fixture.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#define GIB (UINT64_C(1) << 30)
#define TERABYTE (UINT64_C(1000) * 1000 * 1000 * 1000)

static uint64_t tail_size(const struct archive *archive)
{
    uint64_t size = 0;
    for (size_t i = archive->extent_count; i > 0; i--) {
        const struct archive_extent *extent = &archive->extents[i - 1];
        if (extent->kind == ARCHIVE_BLOB)
            break;
        size += extent->content_size;
    }
    return size;
}

static void test_layers(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 1000);
    fixture_add_layer(&fixture, 2, 512);
    fixture_add_layer(&fixture, 1, 1000); // used twice
    fixture_add_layer(&fixture, 3, 0);
    fixture_add_layer(&fixture, 4, 1);
    struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
    check_layout(archive);
    assert_int_equal(archive->blob_count, 3);
    static const struct {
        uint64_t offset, size;
    } blobs[] = {{512, 1000}, {512 + 1024 + 512, 512}, {3584, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(blobs); i++) {
        const struct archive_extent *extent = &archive->extents[archive->blobs[i].extent_index];
        assert_int_equal(extent->offset, blobs[i].offset);
        assert_int_equal(extent->size, blobs[i].size);
    }
    assert_int_equal(archive->size_bytes % 512, 0);
    archive_free(archive);
}

static void test_no_layers(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (int format = ARCHIVE_FORMAT_TAR; format <= ARCHIVE_FORMAT_TAR_GZ; format++) {
        struct archive *archive = lay_out(&fixture, format);
        check_layout(archive);
        assert_int_equal(archive->blob_count, 0);
        assert_int_equal(archive->tar_size_bytes, 5 * 1024 + 1024);
        archive_free(archive);
    }
}

// The config of an artifact may be a layer of it, too.
static void test_config_is_layer(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 0xc0, strlen(fixture.config));
    struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
    check_layout(archive);
    assert_int_equal(archive->blob_count, 1);
    assert_int_equal(archive->size_bytes, 5 * 1024 + 1024);
    archive_free(archive);
}

static void test_huge(void **state)
{
    (void)state;
    static const struct {
        uint64_t layer;
        uint64_t header;
    } rows[] = {
        {8 * GIB - 1, 512},  {8 * GIB, 1536},       {9 * GIB, 1536},
        {9 * GIB + 7, 1536}, {20 * TERABYTE, 1536}, {INT64_MAX - 511 - 40000, 1536},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture_add_layer(&fixture, 1, rows[i].layer);
        struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
        check_layout(archive);
        assert_int_equal(archive->extents[0].size, rows[i].header);
        assert_int_equal(archive->size_bytes, rows[i].header + rows[i].layer + tail_size(archive));
        archive_free(archive);
    }

    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 20 * TERABYTE);
    struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR_GZ);
    check_layout(archive);
    const struct archive_extent *extent = &archive->extents[archive->blobs[0].extent_index];
    assert_int_equal(extent->offset, 10 + 1536 + 5);
    assert_int_equal(extent->size, 20 * TERABYTE + 5 * UINT64_C(305180438));
    uint64_t blob_offset = 0;
    uint64_t blob_size = 0;
    archive_blob_range(archive, archive->blobs[0].extent_index, extent->offset + extent->size - 1,
                       1, &blob_offset, &blob_size);
    assert_int_equal(blob_offset, 20 * TERABYTE - 1);
    assert_int_equal(blob_size, 1);
    archive_free(archive);
}

static void test_refused(void **state)
{
    (void)state;
    static const char other[] =
        "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    static const struct {
        const char *digest;
        uint64_t size, second_size; // of two layers of that digest
        const char *tag;
        int errnum;
    } rows[] = {
        {other, 1, 1, "a:b", 0},
        {nothing, 0, 0, "a:b", 0},
        {other, 0, 0, "a:b", EBADMSG},
        {other, 1, 2, "a:b", EBADMSG},
        {"sha512:00", 1, 1, "a:b", EPROTONOSUPPORT},
        {"sha256:00", 1, 1, "a:b", EPROTONOSUPPORT},
        {"", 1, 1, "a:b", EPROTONOSUPPORT},
        {"sha256:FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", 1, 1, "a:b",
         EPROTONOSUPPORT},
        {other, UINT64_MAX, UINT64_MAX, "a:b", EFBIG},
        {other, INT64_MAX, INT64_MAX, "a:b", EFBIG},
        {other, UINT64_C(1) << 63, UINT64_C(1) << 63, "a:b", EFBIG},
        {other, 1, 1, "a", EINVAL},
        {other, 1, 1, "a:", EINVAL},
        {other, 1, 1, ":b", EINVAL},
        {other, 1, 1, "", EINVAL},
        {other, 1, 1, "host:5000/a", EINVAL},
        {other, 1, 1, "a\xff:b", EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int format = ARCHIVE_FORMAT_TAR; format <= ARCHIVE_FORMAT_TAR_GZ; format++) {
            struct fixture fixture;
            fixture_init(&fixture);
            struct registry_descriptor *first = fixture_add_layer(&fixture, 1, rows[i].size);
            struct registry_descriptor *second =
                fixture_add_layer(&fixture, 1, rows[i].second_size);
            snprintf(first->digest, sizeof(first->digest), "%s", rows[i].digest);
            snprintf(second->digest, sizeof(second->digest), "%s", rows[i].digest);
            struct archive *archive = NULL;
            struct err err = {0};
            int r = archive_new(&fixture.image, rows[i].tag, format, &archive, &err);
            assert_int_equal(r, -rows[i].errnum);
            assert_int_equal(err.errnum, rows[i].errnum);
            assert_int_equal(archive == NULL, r != 0);
            archive_free(archive);
        }
    }

    // Sizes that fit one by one, and not together.
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, UINT64_C(1) << 62);
    fixture_add_layer(&fixture, 2, UINT64_C(1) << 62);
    struct archive *archive = NULL;
    struct err err = {0};
    assert_int_equal(archive_new(&fixture.image, "a:b", ARCHIVE_FORMAT_TAR, &archive, &err),
                     -EFBIG);
    assert_null(archive);
}

// An artifact: a layout without what docker reads, or its only file alone.
static void test_artifact(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 1000);
    struct archive *image = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
    struct archive *archive = NULL;
    struct err err = {0};
    assert_int_equal(archive_new(&fixture.image, "a:b", ARCHIVE_FORMAT_PAYLOAD, &archive, &err),
                     -EINVAL);
    fixture.image.artifact_type = (char *)"application/vnd.x";
    fixture.image.platform = (struct registry_platform){.os = ""};
    struct archive *layout = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
    check_layout(layout);
    for (size_t i = 0; i < layout->extent_count; i++)
        assert_true(layout->extents[i].kind != ARCHIVE_LITERAL ||
                    strncmp(layout->extents[i].literal, "manifest.json", 13) != 0);
    assert_int_equal(layout->extent_count, image->extent_count - 3);
    assert_int_equal(archive_blob_begin(layout, 0), layout->blobs[0].extent_index - 1);

    struct archive *payload = lay_out(&fixture, ARCHIVE_FORMAT_PAYLOAD);
    assert_int_equal(payload->size_bytes, 1000);
    assert_int_equal(payload->tar_size_bytes, 1000);
    assert_int_equal(payload->extent_count, 1);
    assert_int_equal(payload->extents[0].kind, ARCHIVE_BLOB);
    assert_int_equal(payload->blob_count, 1);
    assert_string_equal(payload->blobs[0].descriptor.digest, fixture.layers[0].digest);
    assert_int_equal(archive_blob_begin(payload, 0), 0);
    uint64_t offset, size;
    archive_blob_range(payload, 0, 10, 20, &offset, &size);
    assert_int_equal(offset, 10);
    assert_int_equal(size, 20);
    archive_free(payload);
    archive_free(layout);
    archive_free(image);

    // Not one file, or none of a byte.
    fixture_add_layer(&fixture, 2, 1);
    assert_int_equal(archive_new(&fixture.image, "a:b", ARCHIVE_FORMAT_PAYLOAD, &archive, &err),
                     -EINVAL);
    fixture.image.layer_count = 1;
    fixture.layers[0].size_bytes = 0;
    assert_int_equal(archive_new(&fixture.image, "a:b", ARCHIVE_FORMAT_PAYLOAD, &archive, &err),
                     -EINVAL);
    assert_null(archive);
}

// Each allocation fails in its turn, jansson's own among them.
static void test_no_memory(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 1000);
    fixture_add_layer(&fixture, 2, UINT64_C(9) << 30);
    snprintf(fixture.image.platform.variant, sizeof(fixture.image.platform.variant), "v8");
    json_set_alloc_funcs(malloc, free);
    for (int nth = 1;; nth++) {
        struct archive *archive = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int r = archive_new(&fixture.image, "a:b", ARCHIVE_FORMAT_TAR_GZ, &archive, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        archive_free(archive);
        if (!has_failed) {
            assert_int_equal(r, 0);
            assert_true(nth > 20);
            return;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.errnum, ENOMEM);
        assert_null(archive);
    }
}

// ---- names and JSON ---------------------------------------------------------------------------

static void test_full_names(void **state)
{
    (void)state;
    static const struct {
        const char *tag;
        const char *full;
    } rows[] = {
        {"alpine:3", "docker.io/library/alpine:3"},
        {"runtime-api:latest", "docker.io/library/runtime-api:latest"},
        {"me/app:1", "docker.io/me/app:1"},
        {"me/team/app:1", "docker.io/me/team/app:1"},
        {"library/alpine:3", "docker.io/library/alpine:3"},
        {"docker.io/alpine:3", "docker.io/library/alpine:3"},
        {"docker.io/me/app:1", "docker.io/me/app:1"},
        {"index.docker.io/alpine:3", "docker.io/library/alpine:3"},
        {"index.docker.io/me/app:1", "docker.io/me/app:1"},
        {"ghcr.io/me/app:1", "ghcr.io/me/app:1"},
        {"ghcr.io/app:1", "ghcr.io/app:1"},
        {"localhost/app:1", "localhost/app:1"},
        {"localhosts/app:1", "docker.io/localhosts/app:1"},
        {"host:5000/app:1", "host:5000/app:1"},
        {"127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"},
        {"[::1]:5000/a:1", "[::1]:5000/a:1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        auto_free char *full = archive_json_full_name(rows[i].tag);
        assert_string_equal(full, rows[i].full);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 5);
    fixture_add_layer(&fixture, 0, 0);
    fixture_add_layer(&fixture, 1, 5);
    snprintf(fixture.image.platform.variant, sizeof(fixture.image.platform.variant), "v8");
    struct err err = {0};

    auto_free char *index = NULL;
    assert_int_equal(archive_json_index(&fixture.image, "a\"b\\c:d\"e", &index, &err), 0);
    assert_string_equal(
        index, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
               "\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
               "\"digest\":\"sha256:"
               "00000000000000000000000000000000000000000000000000000000000000a0\","
               "\"size\":14,\"annotations\":{\"io.containerd.image.name\":"
               "\"docker.io/library/a\\\"b\\\\c:d\\\"e\","
               "\"org.opencontainers.image.ref.name\":"
               "\"docker.io/library/a\\\"b\\\\c:d\\\"e\"},"
               "\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\","
               "\"variant\":\"v8\"}}]}");

    auto_free char *manifest = NULL;
    assert_int_equal(archive_json_manifest(&fixture.image, "a\"b\\c:d\"e", &manifest, &err), 0);
    assert_string_equal(
        manifest,
        "[{\"Config\":"
        "\"blobs/sha256/00000000000000000000000000000000000000000000000000000000000000c0\","
        "\"RepoTags\":[\"a\\\"b\\\\c:d\\\"e\"],\"Layers\":["
        "\"blobs/sha256/0000000000000000000000000000000000000000000000000000000000000001\","
        "\"blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\","
        "\"blobs/sha256/0000000000000000000000000000000000000000000000000000000000000001\"]}]");

    // An artifact names no platform.
    fixture.image.platform = (struct registry_platform){0};
    auto_free char *artifact = NULL;
    assert_int_equal(archive_json_index(&fixture.image, "a:b", &artifact, &err), 0);
    assert_null(strstr(artifact, "platform"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_no_layers),
        cmocka_unit_test(test_config_is_layer),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_artifact),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_full_names),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
