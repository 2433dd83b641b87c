#include "test.h"

#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <stdint.h>

static void formats(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *rfc3339;
        const char *basic;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z", "19700101T000000Z"},
        {999, "1970-01-01T00:00:00Z", "19700101T000000Z"},
        {1769862896789, "2026-01-31T12:34:56Z", "20260131T123456Z"},
        {951782400000, "2000-02-29T00:00:00Z", "20000229T000000Z"},
        {253402300799999, "9999-12-31T23:59:59Z", "99991231T235959Z"},
        {-1, "1970-01-01T00:00:00Z", "19700101T000000Z"},
        {INT64_MIN, "1970-01-01T00:00:00Z", "19700101T000000Z"},
        {INT64_MAX, "9999-12-31T23:59:59Z", "99991231T235959Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char rfc3339[CLOCK_RFC3339_SIZE];
        char basic[CLOCK_BASIC_SIZE];
        clock_format_rfc3339(cases[i].ms, rfc3339);
        clock_format_basic(cases[i].ms, basic);
        assert_string_equal(rfc3339, cases[i].rfc3339);
        assert_string_equal(basic, cases[i].basic);
    }
}

static void parses_rfc3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-31T12:34:56Z", 1769862896000},
        {"2026-01-31t12:34:56z", 1769862896000},
        {"2026-01-31T12:34:56.789Z", 1769862896789},
        {"2026-01-31T12:34:56.7Z", 1769862896700},
        {"2026-01-31T12:34:56.78901234567890123456789Z", 1769862896789},
        {"2026-01-31T14:04:56+01:30", 1769862896000},
        {"2026-01-31T07:34:56-05:00", 1769862896000},
        {"2026-01-31T12:34:56-00:00", 1769862896000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"1970-01-01T01:00:00+01:00", 0},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t ms = -7;
        assert_int_equal(clock_parse_rfc3339(cases[i].text, &ms), 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void refuses_rfc3339(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "2026",
        "2026-01-31",
        "2026-01-31T12:34:56",
        "2026-01-31 12:34:56Z",
        "2026-01-31T12:34:56ZZ",
        "2026-01-31T12:34:56Z ",
        " 2026-01-31T12:34:56Z",
        "2026-01-31T12:34:56.Z",
        "2026-01-31T12:34:56,7Z",
        "2026-1-31T12:34:56Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:34:61Z",
        "2026-01-31T12:34:56+0100",
        "2026-01-31T12:34:56+01",
        "2026-01-31T12:34:56+24:00",
        "2026-01-31T12:34:56+01:60",
        "+026-01-31T12:34:56Z",
        "-026-01-31T12:34:56Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "99999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T12:34:5\xC3",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t ms = -7;
        assert_int_equal(clock_parse_rfc3339(bad[i], &ms), -EINVAL);
        assert_int_equal(ms, -7);
    }
}

static void parses_http(void **state)
{
    (void)state;
    int64_t ms = -7;
    assert_int_equal(clock_parse_http("Sat, 31 Jan 2026 12:34:56 GMT", &ms), 0);
    assert_int_equal(ms, 1769862896000);
    assert_int_equal(clock_parse_http("Thu, 01 Jan 1970 00:00:00 GMT", &ms), 0);
    assert_int_equal(ms, 0);
    static const char *const bad[] = {
        "",
        "Sat",
        "Sat, 31 Jan 2026 12:34:56",
        "Sat, 31 Jan 2026 12:34:56 UTC",
        "Sat, 31 Jan 2026 12:34:56 GMT ",
        "Sat, 31 Jan 2026 12:34:56 GMT+1",
        "sat, 31 jan 2026 12:34:56 GMT",
        "Sam, 31 Jan 2026 12:34:56 GMT",
        "Sat, 31 Mai 2026 12:34:56 GMT",
        "Sat, 31 Feb 2026 12:34:56 GMT",
        "Sat, 00 Jan 2026 12:34:56 GMT",
        "Sat, 1 Jan 2026 12:34:56 GMT",
        "Saturday, 31-Jan-26 12:34:56 GMT",
        "Sat Jan 31 12:34:56 2026",
        "Sat, 31 Jan 1969 12:34:56 GMT",
        "Sat, 31 Jan 2026 25:34:56 GMT",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ms = -7;
        assert_int_equal(clock_parse_http(bad[i], &ms), -EINVAL);
        assert_int_equal(ms, -7);
    }
}

static void every_day_round_trips(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 2932896; day += 13) {
        int64_t ms = day * 86400000 + day % 86400 * 1000;
        char text[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(ms, text);
        int64_t parsed = -7;
        assert_int_equal(clock_parse_rfc3339(text, &parsed), 0);
        assert_int_equal(parsed, ms);
    }
}

static void system_clock_is_corrected(void **state)
{
    (void)state;
    const struct clock *clock = clock_system();
    int64_t before = clock_now_ms(clock);
    assert_true(before > 1700000000000);
    int64_t monotonic = clock_monotonic_ms(clock);
    clock_correct(clock, 3600000);
    int64_t corrected = clock_now_ms(clock);
    assert_in_range(corrected - before, 3600000, 3610000);
    clock_correct(clock, -3600000); // replaces the former one, does not add to it
    assert_in_range(before - clock_now_ms(clock), 3590000, 3600000);
    clock_correct(clock, 0);
    assert_in_range(clock_monotonic_ms(clock) - monotonic, 0, 10000);
}

static int64_t fixed_ms(const struct clock *clock)
{
    (void)clock;
    return 42;
}

static void a_clock_may_refuse_correction(void **state)
{
    (void)state;
    const struct clock clock = {fixed_ms, fixed_ms, NULL};
    clock_correct(&clock, 1000);
    assert_int_equal(clock_now_ms(&clock), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(parses_rfc3339),
        cmocka_unit_test(refuses_rfc3339),
        cmocka_unit_test(parses_http),
        cmocka_unit_test(every_day_round_trips),
        cmocka_unit_test(system_clock_is_corrected),
        cmocka_unit_test(a_clock_may_refuse_correction),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
