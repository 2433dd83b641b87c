// The pools: order within a lane, turns between lanes.
#include "fs/workers.h"

#include "base/scope.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct note {
    struct task task;
    char letter;
};

static char written[64];
static size_t written_count;

static void run_note(struct task *task)
{
    written[written_count++] = CONTAINER_OF(task, struct note, task)->letter;
}

// Holds the pool's one thread until the test has queued all it wants to.
struct gate {
    struct task task;
    pthread_mutex_t lock;
};

static void run_gate(struct task *task)
{
    struct gate *gate = CONTAINER_OF(task, struct gate, task);
    pthread_mutex_lock(&gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

// What one thread writes when the notes are given in this order: a lane for each kind of letter,
// the pool's own for digits.
static const char *order_of(const char *letters)
{
    static struct note notes[64];
    struct lane lanes[26] = {0}, first = {0};
    struct gate gate = {.task = {.run = run_gate}, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct workers *workers = NULL;
    struct err err;
    written_count = 0;
    assert_int_equal(workers_new("test", 1, &workers, &err), 0);
    pthread_mutex_lock(&gate.lock);
    workers_add(workers, &first, &gate.task);
    for (size_t i = 0; letters[i]; i++) {
        bool is_digit = letters[i] >= '0' && letters[i] <= '9';
        notes[i] = (struct note){{.run = run_note}, letters[i]};
        workers_add(workers, is_digit ? NULL : &lanes[letters[i] - 'a'], &notes[i].task);
    }
    pthread_mutex_unlock(&gate.lock);
    workers_free(workers);
    written[written_count] = '\0';
    return written;
}

static void a_lane_runs_in_order(void **state)
{
    (void)state;
    assert_string_equal(order_of(""), "");
    assert_string_equal(order_of("1234"), "1234");
}

static void lanes_take_turns(void **state)
{
    (void)state;
    assert_string_equal(order_of("aaaaab"), "abaaaa");
    assert_string_equal(order_of("aaabbbc"), "abcabab");
    assert_string_equal(order_of("aa12b3"), "a1ba23");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_runs_in_order),
        cmocka_unit_test(lanes_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
