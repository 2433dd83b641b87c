// The board of publishes, as status.tsv shows it.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/publish/status.h"
#include "fs/tsv.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "started\tfile\treference\tstate\tdone\ttotal\tdetail\n"

static int64_t test_now_ms(const struct clock *clock)
{
    (void)clock;
    return INT64_C(1795223793000);
}

static const struct clock test_clock = {.now_ms = test_now_ms, .monotonic_ms = test_now_ms};

static struct status *new_status(void)
{
    struct status *status = NULL;
    struct err err = {0};
    assert_int_equal(status_new(&test_clock, &status, &err), 0);
    return status;
}

static void check_text(struct status *status, const char *directory, const char *expected)
{
    auto_buf struct buf text = BUF_INIT(1 << 20);
    assert_int_equal(status_render(status, directory, &text), 0);
    assert_string_equal(buf_text(&text), expected);
}

static void test_empty(void **state)
{
    (void)state;
    struct status *status = new_status();
    assert_false(status_has(status, "a"));
    check_text(status, "a", HEADER);
    status_free(status);
    status_free(NULL);
}

static void test_life_of_a_row(void **state)
{
    (void)state;
    struct status *status = new_status();
    struct status_row *row = status_open(status, "a/b", "x.tar", "ghcr.io/x:1");
    assert_true(status_has(status, "a/b"));
    assert_false(status_has(status, "a"));
    check_text(status, "a/b",
               HEADER "2026-11-21T01:16:33Z\tx.tar\tghcr.io/x:1\trunning\t0\t-\t-\n");
    status_row_set_total(row, 1000);
    status_row_add_done(row, 600);
    status_row_add_done(row, -100);
    status_row_set_detail(row, "retrying: 503");
    check_text(status, "a/b",
               HEADER
               "2026-11-21T01:16:33Z\tx.tar\tghcr.io/x:1\trunning\t500\t1000\tretrying: 503\n");
    status_close(row, STATUS_PUBLISHED, "in 3 s");
    check_text(status, "a/b",
               HEADER "2026-11-21T01:16:33Z\tx.tar\tghcr.io/x:1\tpublished\t500\t1000\tin 3 s\n");
    check_text(status, "a", HEADER);
    status_free(status);
}

static void test_states_and_details(void **state)
{
    (void)state;
    static const struct {
        enum status_state state;
        const char *name;
    } table[] = {
        {STATUS_PUBLISHED, "published"},
        {STATUS_UNCHANGED, "unchanged"},
        {STATUS_FAILED, "failed"},
        {STATUS_CANCELLED, "cancelled"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct status *status = new_status();
        char expected[300];
        struct status_row *row = status_open(status, "", "x", "r");
        status_row_set_detail(row, "kept");
        status_row_set_total(row, 0);
        status_row_add_done(row, -5);
        status_close(row, table[i].state, NULL);
        snprintf(expected, sizeof(expected), HEADER "2026-11-21T01:16:33Z\tx\tr\t%s\t0\t0\tkept\n",
                 table[i].name);
        check_text(status, "", expected);
        status_free(status);
    }
}

static void test_refused_and_escaped(void **state)
{
    (void)state;
    struct status *status = new_status();
    status_refused(status, "a", "my\tfile\n\\.ref", NULL, "line 1: no\n");
    check_text(status, "a",
               HEADER
               "2026-11-21T01:16:33Z\tmy\\tfile\\n\\\\.ref\t-\tfailed\t0\t-\tline 1: no\\n\n");
    status_free(status);
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    while ((text = strchr(text, '\n'))) {
        text++;
        count++;
    }
    return count;
}

// The oldest ended rows go, running ones stay.
static void test_bounded(void **state)
{
    (void)state;
    struct status *status = new_status();
    struct status_row *first = status_open(status, "a", "first.tar", "r");
    auto_buf struct buf text = BUF_INIT(1 << 20);
    for (int i = 0; i < STATUS_ROWS_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.tar", i);
        status_close(status_open(status, "a", name, "r"), STATUS_PUBLISHED, NULL);
    }
    assert_int_equal(status_render(status, "a", &text), 0);
    assert_int_equal(count_lines(text.bytes), STATUS_ROWS_MAX + 1);
    assert_non_null(strstr(text.bytes, "\tfirst.tar\t"));
    assert_null(strstr(text.bytes, "\tn50.tar\t"));
    assert_non_null(strstr(text.bytes, "\tn51.tar\t"));
    assert_non_null(strstr(text.bytes, "\tn1049.tar\t"));
    // The one that has ended last of all the oldest is next, and rows still find their end.
    status_close(first, STATUS_FAILED, "why");
    status_close(status_open(status, "a", "last.tar", "r"), STATUS_PUBLISHED, NULL);
    buf_clear(&text);
    assert_int_equal(status_render(status, "a", &text), 0);
    assert_null(strstr(text.bytes, "\tfirst.tar\t"));
    assert_non_null(strstr(text.bytes, "\tlast.tar\t"));
    status_free(status);
}

static void test_only_running_rows_may_pass_the_bound(void **state)
{
    (void)state;
    struct status *status = new_status();
    auto_buf struct buf text = BUF_INIT(1 << 20);
    for (int i = 0; i < STATUS_ROWS_MAX + 5; i++)
        assert_non_null(status_open(status, "a", "n.tar", "r"));
    assert_int_equal(status_render(status, "a", &text), 0);
    assert_int_equal(count_lines(text.bytes), STATUS_ROWS_MAX + 5 + 1);
    status_free(status);
}

static void test_full_text(void **state)
{
    (void)state;
    struct status *status = new_status();
    auto_buf struct buf text = BUF_INIT(60);
    status_refused(status, "a", "x", "r", "detail");
    assert_int_equal(status_render(status, "a", &text), -EFBIG);
    status_free(status);
}

static void test_null_rows_are_taken(void **state)
{
    (void)state;
    status_row_set_total(NULL, 1);
    status_row_add_done(NULL, 1);
    status_row_set_detail(NULL, "x");
    status_close(NULL, STATUS_FAILED, "x");
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct status *status = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int error = status_new(&test_clock, &status, &err);
        struct status_row *row = error == 0 ? status_open(status, "a", "x.tar", "r") : NULL;
        status_row_set_detail(row, "x");
        status_close(row, STATUS_FAILED, "y");
        if (status)
            status_refused(status, "b", "x.ref", NULL, "z");
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, status ? 0 : -ENOMEM);
        status_free(status);
        if (!has_failed)
            break;
    }
}

static void *publish_many(void *context)
{
    for (int i = 0; i < 500; i++) {
        struct status_row *row = status_open(context, "a", "x.tar", "r");
        status_row_set_total(row, 10);
        status_row_add_done(row, 10);
        status_row_set_detail(row, "half way");
        status_close(row, STATUS_PUBLISHED, NULL);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct status *status = new_status();
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_create(&threads[i], NULL, publish_many, status);
    for (int i = 0; i < 50; i++) {
        auto_buf struct buf text = BUF_INIT(1 << 20);
        assert_int_equal(status_render(status, "a", &text), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    status_free(status);
}

static void test_tsv_fields(void **state)
{
    (void)state;
    static const struct {
        const char *field, *expected;
    } table[] = {
        {NULL, "-"},
        {"", "-"},
        {"a", "a"},
        {"a b", "a b"},
        {"\t", "\\t"},
        {"a\nb", "a\\nb"},
        {"\\n", "\\\\n"},
        {"a\t\t", "a\\t\\t"},
        {"\xC3\xA4", "\xC3\xA4"},
        {"a\xFF", "a\\xff"},
        {"\r\x1B[2J\x7F", "\\x0d\\x1b[2J\\x7f"},
        {"\xC2\x9B", "\\xc2\\x9b"},
        {"\xE2\x80\xAEgpj", "\\xe2\\x80\\xaegpj"},
        {"\xEF\xBF\xBD", "\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_buf struct buf text = BUF_INIT(100);
        assert_int_equal(tsv_field(&text, table[i].field), 0);
        assert_string_equal(buf_text(&text), table[i].expected);
    }
    auto_buf struct buf full = BUF_INIT(3);
    assert_int_equal(tsv_field(&full, "ab\tcd"), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_life_of_a_row),
        cmocka_unit_test(test_states_and_details),
        cmocka_unit_test(test_refused_and_escaped),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_only_running_rows_may_pass_the_bound),
        cmocka_unit_test(test_full_text),
        cmocka_unit_test(test_null_rows_are_taken),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_tsv_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
