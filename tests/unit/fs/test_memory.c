// The ceiling of all transfer buffers: order, bounds, waiting, withdrawing.
#include "fs/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct asked {
    struct memory_ticket ticket;
    void *bytes;
    int order; // 0 while it waits
};

static int granted_count;

static void granted(struct memory_ticket *ticket, void *bytes)
{
    struct asked *asked = (struct asked *)ticket;
    asked->bytes = bytes;
    asked->order = ++granted_count;
}

static int reset(void **state)
{
    (void)state;
    granted_count = 0;
    return 0;
}

static struct asked asking(size_t size)
{
    return (struct asked){.ticket = {.size = size, .granted = granted}};
}

static void grants_up_to_the_ceiling_and_then_in_order(void **state)
{
    (void)state;
    struct memory *memory = memory_new(100);
    struct asked a = asking(60), b = asking(60), c = asking(60);
    memory_ask(memory, &a.ticket);
    memory_ask(memory, &b.ticket);
    memory_ask(memory, &c.ticket);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 0);
    memory_give_back(memory, a.bytes, 60);
    assert_int_equal(b.order, 2);
    assert_int_equal(c.order, 0);
    memory_give_back(memory, b.bytes, 60);
    assert_int_equal(c.order, 3);
    memory_give_back(memory, c.bytes, 60);
    memory_free(memory);
}

static void a_small_request_does_not_wait_for_all_large_ones(void **state)
{
    (void)state;
    enum { LARGE = 80, SMALL = 10, QUEUED = 64 };
    struct memory *memory = memory_new(LARGE);
    struct asked first = asking(LARGE), small = asking(SMALL), large[QUEUED];
    memory_ask(memory, &first.ticket);
    for (int i = 0; i < QUEUED; i++) {
        large[i] = asking(LARGE);
        memory_ask(memory, &large[i].ticket);
    }
    memory_ask(memory, &small.ticket);
    memory_give_back(memory, first.bytes, LARGE);
    assert_int_equal(small.order, 2);
    memory_give_back(memory, small.bytes, SMALL);
    for (int i = 0; i < QUEUED; i++) {
        assert_int_equal(large[i].order, 3 + i);
        memory_give_back(memory, large[i].bytes, LARGE);
    }
    memory_free(memory);
}

// Small ones without an end: the large one has its turn when as much as it asks for has passed.
static void a_large_request_does_not_starve(void **state)
{
    (void)state;
    enum { LARGE = 80, SMALL = 20, QUEUED = 20 };
    struct memory *memory = memory_new(LARGE + SMALL); // one small one at a time beside a large one
    struct asked first = asking(LARGE), large = asking(LARGE), small[QUEUED];
    memory_ask(memory, &first.ticket);
    memory_ask(memory, &large.ticket);
    for (int i = 0; i < QUEUED; i++) {
        small[i] = asking(SMALL);
        memory_ask(memory, &small[i].ticket);
    }
    int passed = 0;
    while (passed < QUEUED && small[passed].order)
        memory_give_back(memory, small[passed++].bytes, SMALL);
    assert_int_equal(passed, LARGE / SMALL);
    assert_int_equal(large.order, 0);
    memory_give_back(memory, first.bytes, LARGE);
    assert_int_equal(large.order, passed + 2);
    memory_give_back(memory, large.bytes, LARGE);
    while (passed < QUEUED)
        memory_give_back(memory, small[passed++].bytes, SMALL);
    memory_free(memory);
}

static void a_withdrawn_request_lets_the_next_pass(void **state)
{
    (void)state;
    struct memory *memory = memory_new(100);
    struct asked a = asking(60), b = asking(30), c = asking(30), d = asking(10);
    memory_ask(memory, &a.ticket);
    memory_ask(memory, &b.ticket);
    struct asked large = asking(60);
    memory_ask(memory, &large.ticket);
    memory_give_back(memory, b.bytes, 30);
    memory_ask(memory, &c.ticket);
    memory_give_back(memory, c.bytes, 30);
    memory_ask(memory, &b.ticket); // passes, the last that may
    memory_give_back(memory, b.bytes, 30);
    memory_ask(memory, &d.ticket); // would fit, but the large one is next
    assert_int_equal(d.order, 0);
    assert_true(memory_withdraw(memory, &large.ticket));
    assert_int_equal(d.order, 5);
    assert_false(memory_withdraw(memory, &large.ticket));
    assert_false(memory_withdraw(memory, &a.ticket)); // granted already
    memory_give_back(memory, a.bytes, 60);
    memory_give_back(memory, d.bytes, 10);
    assert_int_equal(large.order, 0);
    memory_free(memory);
}

static void memory_of_transfers_comes_off(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    assert_int_equal(memory_for_buffers(128 * mib, 8), 120 * mib);
    assert_int_equal(memory_for_buffers(32 * mib, 8), 24 * mib);
    assert_int_equal(memory_for_buffers(16 * mib, 64), 12 * mib); // at most a quarter
    for (unsigned parallel = 1; parallel <= 128; parallel *= 2)
        for (uint64_t bytes = 5 * mib; bytes < 600 * mib; bytes += 7 * mib + 1001) {
            uint64_t with = memory_with_buffers(bytes, parallel);
            assert_true(memory_for_buffers(with, parallel) >= bytes);
            assert_true(memory_for_buffers(with - 4, parallel) < bytes);
        }
}

static void kept_buffers_count_and_make_room(void **state)
{
    (void)state;
    size_t large = 1 << 20;
    struct memory *memory = memory_new(2 * large);
    struct asked a = asking(large), b = asking(large);
    memory_ask(memory, &a.ticket);
    void *first = a.bytes;
    memory_give_back(memory, a.bytes, large);
    memory_ask(memory, &b.ticket);
    assert_ptr_equal(b.bytes, first); // the same buffer again
    memory_give_back(memory, b.bytes, large);
    struct asked whole = asking(2 * large); // the kept one has to go
    memory_ask(memory, &whole.ticket);
    assert_int_equal(whole.order, 3);
    memory_give_back(memory, whole.bytes, 2 * large);
    memory_free(memory);
}

static void what_rests_is_given_back(void **state)
{
    (void)state;
    size_t size = 1 << 20;
    struct memory *memory = memory_new(4 * size);
    memory_give_back(memory, memory_try(memory, size), size);
    assert_int_equal(memory_sweep(memory), size); // it was used since the last time
    assert_int_equal(memory_sweep(memory), 0);
    memory_free(memory);
}

static void *give_back_later(void *argument)
{
    struct asked *asked = argument;
    usleep(50 * 1000);
    memory_give_back((struct memory *)asked->ticket.next, asked->bytes, asked->ticket.size);
    return NULL;
}

static void waiting_ends_with_a_buffer(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    struct memory *memory = memory_new(100);
    struct asked a = asking(100);
    memory_ask(memory, &a.ticket);
    a.ticket.next = (struct memory_ticket *)memory; // carried to the thread
    pthread_t thread;
    pthread_create(&thread, NULL, give_back_later, &a);
    void *bytes = memory_wait(memory, &call, 80);
    assert_non_null(bytes);
    pthread_join(thread, NULL);
    memory_give_back(memory, bytes, 80);
    memory_free(memory);
}

static void waiting_ends_when_cancelled(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    struct memory *memory = memory_new(100);
    struct asked a = asking(100);
    memory_ask(memory, &a.ticket);
    call_cancel(&call);
    assert_null(memory_wait(memory, &call, 80));
    memory_give_back(memory, a.bytes, 100);
    memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(grants_up_to_the_ceiling_and_then_in_order, reset),
        cmocka_unit_test_setup(a_small_request_does_not_wait_for_all_large_ones, reset),
        cmocka_unit_test_setup(a_large_request_does_not_starve, reset),
        cmocka_unit_test_setup(a_withdrawn_request_lets_the_next_pass, reset),
        cmocka_unit_test_setup(memory_of_transfers_comes_off, reset),
        cmocka_unit_test_setup(kept_buffers_count_and_make_room, reset),
        cmocka_unit_test_setup(what_rests_is_given_back, reset),
        cmocka_unit_test_setup(waiting_ends_with_a_buffer, reset),
        cmocka_unit_test_setup(waiting_ends_when_cancelled, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
