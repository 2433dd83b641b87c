// Names that were just not there: believed once, by whom they were told to, for a moment, while
// nothing changes.
#include "fs/misses.h"

#include "tests/unit/base/test.h"

#include <stdio.h>

static const struct miss one = {.thread = 7, .directory = "a/b", .name = "x.ref", .changes = 3};

static void test_once_and_for_a_moment(void **state)
{
    (void)state;
    struct misses *misses = misses_new();
    assert_false(misses_take(misses, &one, 1000));
    misses_note(misses, &one, 1000);
    assert_true(misses_take(misses, &one, 1000 + MISSES_KEPT_MS - 1));
    assert_false(misses_take(misses, &one, 1000)); // it was taken
    misses_note(misses, &one, 2000);
    assert_false(misses_take(misses, &one, 2000 + MISSES_KEPT_MS));
    misses_free(misses);
    misses_free(NULL);
}

static void test_nobody_elses(void **state)
{
    (void)state;
    struct misses *misses = misses_new();
    struct miss others[] = {one, one, one, one};
    others[0].thread = 8;
    others[1].directory = "a";
    others[2].name = "y.ref";
    others[3].changes = 4; // this mount has published there since
    misses_note(misses, &one, 1000);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(misses_take(misses, &others[i], 1000));
    assert_false(misses_take(misses, &one, 1000)); // what has changed is forgotten
    misses_free(misses);
}

static void test_the_oldest_makes_room(void **state)
{
    (void)state;
    struct misses *misses = misses_new();
    struct miss miss = one;
    for (pid_t thread = 1; thread <= MISSES_MAX + 1; thread++) {
        miss.thread = thread;
        misses_note(misses, &miss, 1000);
    }
    for (pid_t thread = 1; thread <= MISSES_MAX + 1; thread++) {
        miss.thread = thread;
        assert_int_equal(misses_take(misses, &miss, 1000), thread > 1);
    }
    misses_free(misses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_and_for_a_moment),
        cmocka_unit_test(test_nobody_elses),
        cmocka_unit_test(test_the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
