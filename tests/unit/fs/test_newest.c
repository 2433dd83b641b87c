// The newest tarballs below a branch, picked from a flat listing that the test plays.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/newest.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/listed_bucket.h"

#include <errno.h>

static int collect(struct newest_file **ret_files, size_t *ret_count, struct err *err)
{
    struct call call;
    call_init(&call, clock_system());
    return newest_collect(NULL, &call, "team/", "jps/fix", ret_files, ret_count, err);
}

static void check(const char *const *expected, size_t expected_count)
{
    struct newest_file *files = NULL;
    size_t count = 0;
    struct err err = {0};
    assert_int_equal(collect(&files, &count, &err), 0);
    for (size_t i = 0; i < count && i < expected_count; i++)
        assert_string_equal(files[i].path, expected[i]);
    assert_int_equal(count, expected_count);
    newest_free(files, count);
}

static void test_one_build_an_image(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "bbbbbbb/api:2-amd64.tar", "bbbbbbb/api:2-arm64.tar.gz", // both of that build
        "aaaaaaa/apiary.tar",      "bbbbbbb/tool.tar.gz",        "aaaaaaa/web:1.tar",
    };
    clear();
    add("team/jps/fix/aaaaaaa/api:1.tar", 1, 2);
    add("team/jps/fix/aaaaaaa/apiary.tar", 1, 2);
    add("team/jps/fix/aaaaaaa/tool.tar", 1, 3);
    add("team/jps/fix/aaaaaaa/web:1.tar", 1, 2);
    add("team/jps/fix/bbbbbbb/api:2-amd64.tar", 1, 1);
    add("team/jps/fix/bbbbbbb/api:2-arm64.tar.gz", 1, 9); // older than the other build's
    add("team/jps/fix/bbbbbbb/tool.tar.gz", 1, 1);
    check(expected, ARRAY_SIZE(expected));
    assert_int_equal(bucket.requests, 1);
}

static void test_what_is_no_build_s_tarball(void **state)
{
    (void)state;
    static const char *const expected[] = {"0123456/a.tar"};
    clear();
    add("team/jps/fix/0123456/a.tar", 1, 9);
    static const char *const others[] = {
        "0123456/images.ref",
        "0123456/notes.pdf",
        "0123456/deep/a.tar",
        "0123456/",
        "0123456",
        "0123456//a.tar",
        "012345/a.tar",
        "ABCDEF0/a.tar",
        "nightly/a.tar",
        "a.tar",
        "0123456/.tar",
        "/a.tar",
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        char key[100];
        snprintf(key, sizeof(key), "team/jps/fix/%s", others[i]);
        add(key, 1, 0);
    }
    add("team/jps/fixed/0123456/b.tar", 1, 0);
    check(expected, 1);
    clear();
    check(NULL, 0);
}

// Of files of one age it is always the same.
static void test_one_age(void **state)
{
    (void)state;
    static const char *const expected[] = {"aaaaaaa/x:1.tar"};
    clear();
    add("team/jps/fix/aaaaaaa/x:1.tar", 1, 1);
    add("team/jps/fix/bbbbbbb/x:2.tar", 1, 1);
    check(expected, 1);
}

static void test_too_many(void **state)
{
    (void)state;
    struct newest_file *files = NULL;
    size_t count = 0;
    struct err err = {0};
    clear();
    for (int i = 0; i < NEWEST_KEYS_MAX; i++) {
        char key[100];
        snprintf(key, sizeof(key), "team/jps/fix/%07x/x:%d.tar", (unsigned)i, i);
        add(key, 1, 0);
    }
    assert_int_equal(collect(&files, &count, &err), 0);
    assert_int_equal(count, 1);
    newest_free(files, count);
    assert_int_equal(bucket.requests, NEWEST_KEYS_MAX / S3_LIST_PAGE_KEYS);
    add("team/jps/fix/ffffffff/y.tar", 1, 0);
    files = NULL;
    assert_int_equal(collect(&files, &count, &err), -EFBIG);
    assert_null(files);
    assert_int_equal(bucket.requests, 2 * NEWEST_KEYS_MAX / S3_LIST_PAGE_KEYS);
}

static void test_failures(void **state)
{
    (void)state;
    struct newest_file *files;
    size_t count;
    struct err err = {0};
    clear();
    add("team/jps/fix/aaaaaaa/x:1.tar", 1, 1);
    add("team/jps/fix/bbbbbbb/x:2.tar", 1, 0);
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        memory_fail_at(nth);
        int error = collect(&files, &count, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, has_failed ? -ENOMEM : 0);
        if (error == 0)
            newest_free(files, count);
    }
    bucket.error = EACCES;
    assert_int_equal(collect(&files, &count, &err), -EACCES);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_build_an_image),
        cmocka_unit_test(test_what_is_no_build_s_tarball),
        cmocka_unit_test(test_one_age),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
