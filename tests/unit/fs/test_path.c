// Names: what a key's component may be, and the names that a customer's machine can save.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/path.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_components(void **state)
{
    (void)state;
    char longest[PATH_NAME_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    assert_true(path_is_component("a", 1));
    assert_true(path_is_component("...", 3));
    assert_true(path_is_component(".a", 2));
    assert_true(path_is_component("a b\n", 4));
    assert_true(path_is_component(longest, PATH_NAME_MAX));
    assert_false(path_is_component(longest, PATH_NAME_MAX + 1));
    assert_false(path_is_component("", 0));
    assert_false(path_is_component(".", 1));
    assert_false(path_is_component("..", 2));
    assert_false(path_is_component("a/b", 3));
    assert_false(path_is_component("a\0b", 3));
}

static void test_kinds(void **state)
{
    (void)state;
    assert_true(path_is_reference_file("images.ref"));
    assert_true(path_is_reference_file(".a.ref"));
    assert_true(path_is_reference_file(".ref"));
    assert_false(path_is_reference_file("images.ref.txt"));
    assert_false(path_is_reference_file("images.REF"));
    assert_true(path_is_under_releases("releases"));
    assert_true(path_is_under_releases("releases/v1"));
    assert_false(path_is_under_releases("releases-old/v1"));
    assert_false(path_is_under_releases("jps/releases"));
    assert_false(path_is_under_releases(""));
}

static void assert_text(char *text, const char *wanted)
{
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_joining(void **state)
{
    (void)state;
    assert_text(path_join("", "a"), "a");
    assert_text(path_join("a/b", "c"), "a/b/c");
    assert_text(path_key("", "", "c"), "c");
    assert_text(path_key("p/", "", "c"), "p/c");
    assert_text(path_key("p/q/", "a", "c"), "p/q/a/c");
    assert_text(path_list_prefix("", ""), "");
    assert_text(path_list_prefix("p/", ""), "p/");
    assert_text(path_list_prefix("p/", "a/b"), "p/a/b/");
    assert_text(path_parent("a"), "");
    assert_text(path_parent("a/b/c"), "a/b");
    assert_string_equal(path_last("a"), "a");
    assert_string_equal(path_last("a/b"), "b");
    assert_int_equal(path_hash("a/b"), path_hash("a/b"));
    assert_int_not_equal(path_hash("a/b"), path_hash("a/c"));
}

static void test_download_name(void **state)
{
    (void)state;
    assert_text(path_download_name("runtime:main-abc1234.tar"), "runtime_main-abc1234.tar");
    assert_text(path_download_name("A-Za-z0.9_+.tar.gz"), "A-Za-z0.9_+.tar.gz");
    assert_text(path_download_name("a b\"c\n\\<d>.tar"), "a_b_c___d_.tar");
    assert_text(path_download_name("\xc3\xa9.tar"), "__.tar");
    assert_text(path_download_name(".hidden"), "_hidden");
    assert_text(path_download_name("-rf"), "_rf");

    char name[PATH_NAME_MAX + 1], expected[PATH_NAME_MAX + 1];
    memset(name, 'x', 255);
    strcpy(name + 255 - 7, ".tar.gz");
    memset(expected, 'x', 200);
    strcpy(expected + 200 - 7, ".tar.gz");
    assert_text(path_download_name(name), expected);
    name[1] = '.'; // what follows the last dot is no extension that anybody knows
    name[255 - 7] = name[255 - 3] = 'x';
    memset(expected, 'x', 200);
    expected[1] = '.';
    expected[200] = '\0';
    assert_text(path_download_name(name), expected);
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}

static void test_download_names_are_unique(void **state)
{
    (void)state;
    static const char *const names[] = {
        "app:1.tar", "app_1.tar",  "APP_1.tar",  "app.tar.gz", "app?1.tar", "b",
        "B",         "c:1.tar.gz", "c@1.tar.gz", ".x",         "_x",
    };
    char *safe[ARRAY_SIZE(names)];
    assert_int_equal(path_download_names(names, ARRAY_SIZE(names), safe), 0);
    assert_string_equal(safe[0], "app_1.tar");
    assert_string_equal(safe[3], "app.tar.gz");
    assert_string_equal(safe[5], "b");
    // The extension stays the last.
    assert_string_equal(safe[1] + strlen(safe[1]) - 4, ".tar");
    assert_string_equal(safe[8] + strlen(safe[8]) - 7, ".tar.gz");
    assert_int_equal(strlen(safe[8]), strlen("c_1-01234567.tar.gz"));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(strcasecmp(safe[i], safe[j]), 0);
    }
    // Whoever names a file as the hash would have it gets another.
    const char *const tricky[] = {"app:1.tar", safe[1], "app_1.tar"};
    char *unique[ARRAY_SIZE(tricky)];
    assert_int_equal(path_download_names(tricky, ARRAY_SIZE(tricky), unique), 0);
    assert_string_equal(unique[1], safe[1]);
    assert_string_not_equal(unique[2], unique[1]);
    free_names(unique, ARRAY_SIZE(tricky));
    free_names(safe, ARRAY_SIZE(names));
    assert_int_equal(path_download_names(NULL, 0, NULL), 0);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"a:1.tar", "a_1.tar", "b"};
    char *safe[ARRAY_SIZE(names)];
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        memory_fail_at(nth);
        int error = path_download_names(names, ARRAY_SIZE(names), safe);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(error == 0 || (error == -ENOMEM && has_failed));
        if (error == 0)
            free_names(safe, ARRAY_SIZE(names));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_components),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_joining),
        cmocka_unit_test(test_download_name),
        cmocka_unit_test(test_download_names_are_unique),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
