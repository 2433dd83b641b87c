// Reads of one object version: right bytes in whatever order they are asked for, no more requests
// and memory than they are worth; over a store that the test plays.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OBJECT_SIZE = 40 * 1000 * 1000 + 123,
    PIECE = 128 * 1024, // what the kernel asks for
    CHUNK_OF_STORE = 50000,
};

// ---- the store ---------------------------------------------------------------------------------

static struct {
    atomic_int requests;
    atomic_llong bytes;
    atomic_int under_way;
    atomic_int most_under_way;
    atomic_int error;    // what reads answer
    atomic_bool is_held; // reads wait while it is
    unsigned delay_us;   // of every request
} store;

static char byte_at(uint64_t offset)
{
    return (char)((offset * 2654435761u) >> 13);
}

int s3_object_read(struct s3_client *client, struct call *call, const char *key,
                   const char *if_match, uint64_t offset, uint64_t size,
                   int (*sink)(void *context, const void *bytes, size_t size), void *context,
                   struct err *err)
{
    assert_ptr_equal(client, &store);
    assert_string_equal(key, "d/app.tar");
    assert_string_equal(if_match, "\"1\"");
    assert_true(offset + size <= OBJECT_SIZE);
    store.requests++;
    int now = ++store.under_way;
    if (now > store.most_under_way)
        store.most_under_way = now;
    usleep(store.delay_us);
    while (store.is_held && !atomic_load(&call->is_cancelled))
        usleep(1000);
    int error = 0;
    char bytes[CHUNK_OF_STORE];
    for (uint64_t done = 0; done < size && error == 0;) {
        size_t some = size - done < sizeof(bytes) ? (size_t)(size - done) : sizeof(bytes);
        for (size_t i = 0; i < some; i++)
            bytes[i] = byte_at(offset + done + i);
        if (atomic_load(&call->is_cancelled))
            error = err_set(err, EINTR, "cancelled");
        else if (store.error)
            error = err_set(err, store.error, "the store failed");
        else
            error = sink(context, bytes, some);
        done += some;
        store.bytes += (long long)some;
    }
    store.under_way--;
    return error;
}

// ---- a reader over it --------------------------------------------------------------------------

struct desk {
    struct memory *memory;
    struct readers *readers;
    struct reader *reader;
};

static void sit_down(struct desk *desk, uint64_t memory_bytes)
{
    struct err err = {0};
    *desk = (struct desk){.memory = memory_new(memory_bytes)};
    assert_int_equal(
        readers_new((struct s3_client *)&store, desk->memory, clock_system(), &desk->readers, &err),
        0);
    assert_int_equal(
        reader_open(desk->readers, "d/app.tar", "\"1\"", OBJECT_SIZE, &desk->reader, &err), 0);
}

static void leave(struct desk *desk)
{
    reader_close(desk->reader);
    readers_free(desk->readers);
    memory_free(desk->memory);
}

static int start(void **state)
{
    (void)state;
    memset(&store, 0, sizeof(store));
    return 0;
}

// A read, and somebody who waits for its answer.
struct waiting {
    struct read read; // first: the two are one address
    pthread_mutex_t lock;
    pthread_cond_t is_answered;
    int answers;
    char *bytes; // a copy
    struct err err;
};

static void answered(struct read *read, const char *bytes, const struct err *err)
{
    struct waiting *waiting = (struct waiting *)read;
    char *copy = malloc(read->size + 1);
    if (bytes)
        memcpy(copy, bytes, read->size);
    assert_true(bytes || err || read->size == 0);
    pthread_mutex_lock(&waiting->lock);
    waiting->bytes = copy;
    if (err)
        waiting->err = *err;
    waiting->answers++;
    pthread_cond_signal(&waiting->is_answered);
    pthread_mutex_unlock(&waiting->lock);
}

static void ask(struct waiting *waiting, struct reader *reader, uint64_t offset, size_t size)
{
    *waiting = (struct waiting){
        .read = {.offset = offset, .size = size, .answer = answered},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .is_answered = PTHREAD_COND_INITIALIZER,
    };
    reader_read(reader, &waiting->read);
}

static void wait_for(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    while (!waiting->answers)
        pthread_cond_wait(&waiting->is_answered, &waiting->lock);
    pthread_mutex_unlock(&waiting->lock);
}

static void assert_reads(struct reader *reader, uint64_t offset, size_t size)
{
    struct waiting waiting;
    ask(&waiting, reader, offset, size);
    wait_for(&waiting);
    auto_free char *bytes = waiting.bytes;
    size_t count = waiting.read.size;
    assert_int_equal(waiting.answers, 1);
    if (waiting.err.errnum)
        fail_msg("read at %llu: %s", (unsigned long long)offset, waiting.err.text);
    size_t wanted = offset >= OBJECT_SIZE         ? 0
                    : OBJECT_SIZE - offset < size ? (size_t)(OBJECT_SIZE - offset)
                                                  : size;
    assert_int_equal(count, wanted);
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != byte_at(offset + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
    }
}

static void test_in_order(void **state)
{
    (void)state;
    struct desk desk;
    store.delay_us = 1000;
    sit_down(&desk, UINT64_C(128) << 20);
    for (uint64_t offset = 0; offset < OBJECT_SIZE; offset += PIECE)
        assert_reads(desk.reader, offset, PIECE);
    assert_reads(desk.reader, OBJECT_SIZE, PIECE); // the end
    assert_reads(desk.reader, OBJECT_SIZE + 5, PIECE);
    assert_int_equal(store.bytes, OBJECT_SIZE); // nothing twice
    assert_true(store.requests < 60);
    assert_true(store.most_under_way > 1);
    leave(&desk);
    reader_close(NULL);
    readers_free(NULL);
}

// A look at the beginning costs what was asked for.
static void test_first_read_is_small(void **state)
{
    (void)state;
    struct desk desk;
    sit_down(&desk, UINT64_C(128) << 20);
    assert_reads(desk.reader, 0, 4096);
    usleep(20 * 1000);
    assert_int_equal(store.requests, 1);
    assert_int_equal(store.bytes, 4096);
    leave(&desk);
}

static void test_random_reads_cost_what_they_ask(void **state)
{
    (void)state;
    struct desk desk;
    sit_down(&desk, UINT64_C(128) << 20);
    enum { COUNT = 50 };
    for (uint64_t i = 0, offset = 5000000; i < COUNT; i++) {
        assert_reads(desk.reader, offset, 4096);
        offset = (offset * 7 + 12345678) % (OBJECT_SIZE - 4096);
    }
    assert_true(store.requests <= COUNT + 5);
    assert_true(store.bytes < 2 * COUNT * 4096);
    leave(&desk);
}

static void test_sizes_at_the_end(void **state)
{
    (void)state;
    struct desk desk;
    sit_down(&desk, UINT64_C(128) << 20);
    assert_reads(desk.reader, OBJECT_SIZE - 1, PIECE);
    assert_reads(desk.reader, OBJECT_SIZE - PIECE, PIECE);
    assert_reads(desk.reader, 0, 0);
    leave(&desk);
}

// ---- several at once ---------------------------------------------------------------------------

struct piece_reader {
    pthread_t thread;
    struct reader *reader;
    int first;
    int step;
};

static void *read_pieces(void *argument)
{
    const struct piece_reader *one = argument;
    for (uint64_t offset = (uint64_t)one->first * PIECE; offset < OBJECT_SIZE;
         offset += (uint64_t)one->step * PIECE)
        assert_reads(one->reader, offset, PIECE);
    return NULL;
}

// The kernel's read-ahead: the pieces of one stream, not quite in order.
static void test_overtaking_pieces(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    struct desk desk;
    struct piece_reader readers[COUNT];
    store.delay_us = 500;
    sit_down(&desk, UINT64_C(128) << 20);
    for (int i = 0; i < COUNT; i++) {
        readers[i] = (struct piece_reader){0, desk.reader, i, COUNT};
        pthread_create(&readers[i].thread, NULL, read_pieces, &readers[i]);
    }
    for (int i = 0; i < COUNT; i++)
        pthread_join(readers[i].thread, NULL);
    leave(&desk);
}

// What a read was answered with as it came is not kept; whoever wants it again still gets it.
static void test_the_same_again(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    struct desk desk;
    struct piece_reader readers[COUNT];
    store.delay_us = 500;
    sit_down(&desk, UINT64_C(128) << 20);
    for (int i = 0; i < COUNT; i++) {
        readers[i] = (struct piece_reader){0, desk.reader, i, 1};
        pthread_create(&readers[i].thread, NULL, read_pieces, &readers[i]);
    }
    for (int i = 0; i < COUNT; i++)
        pthread_join(readers[i].thread, NULL);
    for (uint64_t offset = 0; offset < OBJECT_SIZE; offset += 10 * PIECE)
        assert_reads(desk.reader, offset, 3 * PIECE);
    leave(&desk);
}

// Little memory, shared with readers that have stopped in the middle: nobody starves.
static void test_idle_readers_hold_nobody_up(void **state)
{
    (void)state;
    enum { IDLE = 12, BUSY = 3 };
    struct desk desk;
    struct err err = {0};
    struct reader *idle[IDLE], *busy[BUSY];
    struct piece_reader readers[BUSY];
    sit_down(&desk, UINT64_C(4) << 20);
    for (int i = 0; i < IDLE; i++) {
        reader_open(desk.readers, "d/app.tar", "\"1\"", OBJECT_SIZE, &idle[i], &err);
        for (uint64_t offset = 0; offset < 20 * PIECE; offset += PIECE)
            assert_reads(idle[i], offset, PIECE);
    }
    for (int i = 0; i < BUSY; i++) {
        reader_open(desk.readers, "d/app.tar", "\"1\"", OBJECT_SIZE, &busy[i], &err);
        readers[i] = (struct piece_reader){0, busy[i], 0, 1};
        pthread_create(&readers[i].thread, NULL, read_pieces, &readers[i]);
    }
    for (int i = 0; i < BUSY; i++) {
        pthread_join(readers[i].thread, NULL);
        reader_close(busy[i]);
    }
    // What somebody else waits for, be it all of it, is given up.
    struct call call;
    call_init(&call, clock_system());
    void *bytes = memory_wait(desk.memory, &call, 4 << 20);
    assert_non_null(bytes);
    memory_give_back(desk.memory, bytes, 4 << 20);
    for (int i = 0; i < IDLE; i++)
        reader_close(idle[i]);
    leave(&desk);
}

// One that stopped with all that reads may hold gives half of it to the next.
static void test_memory_is_shared(void **state)
{
    (void)state;
    struct desk desk;
    struct reader *next;
    struct err err = {0};
    sit_down(&desk, UINT64_C(32) << 20);
    for (uint64_t offset = 0; offset < 20 << 20; offset += PIECE)
        assert_reads(desk.reader, offset, PIECE);
    while (store.under_way > 0)
        usleep(1000);
    store.delay_us = 20 * 1000;
    store.most_under_way = 0;
    reader_open(desk.readers, "d/app.tar", "\"1\"", OBJECT_SIZE, &next, &err);
    for (uint64_t offset = 0; offset < 20 << 20; offset += PIECE)
        assert_reads(next, offset, PIECE);
    assert_true(store.most_under_way >= 4);
    reader_close(next);
    leave(&desk);
}

// A read that finds all memory taken waits until somebody gives some back.
static void test_memory_taken_by_others(void **state)
{
    (void)state;
    struct desk desk;
    struct piece_reader one;
    sit_down(&desk, UINT64_C(4) << 20);
    struct call call;
    call_init(&call, clock_system());
    void *bytes = memory_wait(desk.memory, &call, 4 << 20);
    assert_non_null(bytes);
    one = (struct piece_reader){0, desk.reader, 0, 10};
    pthread_create(&one.thread, NULL, read_pieces, &one);
    usleep(50 * 1000);
    assert_int_equal(store.requests, 0);
    memory_give_back(desk.memory, bytes, 4 << 20);
    pthread_join(one.thread, NULL);
    leave(&desk);
}

// ---- failures ----------------------------------------------------------------------------------

static int read_error(struct desk *desk, uint64_t offset, struct err *ret_err)
{
    struct waiting waiting;
    ask(&waiting, desk->reader, offset, 16);
    wait_for(&waiting);
    free(waiting.bytes);
    *ret_err = waiting.err;
    return -waiting.err.errnum;
}

// What was asked for before, ahead of a reader too, still answers as the store did then.
static int read_error_at_last(struct desk *desk, int wanted, struct err *ret_err)
{
    int error = read_error(desk, 0, ret_err);
    for (int tries = 0; tries < 2000 && error != wanted; tries++) {
        usleep(1000);
        error = read_error(desk, 0, ret_err);
    }
    return error;
}

static void test_failures(void **state)
{
    (void)state;
    struct desk desk;
    struct err err = {0};
    sit_down(&desk, UINT64_C(128) << 20);
    store.error = ESTALE;
    assert_int_equal(read_error(&desk, 0, &err), -ESTALE);
    store.error = ENOENT;
    for (int tries = 0; tries < 2000 && !strstr(err.text, "deleted"); tries++) {
        assert_int_equal(read_error(&desk, 0, &err), -ESTALE);
        usleep(1000);
    }
    assert_non_null(strstr(err.text, "deleted"));
    store.error = EIO;
    assert_int_equal(read_error_at_last(&desk, -EIO, &err), -EIO);
    store.error = 0;
    assert_int_equal(read_error_at_last(&desk, 0, &err), 0);
    assert_reads(desk.reader, 0, PIECE); // a failure is not remembered
    leave(&desk);
}

static void test_abandoned(void **state)
{
    (void)state;
    struct desk desk;
    struct waiting one, other, done;
    sit_down(&desk, UINT64_C(128) << 20);
    ask(&done, desk.reader, 0, 16);
    wait_for(&done);
    assert_false(reader_abandon(desk.reader, &done.read));
    free(done.bytes);

    store.is_held = true;
    ask(&one, desk.reader, PIECE, PIECE);
    ask(&other, desk.reader, PIECE + 16, 16);
    while (store.under_way == 0)
        usleep(1000);
    assert_true(reader_abandon(desk.reader, &one.read));
    assert_false(reader_abandon(desk.reader, &one.read));
    store.is_held = false;
    wait_for(&other);
    assert_int_equal(other.err.errnum, 0);
    assert_int_equal(one.answers, 0);
    free(other.bytes);

    store.is_held = true;
    ask(&one, desk.reader, 20 * PIECE, 16);
    while (store.under_way == 0)
        usleep(1000);
    assert_true(reader_abandon(desk.reader, &one.read));
    leave(&desk); // ends the fetch that nobody waits for any more
    assert_int_equal(store.under_way, 0);
}

static void test_closed_while_running_ahead(void **state)
{
    (void)state;
    for (int i = 1; i < 30; i++) {
        struct desk desk;
        store.delay_us = 300;
        sit_down(&desk, UINT64_C(128) << 20);
        for (uint64_t offset = 0; offset < (uint64_t)i * PIECE; offset += PIECE)
            assert_reads(desk.reader, offset, PIECE);
        leave(&desk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_in_order, start),
        cmocka_unit_test_setup(test_first_read_is_small, start),
        cmocka_unit_test_setup(test_random_reads_cost_what_they_ask, start),
        cmocka_unit_test_setup(test_sizes_at_the_end, start),
        cmocka_unit_test_setup(test_overtaking_pieces, start),
        cmocka_unit_test_setup(test_the_same_again, start),
        cmocka_unit_test_setup(test_idle_readers_hold_nobody_up, start),
        cmocka_unit_test_setup(test_memory_is_shared, start),
        cmocka_unit_test_setup(test_memory_taken_by_others, start),
        cmocka_unit_test_setup(test_failures, start),
        cmocka_unit_test_setup(test_abandoned, start),
        cmocka_unit_test_setup(test_closed_while_running_ahead, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
