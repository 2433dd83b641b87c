// Records: tests/corpus/record by file name, round trips, hostile JSON, and the S3 half over a
// store of one object.
#include "tests/unit/base/test.h"

#include "base/call.h"
#include "base/scope.h"
#include "fs/publish/record.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/damage.h"
#include "tests/unit/fs/record_fixture.h"
#include "tests/unit/registry/corpus.h"

#include <errno.h>
#include <jansson.h>

static int parse(const char *bytes, size_t size)
{
    struct record *record = (void *)1;
    struct err err = {0};
    int error = record_parse(bytes, size, &record, &err);
    if (error < 0) {
        assert_ptr_equal(record, (void *)1);
        assert_int_equal(error, -EBADMSG);
        assert_true(*err.text);
        return error;
    }
    // What was taken can be written, and read again.
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    assert_int_equal(record_format(record, &json, &err), 0);
    record_free(record);
    assert_int_equal(record_parse(json.bytes, json.size, &record, &err), 0);
    record_free(record);
    return 0;
}

static void check_accepted(const char *name, char *text, size_t size)
{
    check_taken(name, text, size, parse);
}

static void check_rejected(const char *name, char *text, size_t size)
{
    check_refused(name, text, size, parse);
}

static void test_corpus(void **state)
{
    (void)state;
    corpus_replay("record/accept", check_accepted);
    corpus_replay("record/reject", check_rejected);
}

static void check_same(const struct record *a, const struct record *b)
{
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->etag, b->etag);
    assert_int_equal(a->size_bytes, b->size_bytes);
    assert_string_equal(a->sha256, b->sha256);
    assert_int_equal(a->format, b->format);
    assert_int_equal(a->is_all_platforms, b->is_all_platforms);
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        assert_string_equal(a->provenance.facts[i] ? a->provenance.facts[i] : "-",
                            b->provenance.facts[i] ? b->provenance.facts[i] : "-");
    assert_int_equal(a->referrers.is_known, b->referrers.is_known);
    assert_memory_equal(a->referrers.statements, b->referrers.statements,
                        sizeof(a->referrers.statements));
    assert_int_equal(a->referrers.buildx, b->referrers.buildx);
    assert_int_equal(a->referrers.left_out, b->referrers.left_out);
    assert_string_equal(a->referrers.of, b->referrers.of);
    assert_string_equal(a->referrers.verified_by, b->referrers.verified_by);
    assert_string_equal(a->reference, b->reference);
    assert_string_equal(a->tag, b->tag);
    assert_string_equal(a->source_digest, b->source_digest);
    assert_string_equal(a->manifest_digest, b->manifest_digest);
    assert_string_equal(a->config_digest, b->config_digest);
    assert_string_equal(a->platform, b->platform);
    assert_int_equal(a->has_zstd_layers, b->has_zstd_layers);
    assert_int_equal(a->published_ms, b->published_ms);
    assert_string_equal(a->publisher_host, b->publisher_host);
    assert_int_equal(a->publisher_uid, b->publisher_uid);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->layer_count, b->layer_count);
    for (size_t i = 0; i < a->layer_count; i++) {
        assert_string_equal(a->layers[i].digest, b->layers[i].digest);
        assert_int_equal(a->layers[i].size_bytes, b->layers[i].size_bytes);
        assert_int_equal(a->layers[i].offset, b->layers[i].offset);
        assert_int_equal(a->layers[i].blob_offset, b->layers[i].blob_offset);
        assert_string_equal(a->layers[i].media_type, b->layers[i].media_type);
        assert_int_equal(a->layers[i].has_midstate, b->layers[i].has_midstate);
        assert_memory_equal(&a->layers[i].midstate, &b->layers[i].midstate,
                            sizeof(a->layers[i].midstate));
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/b/x.tar", "\"e-1\"");
    struct record *read = NULL;
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    auto_buf struct buf again = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};
    record->has_zstd_layers = true;
    record->is_all_platforms = true;
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        assert_true(asprintf(&record->provenance.facts[i], "fact %zu \xC3\xA9 <\">", i) > 0);
    record->referrers = (struct record_referrers){
        .is_known = true,
        .statements = {4, 3, 2, 1},
        .buildx = 5,
        .left_out = 6,
        .of = FIXTURE_DIGEST,
        .verified_by = FIXTURE_HEX,
    };
    record->format = ARCHIVE_FORMAT_TAR_GZ;
    struct record_midstate *midstate = &record->layers[1].midstate; // between two blocks
    record->layers[1].offset = midstate->sha256.size_bytes = 2048 + 63;
    memset(midstate->sha256.rest, 0xA5, 63);
    midstate->crc32 = UINT32_MAX;
    assert_int_equal(record_format(record, &json, &err), 0);
    assert_int_equal(record_parse(json.bytes, json.size, &read, &err), 0);
    check_same(record, read);
    assert_int_equal(record_format(read, &again, &err), 0);
    assert_string_equal(json.bytes, again.bytes);
    record_free(read);
    // Another version of the file knows the same of its image.
    read =
        record_copy(record, record->key, record->etag, record->published_ms, record->publisher_uid);
    assert_non_null(read);
    free(read->publisher_host);
    free(read->version);
    read->publisher_host = strdup(record->publisher_host);
    read->version = strdup(record->version);
    check_same(record, read);
    record_free(read);
    record_free(record);
}

static void test_signatures_in_words(void **state)
{
    (void)state;
    static const struct {
        struct record_referrers referrers;
        const char *text;
    } rows[] = {
        {{0}, ""},
        {{.is_known = true}, "none"},
        {{.is_known = true, .statements = {[REGISTRY_SIGNATURE] = 2}, .verified_by = FIXTURE_HEX},
         "signatures=2,verified"},
        {{.is_known = true, .statements = {1, 2, 3, 4}, .buildx = 5, .left_out = 6},
         "signatures=1,attestations=2,sboms=3,others=4,buildx=5,left_out=6"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        auto_buf struct buf text = BUF_INIT(RECORD_REFERRERS_TEXT_SIZE);
        assert_int_equal(record_referrers_text(&rows[i].referrers, &text), 0);
        assert_string_equal(buf_text(&text), rows[i].text);
    }
}

// The same file under another name: what is known of it comes along, every failure on the way is
// one.
static void test_copy(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/x.tar", "\"e-1\"");
    struct record *copy = NULL;
    bool was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        record_free(copy);
        memory_fail_at(nth);
        copy = record_copy(record, "releases/v1/x.tar", "\"e-2\"", FIXTURE_PUBLISHED_MS + 1, 7);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(copy == NULL, was_refused);
    }
    assert_string_equal(copy->key, "releases/v1/x.tar");
    assert_string_equal(copy->etag, "\"e-2\"");
    assert_int_equal(copy->published_ms, FIXTURE_PUBLISHED_MS + 1);
    assert_int_equal(copy->publisher_uid, 7);
    assert_string_equal(copy->sha256, record->sha256);
    assert_string_equal(copy->reference, record->reference);
    assert_int_equal(copy->layer_count, 2);
    assert_true(copy->layers[1].has_midstate);
    assert_memory_equal(&copy->layers[1].midstate, &record->layers[1].midstate,
                        sizeof(record->layers[1].midstate));
    record_free(copy);
    record->has_image = false;
    copy = record_copy(record, "notes.pdf", "\"e-3\"", 0, 0);
    assert_non_null(copy);
    assert_false(copy->has_image);
    assert_int_equal(copy->layer_count, 0);
    record_free(copy);
    record_free(record);
}

static void test_bytes(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/b/x.tar", "\"e-1\"");
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};
    assert_int_equal(record_format(record, &json, &err), 0);
    assert_string_equal(
        json.bytes,
        "{\"version\":1,\"key\":\"a/b/x.tar\",\"etag\":\"\\\"e-1\\\"\",\"size\":1000000,"
        "\"sha256\":\"" FIXTURE_HEX "\",\"published\":\"2026-11-21T01:16:33Z\","
        "\"publisher\":{\"host\":\"build-7.example.com\",\"uid\":1000},\"program\":\"0.1.0\","
        "\"image\":{\"format\":\"tar\",\"reference\":\"" FIXTURE_REFERENCE "\",\"tag\":"
        "\"" FIXTURE_REFERENCE "\",\"platform\":\"linux/amd64\",\"source_digest\":"
        "\"" FIXTURE_DIGEST "\",\"manifest_digest\":\"" FIXTURE_DIGEST "\",\"config_digest\":"
        "\"" FIXTURE_DIGEST "\",\"zstd_layers\":false,\"layers\":["
        "{\"digest\":\"" FIXTURE_DIGEST "\",\"size\":1000,\"offset\":0,\"blob_offset\":512,"
        "\"media_type\":\"application/vnd.oci.image.layer.v1.tar+gzip\"},"
        "{\"digest\":\"" FIXTURE_DIGEST "\",\"size\":1000,\"offset\":2048,\"blob_offset\":2560,"
        "\"media_type\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"midstate\":"
        "\"0000000011111111222222223333333344444444555555556666666677777777\"}]}}\n");
    record_free(record);
}

// A record that record_parse would refuse is not written.
static void test_format_refuses(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/b/x.tar", "\"e-1\"");
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};
    record->sha256[0] = 'G';
    assert_int_equal(record_format(record, &json, &err), -EBADMSG);
    record->sha256[0] = '9';
    record->layers[1].midstate.sha256.size_bytes = 4096;
    assert_int_equal(record_format(record, &json, &err), -EBADMSG);
    record->layers[1].midstate.sha256.size_bytes = 2048;
    record->publisher_uid = -1;
    assert_int_equal(record_format(record, &json, &err), -EBADMSG);
    record->publisher_uid = 0;
    assert_int_equal(json.size, 0);
    struct buf small = BUF_INIT(100);
    assert_int_equal(record_format(record, &small, &err), -EFBIG);
    buf_done(&small);
    assert_int_equal(record_format(record, &json, &err), 0);
    record_free(record);
    record_free(NULL);
}

static void test_largest_image(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/b/x.tar", "\"e-1\"");
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};
    struct record *read = NULL;
    size_t before = record->layer_count;
    record->layers = realloc(record->layers, (REGISTRY_LAYERS_MAX + 1) * sizeof(*record->layers));
    memset(record->layers + before, 0,
           (REGISTRY_LAYERS_MAX + 1 - before) * sizeof(*record->layers));
    for (size_t i = before; i <= REGISTRY_LAYERS_MAX; i++)
        fixture_layer(&record->layers[i], 64 * i, true);
    record->layer_count = REGISTRY_LAYERS_MAX;
    assert_int_equal(record_format(record, &json, &err), 0);
    assert_int_equal(record_parse(json.bytes, json.size, &read, &err), 0);
    record_free(read);
    record->layer_count++;
    buf_clear(&json);
    assert_int_equal(record_format(record, &json, &err), -EBADMSG);
    record_free(record);
}

// Text that is small and would be large once built, is refused before it is built.
static void test_bombs(void **state)
{
    (void)state;
    static const char *const values[] = {"0,", "[],", "{},", "\"\",", "[[[[]]]],"};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
        buf_append_text(&json, "{\"version\":1,\"more\":[");
        while (json.size < RECORD_LIMIT - 64)
            buf_append_text(&json, values[i]);
        buf_append_text(&json, "0]}");
        assert_int_equal(parse(json.bytes, json.size), -EBADMSG);
    }
    auto_buf struct buf deep = BUF_INIT(RECORD_LIMIT + 1);
    while (deep.size < RECORD_LIMIT)
        buf_append_char(&deep, '[');
    assert_int_equal(parse(deep.bytes, deep.size), -EBADMSG);
    buf_append_char(&deep, '[');
    assert_int_equal(parse(deep.bytes, deep.size), -EBADMSG);
}

// ---- the S3 half -------------------------------------------------------------------------------

// The store: one object.
static struct {
    char key[2 * S3_KEY_SIZE_MAX];
    char content_type[64];
    struct buf bytes;
    size_t extra_bytes; // how much larger it claims to be
    int error;          // answers this instead
} store;

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    if (store.error)
        return err_set(err, store.error, "the store says no");
    snprintf(store.key, sizeof(store.key), "%s", put->key);
    snprintf(store.content_type, sizeof(store.content_type), "%s", put->content_type);
    buf_done(&store.bytes);
    buf_init(&store.bytes, RECORD_LIMIT);
    for (size_t i = 0; i < put->body_count; i++)
        buf_append(&store.bytes, put->body[i].bytes, put->body[i].size);
    snprintf(ret_etag, S3_ETAG_SIZE, "\"record\"");
    return 0;
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)ret_etag;
    if (store.error)
        return err_set(err, store.error, "the store says no");
    if (strcmp(key, store.key) != 0)
        return err_set(err, ENOENT, "no such key");
    if (store.bytes.size + store.extra_bytes > limit_bytes)
        return err_set(err, EFBIG, "too large");
    buf_append(ret_bytes, store.bytes.bytes, store.bytes.size);
    return 0;
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client;
    (void)call;
    if (store.error)
        return err_set(err, store.error, "the store says no");
    if (strcmp(key, store.key) == 0)
        store.key[0] = '\0';
    return 0;
}

static void test_object_keys(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *key, *etag, *expected;
    } table[] = {
        {"", "a/b/x.tar", "\"e-1\"", ".prereleasefs/records/a/b/x.tar/e-1.json"},
        {"", "x.tar", "\"e\"", ".prereleasefs/records/x.tar/e.json"},
        {"team/", "team/a/x:1.tar", "\"e-1\"", "team/.prereleasefs/records/a/x:1.tar/e-1.json"},
        {"", "x.tar", "e-1", ".prereleasefs/records/x.tar/e-1.json"},
        {"", "x.tar", "W/\"a/../b\"", ".prereleasefs/records/x.tar/W__a____b_.json"},
        {"", "x.tar", "\"", ".prereleasefs/records/x.tar/_.json"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_free char *key = record_object_key(table[i].prefix, table[i].key, table[i].etag);
        assert_string_equal(key, table[i].expected);
    }
    char longest[S3_KEY_SIZE_MAX + 1];
    memset(longest, 'k', S3_KEY_SIZE_MAX);
    longest[S3_KEY_SIZE_MAX] = '\0';
    auto_free char *hashed = record_object_key("", longest, "\"e\"");
    assert_true(strlen(hashed) <= S3_KEY_SIZE_MAX);
    assert_int_equal(strncmp(hashed, ".prereleasefs/records/.long/", 28), 0);
    longest[0] = 'l';
    auto_free char *other = record_object_key("", longest, "\"e\"");
    assert_string_not_equal(hashed, other);
}

static void test_etags(void **state)
{
    (void)state;
    assert_true(record_etag_equal("\"a\"", "\"a\""));
    assert_true(record_etag_equal("\"a\"", "a"));
    assert_false(record_etag_equal("\"a\"", "\"b\""));
    assert_false(record_etag_equal("\"a\"", "\"ab\""));
    assert_false(record_etag_equal("\"", "\"\""));
}

static void test_store_load_delete(void **state)
{
    (void)state;
    struct record *record = fixture_record("team/a/x.tar", "\"e-1\"");
    struct record *read = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, clock_system());
    assert_int_equal(record_store(NULL, &call, "team/", record, &err), 0);
    assert_string_equal(store.key, "team/.prereleasefs/records/a/x.tar/e-1.json");
    assert_string_equal(store.content_type, "application/json");
    assert_int_equal(record_load(NULL, &call, "team/", "team/a/x.tar", "\"e-1\"", &read, &err), 0);
    check_same(record, read);
    record_free(read);
    assert_int_equal(record_load(NULL, &call, "team/", "team/a/y.tar", "\"e-1\"", &read, &err),
                     -ENOENT);
    assert_int_equal(record_delete(NULL, &call, "team/", "team/a/x.tar", "\"e-1\"", &err), 0);
    assert_int_equal(record_load(NULL, &call, "team/", "team/a/x.tar", "\"e-1\"", &read, &err),
                     -ENOENT);
    assert_int_equal(record_delete(NULL, &call, "team/", "team/a/x.tar", "\"e-1\"", &err), 0);
    record_free(record);
}

// Where a record stands is not whose it is.
static void test_another_objects_record_is_refused(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/x.tar", "\"e-1\"");
    struct record *read = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, clock_system());
    assert_int_equal(record_store(NULL, &call, "", record, &err), 0);
    strcpy(store.key, ".prereleasefs/records/a/y.tar/e-1.json");
    assert_int_equal(record_load(NULL, &call, "", "a/y.tar", "\"e-1\"", &read, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "another object"));
    strcpy(store.key, ".prereleasefs/records/a/x.tar/e-2.json");
    assert_int_equal(record_load(NULL, &call, "", "a/x.tar", "\"e-2\"", &read, &err), -EBADMSG);
    strcpy(store.key, ".prereleasefs/records/a/x.tar/e-1.json");
    store.extra_bytes = RECORD_LIMIT;
    assert_int_equal(record_load(NULL, &call, "", "a/x.tar", "\"e-1\"", &read, &err), -EBADMSG);
    store.extra_bytes = 0;
    assert_int_equal(record_load(NULL, &call, "", "a/x.tar", "\"e-1\"", &read, &err), 0);
    record_free(read);
    record_free(record);
}

static void test_store_fails(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/x.tar", "\"e-1\"");
    struct record *read = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, clock_system());
    store.error = EACCES;
    assert_int_equal(record_store(NULL, &call, "", record, &err), -EACCES);
    assert_non_null(strstr(err.text, "a/x.tar"));
    assert_int_equal(record_load(NULL, &call, "", "a/x.tar", "\"e-1\"", &read, &err), -EACCES);
    assert_int_equal(record_delete(NULL, &call, "", "a/x.tar", "\"e-1\"", &err), -EACCES);
    store.error = 0;
    record->size_bytes = UINT64_MAX;
    assert_int_equal(record_store(NULL, &call, "", record, &err), -EBADMSG);
    record_free(record);
}

// jansson's own allocations go through here, so that they can be made to fail.
static void *allocate(size_t size)
{
    return malloc(size);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct record *record = fixture_record("a/x.tar", "\"e-1\"");
    bool was_refused = true;
    json_set_alloc_funcs(allocate, free);
    for (int nth = 1; was_refused; nth++) {
        auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
        struct err err = {0};
        memory_fail_at(nth);
        int error = record_format(record, &json, &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        // (jansson's dump answers a failure of its own hash tables' growth in its own way)
        assert_int_equal(error < 0, was_refused);
    }
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};
    assert_int_equal(record_format(record, &json, &err), 0);
    was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        struct record *read = NULL;
        memory_fail_at(nth);
        int error = record_parse(json.bytes, json.size, &read, &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error < 0, was_refused);
        record_free(read);
    }
    json_set_alloc_funcs(malloc, free);
    record_free(record);
}

static int forget_store(void **state)
{
    (void)state;
    buf_done(&store.bytes);
    store.key[0] = '\0';
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_signatures_in_words),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_format_refuses),
        cmocka_unit_test(test_largest_image),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_object_keys),
        cmocka_unit_test(test_etags),
        cmocka_unit_test_teardown(test_store_load_delete, forget_store),
        cmocka_unit_test_teardown(test_another_objects_record_is_refused, forget_store),
        cmocka_unit_test(test_store_fails),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
