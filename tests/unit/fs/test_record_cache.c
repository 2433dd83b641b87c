// The record cache over a store that counts, waits and fails.
#include "tests/unit/base/test.h"

#include "base/call.h"
#include "base/log.h"
#include "base/scope.h"
#include "fs/publish/record_cache.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/record_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int64_t now_ms;

static int64_t test_now_ms(const struct clock *clock)
{
    (void)clock;
    return now_ms;
}

static const struct clock test_clock = {.now_ms = test_now_ms, .monotonic_ms = test_now_ms};

// The store: a record at every key that holds "known", nothing readable at "garbage", nothing
// elsewhere.
static struct {
    atomic_int requests;
    atomic_int under_way;
    atomic_int most_under_way;
    atomic_int delay_ms;
    atomic_int failing_request;     // this one and all later ones fail with EIO; 0: none
    atomic_bool is_failing_once;    // only that one
    atomic_bool is_answering_known; // also keys that do not hold "known"
} store;

static void answer(const char *object_key, struct buf *ret_bytes)
{
    static const char records[] = ".prereleasefs/records/";
    struct err err = {0};
    char key[S3_KEY_SIZE_MAX];
    char etag[S3_ETAG_SIZE];
    const char *slash = strrchr(object_key, '/');
    snprintf(key, sizeof(key), "%.*s", (int)(slash - object_key - (int)strlen(records)),
             object_key + strlen(records));
    snprintf(etag, sizeof(etag), "\"%.*s\"", (int)(strlen(slash + 1) - strlen(".json")), slash + 1);
    struct record *record = fixture_record(key, etag);
    assert_int_equal(record_format(record, ret_bytes, &err), 0);
    record_free(record);
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)limit_bytes;
    (void)ret_etag;
    int request = atomic_fetch_add(&store.requests, 1) + 1;
    int under_way = atomic_fetch_add(&store.under_way, 1) + 1;
    int most = atomic_load(&store.most_under_way);
    while (under_way > most &&
           !atomic_compare_exchange_weak(&store.most_under_way, &most, under_way))
        ;
    for (int waited = 0; waited < store.delay_ms && !atomic_load(&call->is_cancelled); waited++)
        usleep(1000);
    atomic_fetch_sub(&store.under_way, 1);
    if (atomic_load(&call->is_cancelled))
        return err_set(err, EINTR, "cancelled");
    bool is_late = store.failing_request && request > store.failing_request;
    if (request == store.failing_request || (is_late && !store.is_failing_once))
        return err_set(err, EIO, "the store says no");
    if (strstr(key, "garbage"))
        return buf_append_text(ret_bytes, "{}");
    if (!strstr(key, "known") && !store.is_answering_known)
        return err_set(err, ENOENT, "no such key");
    answer(key, ret_bytes);
    return 0;
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)put;
    (void)ret_etag;
    return err_set(err, EIO, "not here");
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client;
    (void)call;
    (void)key;
    return err_set(err, EIO, "not here");
}

static struct record_cache *new_cache(void)
{
    struct record_cache *cache = NULL;
    struct err err = {0};
    memset(&store, 0, sizeof(store));
    assert_int_equal(
        record_cache_new(&(struct record_cache_options){.clock = &test_clock, .prefix = ""}, &cache,
                         &err),
        0);
    return cache;
}

static const struct record *get_one(struct record_cache *cache, const char *key)
{
    struct record_wanted wanted = {.key = key, .etag = "\"e\""};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    assert_int_equal(record_cache_get(cache, &call, &wanted, 1, &err), 0);
    const struct record *record = wanted.record;
    record_cache_release(cache, &wanted, 1);
    return record; // only to be compared with NULL, or while the cache keeps it
}

static void test_each_is_read_once(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    const struct record *record = get_one(cache, "known/a");
    assert_non_null(record);
    assert_string_equal(record->key, "known/a");
    assert_string_equal(record->sha256, FIXTURE_HEX);
    assert_int_equal(record->layer_count, 0);
    assert_ptr_equal(get_one(cache, "known/a"), record);
    assert_int_equal(store.requests, 1);

    // Another version of the object is another record; how its ETag is quoted makes none.
    struct record_wanted wanted[] = {{.key = "known/a", .etag = "e"},
                                     {.key = "known/a", .etag = "\"f\""}};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    assert_int_equal(record_cache_get(cache, &call, wanted, 2, &err), 0);
    assert_ptr_equal(wanted[0].record, record);
    assert_string_equal(wanted[1].record->etag, "\"f\"");
    assert_int_equal(store.requests, 2);
    record_cache_release(cache, wanted, 2);
    record_cache_free(cache);
    record_cache_free(NULL);
}

static void test_missing_is_remembered_ever_longer(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    int64_t remembered_ms[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};
    assert_null(get_one(cache, "a"));
    for (size_t i = 0; i < ARRAY_SIZE(remembered_ms); i++) {
        now_ms += remembered_ms[i] - 1;
        assert_null(get_one(cache, "a"));
        assert_int_equal(store.requests, i + 1);
        now_ms += 1;
        assert_null(get_one(cache, "a"));
        assert_int_equal(store.requests, i + 2);
    }
    store.is_answering_known = true;
    now_ms += 60000;
    assert_non_null(get_one(cache, "a"));
    record_cache_free(cache);
}

static void test_garbage_is_none(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    assert_null(get_one(cache, "garbage"));
    assert_null(get_one(cache, "garbage"));
    assert_int_equal(store.requests, 1);
    record_cache_free(cache);
}

enum { MANY = 500 };

struct many {
    char keys[MANY][32];
    struct record_wanted wanted[MANY];
};

static void init_many(struct many *many, size_t count, int first)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(many->keys[i], sizeof(many->keys[i]), "known/%d", first + (int)i);
        many->wanted[i] = (struct record_wanted){.key = many->keys[i], .etag = "\"e\""};
    }
}

static void test_side_by_side(void **state)
{
    (void)state;
    static struct many many;
    struct record_cache *cache = new_cache();
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    init_many(&many, MANY, 0);
    store.delay_ms = 5;
    assert_int_equal(record_cache_get(cache, &call, many.wanted, MANY, &err), 0);
    for (size_t i = 0; i < MANY; i++)
        assert_string_equal(many.wanted[i].record->key, many.keys[i]);
    assert_int_equal(store.requests, MANY);
    assert_in_range(store.most_under_way, 2, RECORD_CACHE_READERS);
    record_cache_release(cache, many.wanted, MANY);
    assert_int_equal(record_cache_get(cache, &call, many.wanted, MANY, &err), 0);
    assert_int_equal(store.requests, MANY);
    record_cache_release(cache, many.wanted, MANY);
    assert_int_equal(record_cache_get(cache, &call, NULL, 0, &err), 0);
    record_cache_free(cache);
}

static void test_the_same_twice_in_one_call(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    struct record_wanted wanted[] = {{.key = "known/a", .etag = "\"e\""},
                                     {.key = "known/a", .etag = "\"e\""}};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    assert_int_equal(record_cache_get(cache, &call, wanted, 2, &err), 0);
    assert_non_null(wanted[0].record);
    assert_ptr_equal(wanted[0].record, wanted[1].record);
    assert_int_equal(store.requests, 1);
    record_cache_release(cache, wanted, 2);
    record_cache_free(cache);
}

static void test_store_fails(void **state)
{
    (void)state;
    static struct many many;
    struct record_cache *cache = new_cache();
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    init_many(&many, MANY, 0);
    store.failing_request = 100;
    assert_int_equal(record_cache_get(cache, &call, many.wanted, MANY, &err), -EIO);
    assert_non_null(strstr(err.text, "the store says no"));
    assert_in_range(store.requests, 100, 100 + RECORD_CACHE_READERS);
    for (size_t i = 0; i < MANY; i++)
        assert_null(many.wanted[i].record);
    // What was read before stays known; the rest can be asked for again.
    store.failing_request = 0;
    store.requests = 0;
    assert_int_equal(record_cache_get(cache, &call, many.wanted, MANY, &err), 0);
    assert_in_range(store.requests, MANY - 100, MANY - 99 + RECORD_CACHE_READERS);
    record_cache_release(cache, many.wanted, MANY);
    record_cache_free(cache);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    struct record_wanted wanted = {.key = "known/a", .etag = "\"e\""};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    call_cancel(&call);
    assert_int_equal(record_cache_get(cache, &call, &wanted, 1, &err), -EINTR);
    assert_null(wanted.record);
    record_cache_free(cache);
}

static void test_put(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    assert_null(get_one(cache, "a/new"));
    record_cache_put(cache, fixture_record("a/new", "\"e\""));
    const struct record *record = get_one(cache, "a/new");
    assert_non_null(record);
    assert_int_equal(record->layer_count, 0);
    assert_int_equal(store.requests, 1);

    // Whoever holds the one before keeps it.
    struct record_wanted wanted = {.key = "a/new", .etag = "\"e\""};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    assert_int_equal(record_cache_get(cache, &call, &wanted, 1, &err), 0);
    record_cache_put(cache, fixture_record("a/new", "\"e\""));
    assert_ptr_equal(wanted.record, record);
    assert_string_equal(wanted.record->key, "a/new");
    record_cache_release(cache, &wanted, 1);
    record_cache_put(cache, NULL);
    record_cache_free(cache);
}

static void test_oldest_go_first(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    for (int i = 0; i < RECORD_CACHE_MAX + 10; i++) {
        char key[32];
        snprintf(key, sizeof(key), "known/%d", i);
        record_cache_put(cache, fixture_record(key, "\"e\""));
    }
    assert_non_null(get_one(cache, "known/10"));
    assert_int_equal(store.requests, 0);
    assert_non_null(get_one(cache, "known/9"));
    assert_int_equal(store.requests, 1);
    record_cache_free(cache);
}

struct asker {
    struct record_cache *cache;
    int first;
};

static void *ask(void *context)
{
    struct asker *asker = context;
    struct many *many = calloc(1, sizeof(*many));
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    init_many(many, 100, asker->first);
    // From both ends, so that the askers claim what the others wait for.
    if (asker->first % 2) {
        for (size_t i = 0; i < 50; i++) {
            struct record_wanted swap = many->wanted[i];
            many->wanted[i] = many->wanted[99 - i];
            many->wanted[99 - i] = swap;
        }
    }
    assert_int_equal(record_cache_get(asker->cache, &call, many->wanted, 100, &err), 0);
    for (size_t i = 0; i < 100; i++)
        assert_string_equal(many->wanted[i].record->key, many->wanted[i].key);
    record_cache_release(asker->cache, many->wanted, 100);
    free(many);
    return NULL;
}

// Calls that want each other's records read each once, and do not block each other.
static void test_askers_share(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    struct asker askers[4];
    pthread_t threads[4];
    store.delay_ms = 1;
    for (int i = 0; i < 4; i++) {
        askers[i] = (struct asker){.cache = cache, .first = i * 25};
        pthread_create(&threads[i], NULL, ask, &askers[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(store.requests, 175);
    record_cache_free(cache);
}

static void *ask_and_fail(void *context)
{
    struct record_cache *cache = context;
    struct record_wanted wanted = {.key = "known/a", .etag = "\"e\""};
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    int error = record_cache_get(cache, &call, &wanted, 1, &err);
    record_cache_release(cache, &wanted, 1);
    return error < 0 ? context : NULL;
}

// Who waits for a reading that fails reads for itself.
static void test_failure_is_not_shared(void **state)
{
    (void)state;
    struct record_cache *cache = new_cache();
    pthread_t threads[2];
    void *failed[2];
    store.delay_ms = 200;
    store.failing_request = 1;
    store.is_failing_once = true;
    pthread_create(&threads[0], NULL, ask_and_fail, cache);
    while (store.requests == 0)
        usleep(1000);
    pthread_create(&threads[1], NULL, ask_and_fail, cache);
    pthread_join(threads[0], &failed[0]);
    pthread_join(threads[1], &failed[1]);
    assert_non_null(failed[0]);
    assert_null(failed[1]);
    assert_int_equal(store.requests, 2);
    record_cache_free(cache);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct record_cache *cache = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int error = record_cache_new(
            &(struct record_cache_options){.clock = &test_clock, .prefix = ""}, &cache, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, has_failed ? -ENOMEM : 0);
        record_cache_free(cache);
    }
    struct record_cache *cache = new_cache();
    has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct record *record = fixture_record("a", "\"e\"");
        memory_fail_at(nth);
        record_cache_put(cache, record);
        has_failed = memory_has_failed();
        memory_fail_at(0);
    }
    record_cache_free(cache);
    has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct record_wanted wanted = {.key = "missing", .etag = "\"e\""};
        struct call call;
        struct err err = {0};
        cache = new_cache();
        call_init(&call, &test_clock);
        memory_fail_at(nth);
        int error = record_cache_get(cache, &call, &wanted, 1, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, has_failed ? -ENOMEM : 0);
        record_cache_release(cache, &wanted, 1);
        record_cache_free(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_read_once),
        cmocka_unit_test(test_missing_is_remembered_ever_longer),
        cmocka_unit_test(test_garbage_is_none),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_the_same_twice_in_one_call),
        cmocka_unit_test(test_store_fails),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_oldest_go_first),
        cmocka_unit_test(test_askers_share),
        cmocka_unit_test(test_failure_is_not_shared),
        cmocka_unit_test(test_no_memory),
    };
    log_open(LOG_SINK_STDERR, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
