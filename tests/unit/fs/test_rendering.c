// Renderings: made once for all who wait, reused while fresh, bounded.
#include "tests/unit/base/test.h"

#include "base/call.h"
#include "base/scope.h"
#include "fs/virtual/rendering.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READERS = 8 };

static _Atomic int64_t now_ms;

static int64_t test_now_ms(const struct clock *clock)
{
    (void)clock;
    return now_ms;
}

static const struct clock test_clock = {.now_ms = test_now_ms, .monotonic_ms = test_now_ms};

// Makes "1", "2", ... or the same text every time.
static struct maker {
    atomic_int count;
    const char *text;    // NULL: the count
    size_t size;         // not 0: so many bytes
    atomic_bool is_held; // does not end while this is set
    atomic_int error;
    int64_t reuse_ms;
} maker;

static int make(void *context, struct call *call, struct buf *ret_bytes, int64_t *ret_reuse_ms,
                struct err *err)
{
    assert_ptr_equal(context, &maker);
    int number = ++maker.count;
    while (maker.is_held) {
        if (atomic_load(&call->is_cancelled))
            return err_set(err, EINTR, "cancelled");
        usleep(1000);
    }
    if (maker.error)
        return err_set(err, maker.error, "cannot be made");
    for (size_t i = 0; i < maker.size; i++)
        buf_append_char(ret_bytes, 'x');
    if (maker.text)
        buf_append_text(ret_bytes, maker.text);
    else if (!maker.size)
        buf_printf(ret_bytes, "%d", number);
    *ret_reuse_ms = maker.reuse_ms;
    return 0;
}

static struct renderings *start(void)
{
    struct renderings *renderings = NULL;
    struct err err = {0};
    memset(&maker, 0, sizeof(maker));
    maker.reuse_ms = 1000;
    assert_int_equal(renderings_new(&test_clock, &renderings, &err), 0);
    return renderings;
}

static int get(struct renderings *renderings, struct call *call, const char *directory,
               const char *name, uint64_t version, struct rendering **ret_rendering,
               struct err *err)
{
    struct rendering_wanted wanted = {
        .file = virtual_find(name),
        .directory = directory,
        .listing_version = version,
        .make = make,
        .context = &maker,
        .limit_bytes = 64 << 20,
    };
    return renderings_get(renderings, call, &wanted, ret_rendering, err);
}

static void check(struct renderings *renderings, const char *directory, const char *name,
                  uint64_t version, const char *expected)
{
    struct rendering *rendering;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    assert_int_equal(get(renderings, &call, directory, name, version, &rendering, &err), 0);
    assert_string_equal(rendering->bytes, expected);
    assert_int_equal(rendering->size, strlen(expected));
    rendering_unref(rendering);
}

static void test_reuse(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    check(renderings, "a", "urls.tsv", 1, "1");
    check(renderings, "a", "urls.tsv", 1, "1");
    check(renderings, "a", "report.html", 1, "2");
    check(renderings, "b", "urls.tsv", 1, "3");
    now_ms += 999;
    check(renderings, "a", "urls.tsv", 1, "1");
    now_ms += 1;
    check(renderings, "a", "urls.tsv", 1, "4");
    check(renderings, "a", "urls.tsv", 2, "5");
    // A listing that is older by now has been replaced for a reason.
    check(renderings, "a", "urls.tsv", 1, "6");
    maker.reuse_ms = 0;
    check(renderings, "a", "urls.tsv", 3, "7");
    check(renderings, "a", "urls.tsv", 3, "8");
    renderings_free(renderings);
    renderings_free(NULL);
}

static void test_empty_bytes(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    maker.text = "";
    check(renderings, "a", "SHA256SUMS", 1, "");
    renderings_free(renderings);
}

static void test_same_bytes_keep_their_id(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct rendering *first;
    struct rendering *second;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    maker.text = "same";
    assert_int_equal(get(renderings, &call, "a", "SHA256SUMS", 1, &first, &err), 0);
    assert_int_equal(get(renderings, &call, "a", "SHA256SUMS", 2, &second, &err), 0);
    assert_int_equal(maker.count, 2);
    assert_ptr_equal(first, second);
    rendering_unref(second);
    maker.text = "more";
    assert_int_equal(get(renderings, &call, "a", "SHA256SUMS", 3, &second, &err), 0);
    assert_int_not_equal(first->id, second->id);
    // Each stays what it was, also when the mount has gone.
    renderings_free(renderings);
    assert_string_equal(first->bytes, "same");
    assert_string_equal(second->bytes, "more");
    rendering_unref(rendering_ref(first));
    rendering_unref(first);
    rendering_unref(second);
    rendering_unref(NULL);
}

static void test_failure(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct rendering *rendering = (void *)1;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    maker.error = EACCES;
    assert_int_equal(get(renderings, &call, "a", "urls.tsv", 1, &rendering, &err), -EACCES);
    assert_string_equal(err.text, "cannot be made");
    assert_ptr_equal(rendering, (void *)1);
    // A failure is not remembered.
    maker.error = 0;
    check(renderings, "a", "urls.tsv", 1, "2");
    renderings_free(renderings);
}

// ---- several readers ---------------------------------------------------------------------------

struct reader {
    struct renderings *renderings;
    struct call call;
    pthread_t thread;
    uint64_t version;
    atomic_bool is_asking;
    int error;
    uint64_t id;
};

static void *read_urls(void *context)
{
    struct reader *reader = context;
    struct rendering *rendering;
    struct err err = {0};
    reader->is_asking = true;
    reader->error =
        get(reader->renderings, &reader->call, "a", "urls.tsv", reader->version, &rendering, &err);
    if (reader->error == 0) {
        reader->id = rendering->id;
        rendering_unref(rendering);
    }
    return NULL;
}

// Holds the making; the first reader is the one who makes, the others wait for it.
static void start_readers(struct reader *readers, struct renderings *renderings, size_t count,
                          uint64_t version)
{
    int before = maker.count;
    maker.is_held = true;
    for (size_t i = 0; i < count; i++) {
        readers[i] = (struct reader){.renderings = renderings, .version = version};
        call_init(&readers[i].call, &test_clock);
        pthread_create(&readers[i].thread, NULL, read_urls, &readers[i]);
        while (maker.count == before || !readers[i].is_asking)
            usleep(1000);
    }
    usleep(100 * 1000);
}

static void join_readers(struct reader *readers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pthread_join(readers[i].thread, NULL);
}

static void test_made_once_for_all_who_wait(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader readers[READERS];
    // Also where it may not be reused: what was begun no earlier than one came is fresh.
    for (int reuse_ms = 1000; reuse_ms >= 0; reuse_ms -= 1000) {
        maker.count = 0;
        maker.reuse_ms = reuse_ms;
        start_readers(readers, renderings, READERS, (uint64_t)reuse_ms + 1);
        maker.is_held = false;
        join_readers(readers, READERS);
        for (size_t i = 0; i < READERS; i++) {
            assert_int_equal(readers[i].error, 0);
            assert_int_equal(readers[i].id, readers[0].id);
        }
        assert_int_equal(maker.count, 1);
    }
    renderings_free(renderings);
}

// Whoever waits takes what is made of a newer listing than the own.
static void test_older_listing(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader newer;
    struct reader older[READERS];
    start_readers(&newer, renderings, 1, 100);
    for (size_t i = 0; i < READERS; i++) {
        older[i] = (struct reader){.renderings = renderings, .version = i + 1};
        call_init(&older[i].call, &test_clock);
        pthread_create(&older[i].thread, NULL, read_urls, &older[i]);
    }
    usleep(100 * 1000);
    maker.is_held = false;
    join_readers(&newer, 1);
    join_readers(older, READERS);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(older[i].id, newer.id);
    assert_int_equal(maker.count, 1);
    renderings_free(renderings);
}

// Whoever saw a newer listing does not take what was made of the older.
static void test_newer_listing(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader older;
    struct reader newer;
    start_readers(&older, renderings, 1, 1);
    newer = (struct reader){.renderings = renderings, .version = 2};
    call_init(&newer.call, &test_clock);
    pthread_create(&newer.thread, NULL, read_urls, &newer);
    usleep(100 * 1000);
    maker.is_held = false;
    join_readers(&older, 1);
    join_readers(&newer, 1);
    assert_int_equal(older.error, 0);
    assert_int_equal(newer.error, 0);
    assert_int_not_equal(older.id, newer.id);
    assert_int_equal(maker.count, 2);
    renderings_free(renderings);
}

static void test_failure_is_shared(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader readers[READERS];
    maker.error = EACCES;
    start_readers(readers, renderings, READERS, 1);
    maker.is_held = false;
    join_readers(readers, READERS);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(readers[i].error, -EACCES);
    assert_int_equal(maker.count, 1);
    renderings_free(renderings);
}

// Whoever waits for one who is interrupted makes it instead.
static void test_interrupted_maker(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader readers[3];
    start_readers(readers, renderings, 3, 1);
    call_cancel(&readers[0].call);
    pthread_join(readers[0].thread, NULL);
    assert_int_equal(readers[0].error, -EINTR);
    maker.is_held = false;
    join_readers(readers + 1, 2);
    assert_int_equal(readers[1].error, 0);
    assert_int_equal(readers[2].error, 0);
    assert_int_equal(maker.count, 2);
    renderings_free(renderings);
}

static void test_interrupted_waiter(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    struct reader readers[3];
    start_readers(readers, renderings, 3, 1);
    call_cancel(&readers[1].call);
    pthread_join(readers[1].thread, NULL);
    assert_int_equal(readers[1].error, -EINTR);
    maker.is_held = false;
    pthread_join(readers[0].thread, NULL);
    pthread_join(readers[2].thread, NULL);
    assert_int_equal(readers[0].error, 0);
    assert_int_equal(readers[2].error, 0);
    assert_int_equal(maker.count, 1);
    renderings_free(renderings);
}

// ---- what is kept ------------------------------------------------------------------------------

static int count_made(struct renderings *renderings, const char *directory, const char *name)
{
    struct rendering *rendering;
    struct call call;
    struct err err = {0};
    int before = maker.count;
    call_init(&call, &test_clock);
    assert_int_equal(get(renderings, &call, directory, name, 1, &rendering, &err), 0);
    rendering_unref(rendering);
    return maker.count - before;
}

static void test_bounded_by_count(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    char directory[32];
    for (int i = 0; i < RENDERINGS_MAX + 1; i++) {
        snprintf(directory, sizeof(directory), "d%d", i);
        assert_int_equal(count_made(renderings, directory, "urls.tsv"), 1);
    }
    // The oldest has gone, the next oldest has not.
    assert_int_equal(count_made(renderings, "d1", "urls.tsv"), 0);
    assert_int_equal(count_made(renderings, "d0", "urls.tsv"), 1);
    renderings_free(renderings);
}

static void test_bounded_by_bytes(void **state)
{
    (void)state;
    struct renderings *renderings = start();
    maker.size = RENDERINGS_BYTES + 1;
    assert_int_equal(count_made(renderings, "large", "urls.tsv"), 1);
    assert_int_equal(count_made(renderings, "large", "urls.tsv"), 0);
    maker.size = 1;
    assert_int_equal(count_made(renderings, "small", "urls.tsv"), 1);
    assert_int_equal(count_made(renderings, "small", "urls.tsv"), 0);
    assert_int_equal(count_made(renderings, "large", "urls.tsv"), 1);
    renderings_free(renderings);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct renderings *renderings = NULL;
        struct rendering *rendering = NULL;
        struct call call;
        struct err err = {0};
        call_init(&call, &test_clock);
        memory_fail_at(nth);
        int error = renderings_new(&test_clock, &renderings, &err);
        if (error == 0)
            error = get(renderings, &call, "a", "urls.tsv", 1, &rendering, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, has_failed ? -ENOMEM : 0);
        assert_int_equal(rendering != NULL, error == 0);
        rendering_unref(rendering);
        renderings_free(renderings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_empty_bytes),
        cmocka_unit_test(test_same_bytes_keep_their_id),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_made_once_for_all_who_wait),
        cmocka_unit_test(test_older_listing),
        cmocka_unit_test(test_newer_listing),
        cmocka_unit_test(test_failure_is_shared),
        cmocka_unit_test(test_interrupted_maker),
        cmocka_unit_test(test_interrupted_waiter),
        cmocka_unit_test(test_bounded_by_count),
        cmocka_unit_test(test_bounded_by_bytes),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
