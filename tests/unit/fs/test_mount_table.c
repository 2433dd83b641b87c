// Lines of /proc/self/mountinfo, right and wrong, and the mount of a descriptor.
#include "tests/unit/base/test.h"

#include "fs/mount_table.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FUSE_LINE                                                                                  \
    "60 31 0:52 / /mnt/pre rw,nosuid shared:9 - fuse.prereleasefs bucket/team rw,user_id=0"

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int id;
        const char *path, *type, *source;
    } rows[] = {
        {FUSE_LINE, 60, "/mnt/pre", "fuse.prereleasefs", "bucket/team"},
        {"60 31 0:52 / /mnt rw - ext4 /dev/sda rw\n", 60, "/mnt", "ext4", "/dev/sda"},
        {"1 0 8:1 / / rw shared:1 master:2 propagate_from:3 - xfs none rw", 1, "/", "xfs", "none"},
        {"7 1 0:1 / /a\\040b\\011c\\012d\\134e rw - tmpfs a\\040b rw", 7, "/a b\tc\nd\\e", "tmpfs",
         "a b"},
        {"7 1 0:1 / /odd\\04 rw - tmpfs x\\9 rw", 7, "/odd\\04", "tmpfs", "x\\9"},
        {"7 1 0:1 / /- rw - tmpfs  rw", 7, "/-", "tmpfs", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mounted mounted = {0};
        assert_int_equal(mount_table_parse(rows[i].line, &mounted), 0);
        assert_int_equal(mounted.id, rows[i].id);
        assert_string_equal(mounted.path, rows[i].path);
        assert_string_equal(mounted.type, rows[i].type);
        assert_string_equal(mounted.source, rows[i].source);
        mounted_done(&mounted);
    }
}

static void test_what_is_no_line(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "\n",
        "60",
        "60 31 0:52 / /mnt rw",
        "60 31 0:52 / /mnt rw shared:9",
        "60 31 0:52 / /mnt rw -",
        "60 31 0:52 / /mnt rw - ext4",
        "60 31 0:52 / /mnt rw -  /dev/sda",
        "x 31 0:52 / /mnt rw - ext4 /dev/sda",
        "-1 31 0:52 / /mnt rw - ext4 /dev/sda",
        "6x 31 0:52 / /mnt rw - ext4 /dev/sda",
        "99999999999999999999 31 0:52 / /mnt rw - ext4 /dev/sda",
        "60  0:52 / /mnt rw - ext4 /dev/sda",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct mounted mounted = {0};
        if (mount_table_parse(lines[i], &mounted) != -EINVAL)
            fail_msg("taken: %s", lines[i]);
        assert_null(mounted.path);
    }
}

static void test_every_prefix_of_a_line_is_taken_or_refused(void **state)
{
    (void)state;
    char line[] = FUSE_LINE;
    for (size_t size = sizeof(line) - 1; size > 0; size--) {
        struct mounted mounted = {0};
        line[size] = '\0';
        (void)mount_table_parse(line, &mounted);
        mounted_done(&mounted);
    }
}

static void test_proc_is_found(void **state)
{
    (void)state;
    struct mounted mounted = {0};
    int fd = open("/proc/self/stat", O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(mount_table_find(fd, &mounted), 0);
    assert_string_equal(mounted.path, "/proc");
    assert_string_equal(mounted.type, "proc");
    mounted_done(&mounted);
    close(fd);
    assert_int_equal(mount_table_find(-1, &mounted), -ENOENT);
    mounted_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_what_is_no_line),
        cmocka_unit_test(test_every_prefix_of_a_line_is_taken_or_refused),
        cmocka_unit_test(test_proc_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
