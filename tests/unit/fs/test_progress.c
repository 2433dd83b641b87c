// prereleasefs-progress: what successive readings of a status.tsv tell, and how it is shown.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/progress/show.h"
#include "fs/progress/watch.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <string.h>

#define HEADER "started\tfile\treference\tstate\tdone\ttotal\tdetail\n"
#define OLD "2026-11-21T01:00:00Z\told.tar\tghcr.io/x:0\t"
#define ONE "2026-11-21T01:16:33Z\tx.tar\tghcr.io/x:1\t"
#define TWO "2026-11-21T01:16:33Z\ty.tar\tghcr.io/y:1\t"

static void take(struct watch *watch, const char *text, int64_t now_ms)
{
    struct err err = {0};
    assert_int_equal(watch_read(watch, text, strlen(text), now_ms, &err), 0);
}

static void check_line(void (*show)(struct buf *, const struct watch_row *, const struct show *),
                       const struct watch_row *row, int width, const char *expected)
{
    const struct show how = {.width = width, .name_width = 8, .is_unicode = true};
    auto_buf struct buf text = BUF_INIT(1 << 16);
    show(&text, row, &how);
    assert_string_equal(buf_text(&text), expected);
}

static void test_old_ends_are_no_news(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER OLD "failed\t0\t-\tno such tag\n" ONE "running\t0\t-\t-\n", 0);
    assert_true(watch_is_running(&watch));
    assert_true(watch.rows[0].is_old);
    assert_false(watch.rows[1].is_old);
    take(&watch,
         HEADER OLD "failed\t0\t-\tno such tag\n" ONE "published\t9\t9\t-\n" TWO
                    "unchanged\t0\t9\t-\n",
         1000);
    assert_false(watch_is_running(&watch));
    assert_false(watch.rows[2].is_old);
    assert_true(watch_is_well(&watch));
    watch_done(&watch);
    watch_done(NULL);
}

static void test_one_that_fails_decides(void **state)
{
    (void)state;
    static const char *const ends[] = {"failed\t0\t9\twhy\n", "cancelled\t0\t9\t-\n"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct watch watch;
        auto_buf struct buf text = BUF_INIT(4096);
        watch_init(&watch);
        take(&watch, HEADER ONE "running\t0\t-\t-\n" TWO "running\t0\t-\t-\n", 0);
        buf_printf(&text, HEADER ONE "%s" TWO "published\t9\t9\t-\n", ends[i]);
        take(&watch, buf_text(&text), 1000);
        assert_false(watch_is_well(&watch));
        watch_done(&watch);
    }
}

static void test_nothing_under_way_is_judged_by_the_last(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER, 0);
    assert_true(watch_is_well(&watch));
    watch_done(&watch);
    take(&watch, HEADER OLD "failed\t0\t-\t-\n" ONE "published\t9\t9\t-\n", 0);
    assert_true(watch_is_well(&watch));
    watch_done(&watch);
    take(&watch, HEADER ONE "published\t9\t9\t-\n" TWO "failed\t0\t-\t-\n", 0);
    assert_false(watch_is_well(&watch));
    watch_done(&watch);
}

static void test_a_first_reading_of_nothing(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    watch_read_nothing(&watch);
    take(&watch, HEADER "2026-11-21T01:16:33Z\tx.ref\t-\tfailed\t0\t-\tbad line\n", 0);
    assert_false(watch.rows[0].is_old);
    assert_false(watch_is_well(&watch));
    watch_done(&watch);
}

static void test_equal_rows_keep_their_order(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER ONE "failed\t0\t-\tfirst\n" ONE "running\t1\t9\t-\n", 0);
    take(&watch, HEADER ONE "failed\t0\t-\tfirst\n" ONE "published\t9\t9\t-\n", 1000);
    assert_int_equal(watch.count, 2);
    assert_int_equal(watch.rows[0].state, WATCH_FAILED);
    assert_int_equal(watch.rows[1].state, WATCH_PUBLISHED);
    assert_true(watch_is_well(&watch));
    watch_done(&watch);
}

static void test_a_row_that_vanishes_is_lost(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER OLD "published\t9\t9\t-\n" ONE "running\t1\t9\t-\n", 0);
    take(&watch, HEADER, 1000);
    assert_int_equal(watch.rows[0].state, WATCH_PUBLISHED);
    assert_int_equal(watch.rows[1].state, WATCH_LOST);
    assert_false(watch_is_running(&watch));
    assert_false(watch_is_well(&watch));
    check_line(show_end, &watch.rows[1], 80, "x.tar: lost: the mount has ended");
    watch_done(&watch);
}

static void test_rate_and_time_left(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER ONE "running\t0\t-\t-\n", 0);
    assert_int_equal(watch_left_s(&watch.rows[0]), -1);
    check_line(show_line, &watch.rows[0], 80, "x.tar: asking the registry");
    take(&watch, HEADER ONE "running\t0\t100000000\t-\n", 100);
    assert_int_equal(watch.rows[0].rate_bytes_s, -1);
    take(&watch, HEADER ONE "running\t20000000\t100000000\t-\n", 1000);
    assert_int_equal(watch.rows[0].rate_bytes_s, 20000000);
    assert_int_equal(watch_left_s(&watch.rows[0]), 4);
    check_line(show_line, &watch.rows[0], 80,
               "x.tar:  20%, 20.0 of 100.0 MB, 20.0 MB/s, 0:04 left");
    check_line(show_bar, &watch.rows[0], 93,
               "x.tar     [######........................]   20%  20.0 of 100.0 MB  20.0 MB/s  "
               "0:04 left");
    // Work that is done again slows it, and is no negative rate.
    take(&watch, HEADER ONE "running\t5000000\t100000000\t-\n", 5000);
    assert_in_range(watch.rows[0].rate_bytes_s, 1, 15000000);
    for (int64_t at = 1; at < 100; at++)
        take(&watch, HEADER ONE "running\t5000000\t100000000\t-\n", 5000 + at * 1000);
    assert_int_equal(watch_left_s(&watch.rows[0]), -1);
    take(&watch, HEADER ONE "running\t100000000\t100000000\twaits for y.tar\n", 200000);
    check_line(show_line, &watch.rows[0], 80,
               "x.tar: 100%, 100.0 of 100.0 MB, finishing, waits for y.tar");
    take(&watch, HEADER ONE "published\t100000000\t100000000\t-\n", 200500);
    check_line(show_end, &watch.rows[0], 80, "x.tar: published, 100.0 MB");
    watch_done(&watch);
}

static void test_hostile_text_is_made_harmless(void **state)
{
    (void)state;
    struct watch watch;
    const struct show how = {.width = 40, .name_width = 8, .is_unicode = true};
    auto_buf struct buf text = BUF_INIT(4096);
    watch_init(&watch);
    take(&watch,
         HEADER "t\t\033[2Jx\r\b\x7f.tar\tr\tfailed\t1\t9\t"
                "\033]0;title\a\xc2\x9b"
                "2J \xe2\x80\xae\xff\xc3\n",
         0);
    check_line(show_end, &watch.rows[0], 40, "?[2Jx???.tar: failed: ?]0;title??2J ???");
    watch.rows[0].state = WATCH_RUNNING;
    show_bar(&text, &watch.rows[0], &how);
    assert_null(strchr(buf_text(&text), '\033'));
    assert_true(strlen(buf_text(&text)) <= 40);
    watch_done(&watch);
}

static void test_text_takes_no_more_than_its_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
        int columns;
        bool is_unicode;
    } cases[] = {
        {"abc", "abc  ", 5, true},
        {"abcdef", "abcde", 5, true},
        {"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2 ", 3, true}, // two columns each
        {"\xc3\xa4\xc3\xb6", "\xc3\xa4\xc3\xb6 ", 3, true},
        {"\xc3\xa4", "?  ", 3, false},
        {"", "  ", 2, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_buf struct buf text = BUF_INIT(100);
        show_text(&text, cases[i].text, cases[i].columns, true, cases[i].is_unicode);
        assert_string_equal(buf_text(&text), cases[i].expected);
    }
}

static void test_narrow_screens_do_without_the_bar(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch, HEADER ONE "running\t1\t2\t-\n", 0);
    check_line(show_bar, &watch.rows[0], 30, "x.tar      50%  1 of 2 B");
    check_line(show_bar, &watch.rows[0], 3, "x.t");
    check_line(show_bar, &watch.rows[0], -1, "");
    watch_done(&watch);
}

static void test_what_is_no_status_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "file\turl\n",
        "started\tfile\treference\tstate\tdone\ttotal\tdetail",
        HEADER "\n",
        HEADER "a\tb\tc\trunning\t1\t2\n",
        HEADER "a\tb\tc\tsleeping\t1\t2\t-\n",
        HEADER "a\tb\tc\trunning\t-1\t2\t-\n",
        HEADER "a\tb\tc\trunning\t\t2\t-\n",
        HEADER "a\tb\tc\trunning\t1\t2x\t-\n",
        HEADER "a\tb\tc\trunning\t99999999999999999999\t2\t-\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct watch watch;
        struct err err = {0};
        watch_init(&watch);
        assert_int_equal(watch_read(&watch, texts[i], strlen(texts[i]), 0, &err), -EINVAL);
        watch_done(&watch);
    }
}

static void test_further_columns_and_half_a_line(void **state)
{
    (void)state;
    struct watch watch;
    watch_init(&watch);
    take(&watch,
         "started\tfile\treference\tstate\tdone\ttotal\tdetail\tmore\n" ONE
         "published\t1\t2\t-\tx\ty\n" TWO "runn",
         0);
    assert_int_equal(watch.count, 1);
    assert_null(watch.rows[0].detail);
    watch_done(&watch);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = HEADER ONE "failed\t1\t2\twhy\n" TWO "running\t0\t-\t-\n";
    struct err err = {0};
    int error = -ENOMEM;
    for (int nth = 1; error != 0; nth++) {
        struct watch watch;
        watch_init(&watch);
        memory_fail_at(nth);
        error = watch_read(&watch, text, strlen(text), 0, &err);
        memory_fail_at(0);
        assert_true(error == 0 || error == -ENOMEM);
        watch_done(&watch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_ends_are_no_news),
        cmocka_unit_test(test_one_that_fails_decides),
        cmocka_unit_test(test_nothing_under_way_is_judged_by_the_last),
        cmocka_unit_test(test_a_first_reading_of_nothing),
        cmocka_unit_test(test_equal_rows_keep_their_order),
        cmocka_unit_test(test_a_row_that_vanishes_is_lost),
        cmocka_unit_test(test_rate_and_time_left),
        cmocka_unit_test(test_hostile_text_is_made_harmless),
        cmocka_unit_test(test_text_takes_no_more_than_its_columns),
        cmocka_unit_test(test_narrow_screens_do_without_the_bar),
        cmocka_unit_test(test_what_is_no_status_is_refused),
        cmocka_unit_test(test_further_columns_and_half_a_line),
        cmocka_unit_test(test_no_memory),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
