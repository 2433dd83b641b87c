// Entries of the layer index: tests/corpus/layer_entry by file name, all of it below "team/".
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/publish/layer_entry.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/damage.h"
#include "tests/unit/registry/corpus.h"

#include <errno.h>

static int parse(const char *bytes, size_t size)
{
    auto_free char *key = NULL;
    auto_free char *etag = NULL;
    struct err err = {0};
    int error = layer_entry_parse(bytes, size, "team/", &key, &etag, &err);
    if (error < 0) {
        assert_null(key);
        assert_null(etag);
        assert_int_equal(error, -EBADMSG);
        assert_true(*err.text);
        return error;
    }
    // What was taken can be written, and read again.
    auto_free char *json = layer_entry_format(key, etag);
    auto_free char *key_again = NULL;
    auto_free char *etag_again = NULL;
    assert_non_null(json);
    assert_int_equal(layer_entry_parse(json, strlen(json), "team/", &key_again, &etag_again, &err),
                     0);
    assert_string_equal(key, key_again);
    assert_string_equal(etag, etag_again);
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
    corpus_replay("layer_entry/accept", check_accepted);
    corpus_replay("layer_entry/reject", check_rejected);
}

static void test_bytes(void **state)
{
    (void)state;
    auto_free char *json = layer_entry_format("b/x.tar", "\"e-1\"");
    assert_string_equal(json, "{\"version\":1,\"key\":\"b/x.tar\",\"etag\":\"\\\"e-1\\\"\"}");
}

// Without a prefix every key outside .prereleasefs/ is the mount's.
static void test_no_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int error;
    } rows[] = {
        {"{\"version\":1,\"key\":\"x.tar\",\"etag\":\"e\"}", 0},
        {"{\"version\":1,\"key\":\"\",\"etag\":\"e\"}", -EBADMSG},
        {"{\"version\":1,\"key\":\".prereleasefs/x.tar\",\"etag\":\"e\"}", -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        auto_free char *key = NULL;
        auto_free char *etag = NULL;
        struct err err = {0};
        assert_int_equal(
            layer_entry_parse(rows[i].json, strlen(rows[i].json), "", &key, &etag, &err),
            rows[i].error);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char json[] = "{\"version\":1,\"key\":\"team/x.tar\",\"etag\":\"e\"}";
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        auto_free char *key = NULL;
        auto_free char *etag = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int error = layer_entry_parse(json, strlen(json), "team/", &key, &etag, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(has_failed ? error == -ENOMEM || error == -EBADMSG : error == 0);
        assert_int_equal(key == NULL, error < 0);
        assert_int_equal(etag == NULL, error < 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_no_prefix),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
