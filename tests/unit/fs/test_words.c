// Sizes, moments and spans in words, by tables.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/words.h"

static void check(const struct buf *text, const char *expected)
{
    assert_string_equal(buf_text(text), expected);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *words, *number;
    } table[] = {
        {0, "0 bytes", "0"},
        {1, "1 byte", "1"},
        {999, "999 bytes", "999"},
        {1000, "1.00 kB", "1,000"},
        {1999, "1.99 kB", "1,999"},
        {12345, "12.3 kB", "12,345"},
        {999999, "999 kB", "999,999"},
        {1000000, "1.00 MB", "1,000,000"},
        {1021313024, "1.02 GB", "1,021,313,024"},
        {50000000000000, "50.0 TB", "50,000,000,000,000"},
        {UINT64_MAX, "18.4 EB", "18,446,744,073,709,551,615"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_buf struct buf words = BUF_INIT(100);
        auto_buf struct buf number = BUF_INIT(100);
        words_size(&words, table[i].bytes);
        words_number(&number, table[i].bytes);
        check(&words, table[i].words);
        check(&number, table[i].number);
    }
}

static void test_moments(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *words;
    } table[] = {
        {0, "Thursday 1 January 1970, 00:00 UTC"},
        {INT64_C(1795223793999), "Saturday 21 November 2026, 01:16 UTC"},
        {INT64_C(1835395200000), "Tuesday 29 February 2028, 00:00 UTC"},
        {INT64_C(253402300799999), "Friday 31 December 9999, 23:59 UTC"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_buf struct buf words = BUF_INIT(100);
        words_moment(&words, table[i].ms);
        check(&words, table[i].words);
    }
}

static void test_spans(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *words;
    } table[] = {
        {-5, "0 seconds"},
        {0, "0 seconds"},
        {1, "1 second"},
        {59, "59 seconds"},
        {60, "1 minute"},
        {61, "1 minute 1 second"},
        {3599, "59 minutes 59 seconds"},
        {3600, "1 hour"},
        {3661, "1 hour 1 minute"},
        {43080, "11 hours 58 minutes"},
        {86400, "1 day"},
        {86400 + 59, "1 day"},
        {604800, "7 days"},
        {604799, "6 days 23 hours"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_buf struct buf words = BUF_INIT(100);
        words_span(&words, table[i].seconds * 1000);
        check(&words, table[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
