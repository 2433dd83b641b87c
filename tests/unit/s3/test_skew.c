// What a Date header says of the clock.

#include "s3/skew.h"

#include "base/scope.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    int64_t date_ms;
    int64_t sent_ms;
    int64_t arrived_ms;
    int64_t skew_ms;
} cases[] = {
    {100000, 100000, 100200, 0},
    {99000, 100900, 100999, 0}, // cut to the second
    {97000, 100000, 100100, 0}, // within the tolerance
    {102000, 100000, 100100, 0},
    {96000, 100000, 100100, -3500},
    {104000, 100000, 100100, 4400},
    {700000, 100000, 100100, 600400},
    {100000, 700000, 700100, -599500},
    // The server wrote it while the request was under way, at no moment that we know
    {100000, 70000, 130000, 0},
    {72000, 70000, 130000, 0},
    {135000, 70000, 130000, 5500},
};

static void skew_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (s3_skew_of(cases[i].date_ms, cases[i].sent_ms, cases[i].arrived_ms) != cases[i].skew_ms)
            fail_msg("case %zu", i);
}

static void the_clock_is_corrected_once(void **state)
{
    (void)state;
    struct test_clock clock;
    test_clock_init(&clock, TEST_NOW_MS + 600 * 1000); // ten minutes fast
    struct s3_skew skew;
    s3_skew_init(&skew, &clock.clock);
    static const char date[] = "Fri, 24 May 2013 00:00:00 GMT";

    struct s3_skew_reading first;
    struct s3_skew_reading second;
    s3_skew_sent(&skew, &first);
    s3_skew_sent(&skew, &second);
    s3_skew_arrived(&skew, &first);
    s3_skew_arrived(&skew, &second);
    assert_true(s3_skew_observe(&skew, &first, date));
    assert_int_equal(s3_skew_ms(&skew), -600 * 1000 + 500);
    assert_int_equal(clock_now_ms(&clock.clock), TEST_NOW_MS + 500);
    // The other saw the same difference: the clock has been set, but not by it
    assert_true(s3_skew_observe(&skew, &second, date));
    assert_int_equal(s3_skew_ms(&skew), -600 * 1000 + 500);

    struct s3_skew_reading third;
    s3_skew_sent(&skew, &third);
    s3_skew_arrived(&skew, &third);
    assert_false(s3_skew_observe(&skew, &third, date));
    // Somebody sets the machine's clock right: the correction goes
    clock.machine_ms = TEST_NOW_MS;
    s3_skew_sent(&skew, &third);
    s3_skew_arrived(&skew, &third);
    assert_true(s3_skew_observe(&skew, &third, date));
    assert_int_equal(s3_skew_ms(&skew), 500);
    s3_skew_done(&skew);
}

static void what_is_no_date_says_nothing(void **state)
{
    (void)state;
    struct test_clock clock;
    test_clock_init(&clock, TEST_NOW_MS);
    struct s3_skew skew;
    s3_skew_init(&skew, &clock.clock);
    struct s3_skew_reading reading;
    s3_skew_sent(&skew, &reading);
    assert_false(s3_skew_observe(&skew, &reading, "Fri, 24 May 2019 00:00:00 GMT")); // not arrived
    s3_skew_arrived(&skew, &reading);
    assert_false(s3_skew_observe(&skew, &reading, NULL));
    assert_false(s3_skew_observe(&skew, &reading, "yesterday"));
    assert_int_equal(s3_skew_ms(&skew), 0);
    s3_skew_done(&skew);
}

static void a_clock_that_cannot_be_corrected_is_only_measured(void **state)
{
    (void)state;
    struct test_clock clock;
    test_clock_init(&clock, TEST_NOW_MS + 600 * 1000);
    clock.clock.correct = NULL;
    struct s3_skew skew;
    s3_skew_init(&skew, &clock.clock);
    for (int i = 0; i < 2; i++) {
        struct s3_skew_reading reading;
        s3_skew_sent(&skew, &reading);
        s3_skew_arrived(&skew, &reading);
        (void)s3_skew_observe(&skew, &reading, "Fri, 24 May 2013 00:00:00 GMT");
        assert_int_equal(s3_skew_ms(&skew), -600 * 1000 + 500);
    }
    s3_skew_done(&skew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skew_of),
        cmocka_unit_test(the_clock_is_corrected_once),
        cmocka_unit_test(what_is_no_date_says_nothing),
        cmocka_unit_test(a_clock_that_cannot_be_corrected_is_only_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
