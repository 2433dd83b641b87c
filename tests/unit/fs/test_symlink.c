// Which objects are links, and where they may lead.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/symlink.h"

#include <errno.h>

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(symlink_name_size("prod.rclonelink", 1), 4);
    assert_int_equal(symlink_name_size("prod.rclonelink", SYMLINK_TARGET_MAX), 4);
    assert_int_equal(symlink_name_size("a.rclonelink.rclonelink", 5), 12);
    assert_int_equal(symlink_name_size("prod.rclonelink", 0), 0);
    assert_int_equal(symlink_name_size("prod.rclonelink", SYMLINK_TARGET_MAX + 1), 0);
    assert_int_equal(symlink_name_size(".rclonelink", 5), 0);
    assert_int_equal(symlink_name_size("rclonelink", 5), 0);
    assert_int_equal(symlink_name_size("prod.rclonelink.tar", 5), 0);
    assert_true(symlink_is_object_name("prod.rclonelink"));
    assert_false(symlink_is_object_name(".rclonelink"));
    assert_false(symlink_is_object_name("prod"));
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *directory;
        const char *target;
        bool is_allowed;
    } cases[] = {
        {"", "releases/v1", true},
        {"", ".", true},
        {"", "./a//b/./", true},
        {"", "..a/...", true},
        {"", "..", false},
        {"", "./..", false},
        {"", "/", false},
        {"", "/mnt/prerelease/releases", false},
        {"channels", "..", true},
        {"channels", "../", true},
        {"channels", "../releases/v1", true},
        {"channels", ".//.././releases", true},
        {"channels", "../..", false},
        {"channels", "..//../x", false},
        {"channels", "prod/..", false},
        {"channels", "../a/../b", false},
        {"a/b/c", "../../../x", true},
        {"a/b/c", "../../../../x", false},
        {"a/b/c", "up/../../etc", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        int error = symlink_check_target(cases[i].directory, cases[i].target, &err);
        if (error != (cases[i].is_allowed ? 0 : -EXDEV))
            fail_msg("%s from %s: %d", cases[i].target, cases[i].directory, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
