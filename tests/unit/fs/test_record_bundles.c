// Bundles of records: as text, and as the record cache reads and makes them, over a store of
// objects in memory that counts.
#include "tests/unit/base/test.h"

#include "base/log.h"
#include "base/scope.h"
#include "fs/path.h"
#include "fs/publish/record_bundles.h"
#include "fs/publish/record_cache.h"
#include "tests/unit/fs/record_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define DIRECTORY "jps/fix/abc1234"
#define RECORDS ".prereleasefs/records/"
#define BUNDLES ".prereleasefs/bundles/"

enum { OBJECTS_MAX = 16 * 1024, TARBALLS_MAX = 5000, WRITTEN_LIMIT_MS = 20 * 1000 };

static int64_t now_ms;

static int64_t test_now_ms(const struct clock *clock)
{
    (void)clock;
    return now_ms;
}

static const struct clock test_clock = {.now_ms = test_now_ms, .monotonic_ms = test_now_ms};

// ---- the store ---------------------------------------------------------------------------------

static struct {
    pthread_mutex_t lock;
    struct {
        char *key;
        struct buf bytes;
    } objects[OBJECTS_MAX];
    size_t count;
    int gets_of_records;
    int gets_of_bundles;
    int lists;
    int puts;
    bool is_refusing_puts;
    bool is_refusing_lists;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void counters_clear(void)
{
    store.gets_of_records = store.gets_of_bundles = store.lists = store.puts = 0;
}

static void store_clear(void)
{
    for (size_t i = 0; i < store.count; i++) {
        free(store.objects[i].key);
        buf_done(&store.objects[i].bytes);
    }
    store.count = 0;
    store.is_refusing_puts = store.is_refusing_lists = false;
    counters_clear();
}

static struct buf *find_locked(const char *key)
{
    for (size_t i = 0; i < store.count; i++) {
        if (strcmp(store.objects[i].key, key) == 0)
            return &store.objects[i].bytes;
    }
    return NULL;
}

static struct buf *make_locked(const char *key)
{
    struct buf *bytes = find_locked(key);
    if (bytes)
        return bytes;
    assert_true(store.count < OBJECTS_MAX);
    store.objects[store.count].key = strdup(key);
    store.objects[store.count].bytes = BUF_INIT(BUNDLE_LIMIT);
    return &store.objects[store.count++].bytes;
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)limit_bytes;
    (void)ret_etag;
    pthread_mutex_lock(&store.lock);
    *(strstr(key, BUNDLES) ? &store.gets_of_bundles : &store.gets_of_records) += 1;
    const struct buf *bytes = find_locked(key);
    int error = bytes ? buf_append(ret_bytes, bytes->bytes, bytes->size)
                      : err_set(err, ENOENT, "no such key");
    pthread_mutex_unlock(&store.lock);
    return error;
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)ret_etag;
    int error = 0;
    pthread_mutex_lock(&store.lock);
    if (store.is_refusing_puts) {
        error = err_set(err, EACCES, "not allowed");
    } else {
        struct buf *bytes = make_locked(put->key);
        buf_clear(bytes);
        assert_int_equal(put->body_count, 1);
        assert_int_equal(buf_append(bytes, put->body[0].bytes, put->body[0].size), 0);
    }
    store.puts++;
    pthread_mutex_unlock(&store.lock);
    return error;
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client;
    (void)call;
    (void)key;
    return err_set(err, EIO, "not here");
}

// Pages of a thousand names, of which the fake has each as often as it holds records of it.
int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    (void)client;
    (void)call;
    (void)start_after;
    assert_string_equal(delimiter, "/");
    pthread_mutex_lock(&store.lock);
    store.lists++;
    if (store.is_refusing_lists) {
        pthread_mutex_unlock(&store.lock);
        return err_set(err, EACCES, "not allowed");
    }
    struct s3_page page = {.prefixes = calloc((size_t)max_keys, sizeof(char *))};
    struct buf arena = BUF_INIT(BUNDLE_LIMIT);
    size_t at = token ? (size_t)atoi(token) : 0;
    size_t *offsets = calloc((size_t)max_keys, sizeof(size_t));
    for (; at < store.count && page.prefix_count < (size_t)max_keys; at++) {
        const char *key = store.objects[at].key;
        if (strncmp(key, prefix, strlen(prefix)) != 0)
            continue;
        offsets[page.prefix_count++] = arena.size;
        buf_append(&arena, key, strlen(prefix) + strcspn(key + strlen(prefix), "/") + 1);
        buf_append(&arena, "", 1);
    }
    if (at < store.count && asprintf(&page.next_token, "%zu", at) < 0)
        fail();
    pthread_mutex_unlock(&store.lock);
    page.arena = buf_take(&arena);
    for (size_t i = 0; i < page.prefix_count; i++)
        page.prefixes[i] = (char *)page.arena + offsets[i];
    free(offsets);
    *ret_page = page;
    return 0;
}

void s3_page_done(struct s3_page *page)
{
    free(page->prefixes);
    free(page->arena);
    free(page->next_token);
    *page = (struct s3_page){0};
}

// ---- a directory of tarballs -------------------------------------------------------------------

static struct {
    char keys[TARBALLS_MAX][64];
    struct record_wanted wanted[TARBALLS_MAX];
    size_t count;
} directory;

static void store_record(const char *key, const char *etag)
{
    struct err err = {0};
    struct record *record = fixture_record(key, etag);
    auto_free char *object_key = record_object_key("", key, etag);
    struct buf *bytes = make_locked(object_key);
    buf_clear(bytes);
    assert_int_equal(record_format(record, bytes, &err), 0);
    record_free(record);
}

static void fill(size_t count, bool has_records)
{
    for (size_t i = directory.count; i < count; i++) {
        snprintf(directory.keys[i], sizeof(directory.keys[i]), DIRECTORY "/x%zu.tar", i);
        directory.wanted[i] =
            (struct record_wanted){.key = directory.keys[i], .etag = "\"5f3759df\""};
        if (has_records)
            store_record(directory.keys[i], "\"5f3759df\"");
    }
    directory.count = count;
}

static void start(size_t count, bool has_records)
{
    store_clear();
    directory.count = 0;
    now_ms = 1000;
    fill(count, has_records);
}

static struct record_cache *new_cache(bool may_write)
{
    struct record_cache *cache = NULL;
    struct err err = {0};
    const struct record_cache_options options = {
        .clock = &test_clock,
        .prefix = "",
        .may_write = may_write,
    };
    assert_int_equal(record_cache_new(&options, &cache, &err), 0);
    return cache;
}

static size_t ask(struct record_cache *cache)
{
    struct call call;
    struct err err = {0};
    size_t known = 0;
    call_init(&call, &test_clock);
    assert_int_equal(
        record_cache_get_all(cache, &call, DIRECTORY, directory.wanted, directory.count, &err), 0);
    for (size_t i = 0; i < directory.count; i++) {
        const struct record *record = directory.wanted[i].record;
        if (!record)
            continue;
        assert_string_equal(record->key, directory.keys[i]);
        assert_string_equal(record->sha256, FIXTURE_HEX);
        known++;
    }
    record_cache_release(cache, directory.wanted, directory.count);
    return known;
}

// Another mount looks.
static size_t ask_afresh(bool may_write)
{
    counters_clear();
    struct record_cache *cache = new_cache(may_write);
    size_t known = ask(cache);
    record_cache_free(cache);
    return known;
}

static void wait_for_puts(int count)
{
    for (int waited_ms = 0; waited_ms < WRITTEN_LIMIT_MS; waited_ms++) {
        pthread_mutex_lock(&store.lock);
        bool is_done = store.puts >= count;
        pthread_mutex_unlock(&store.lock);
        if (is_done)
            return;
        usleep(1000);
    }
    fail_msg("%d of %d bundles are written", store.puts, count);
}

// A mount that finds bundles lacking, and stays until it has made them.
static size_t ask_and_keep(int puts)
{
    counters_clear();
    struct record_cache *cache = new_cache(true);
    size_t known = ask(cache);
    wait_for_puts(puts);
    record_cache_free(cache);
    return known;
}

static struct buf *bundle(size_t index, size_t count)
{
    auto_free char *key = bundle_object_key("", DIRECTORY, index, count);
    struct buf *bytes = find_locked(key);
    assert_non_null(bytes);
    return bytes;
}

// ---- reading and keeping -----------------------------------------------------------------------

static void test_whoever_finds_it_lacking_makes_it(void **state)
{
    (void)state;
    start(12, true);
    assert_int_equal(ask_and_keep(1), 12);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.gets_of_records, 12);
    assert_int_equal(store.lists, 0);

    assert_int_equal(ask_afresh(true), 12);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.gets_of_records, 0);
    assert_int_equal(store.puts, 0);
}

static void test_many_are_read_in_few_requests(void **state)
{
    (void)state;
    start(4500, true);
    assert_int_equal(ask_and_keep(4), 4500);
    assert_int_equal(store.lists, 5);
    assert_int_equal(ask_afresh(true), 4500);
    assert_int_equal(store.gets_of_bundles, 4);
    assert_int_equal(store.gets_of_records + store.lists + store.puts, 0);
}

static void test_a_new_record_is_found_beside_the_bundle(void **state)
{
    (void)state;
    start(1000, true);
    assert_int_equal(ask_and_keep(1), 1000);
    fill(1001, true);
    assert_int_equal(ask_afresh(true), 1001);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.gets_of_records, 1);
    assert_int_equal(store.puts, 0); // not worth it for one of a thousand
    fill(1005, true);
    assert_int_equal(ask_and_keep(1), 1005);
    assert_int_equal(store.gets_of_records, 5);
    assert_int_equal(ask_afresh(true), 1005);
    assert_int_equal(store.gets_of_records, 0);
}

static void test_a_replaced_tarball_has_another_record(void **state)
{
    (void)state;
    start(3, true);
    assert_int_equal(ask_and_keep(1), 3);
    directory.wanted[1].etag = "\"another\"";
    assert_int_equal(ask_afresh(false), 2);
    assert_int_equal(store.gets_of_records, 1);
    store_record(directory.keys[1], "\"another\"");
    assert_int_equal(ask_and_keep(1), 3);
    assert_non_null(strstr(buf_text(bundle(0, 1)), "another"));
    assert_int_equal(ask_afresh(false), 3);
    assert_int_equal(store.gets_of_records, 0);
}

static void test_outgrown_bundles_are_read_until_there_are_larger_sets(void **state)
{
    (void)state;
    start(BUNDLE_RECORDS, true);
    assert_int_equal(ask_and_keep(1), BUNDLE_RECORDS);
    fill(BUNDLE_RECORDS + 10, true);
    assert_int_equal(ask_afresh(false), BUNDLE_RECORDS + 10);
    assert_int_equal(store.gets_of_bundles, 4); // two that are not there, one twice
    assert_int_equal(store.gets_of_records, 10);
    fill(BUNDLE_RECORDS + 100, true);
    assert_int_equal(ask_and_keep(2), BUNDLE_RECORDS + 100);
    assert_int_equal(ask_afresh(false), BUNDLE_RECORDS + 100);
    assert_int_equal(store.gets_of_bundles, 2);
    assert_int_equal(store.gets_of_records, 0);
}

static void test_what_is_damaged_is_read_by_itself(void **state)
{
    (void)state;
    start(10, true);
    assert_int_equal(ask_and_keep(1), 10);
    struct buf *bytes = bundle(0, 1);

    // Cut off in its last line.
    bytes->bytes[bytes->size -= 100] = '\0';
    assert_int_equal(ask_and_keep(1), 10);
    assert_int_equal(store.gets_of_records, 1);
    // One line of it is no record.
    bytes->bytes[0] = '[';
    assert_int_equal(ask_and_keep(1), 10);
    assert_int_equal(store.gets_of_records, 1);
    // None is, and nothing is.
    buf_clear(bytes);
    assert_int_equal(buf_append_text(bytes, "{}\n\n\n{\"version\":1}"), 0);
    assert_int_equal(ask_and_keep(1), 10);
    assert_int_equal(store.gets_of_records, 10);
    buf_clear(bytes);
    assert_int_equal(ask_and_keep(1), 10);
    assert_int_equal(store.gets_of_records, 10);
    assert_int_equal(ask_afresh(true), 10);
    assert_int_equal(store.gets_of_records, 0);
}

// Records of other objects, and of other versions, in a bundle are nobody's.
static void test_records_of_others_are_not_taken(void **state)
{
    (void)state;
    start(2, false);
    struct buf text = BUF_INIT(BUNDLE_LIMIT);
    const char *const foreign[][2] = {
        {DIRECTORY "/x0.tar", "\"other\""}, {"other/x0.tar", "\"5f3759df\""}, {"x1.tar", "\"e\""}};
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        struct record *record = fixture_record(foreign[i][0], foreign[i][1]);
        assert_int_equal(bundle_append(&text, record), 0);
        record_free(record);
    }
    auto_free char *key = bundle_object_key("", DIRECTORY, 0, 1);
    *make_locked(key) = text;
    assert_int_equal(ask_afresh(true), 0);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.gets_of_records, 2);
}

static void test_nothing_is_written_where_it_may_not(void **state)
{
    (void)state;
    start(5, true);
    assert_int_equal(ask_afresh(false), 5);
    assert_int_equal(store.puts, 0);

    // By an account that may not: tried once.
    store.is_refusing_puts = true;
    struct record_cache *cache = new_cache(true);
    assert_int_equal(ask(cache), 5);
    wait_for_puts(1);
    fill(9, true);
    assert_int_equal(ask(cache), 9);
    usleep(20 * 1000);
    assert_int_equal(store.puts, 1);
    record_cache_free(cache);
}

static void test_tarballs_without_records_cost_no_request_each(void **state)
{
    (void)state;
    start(1500, false);
    store_record(directory.keys[700], "\"5f3759df\"");
    store_record(directory.keys[701], "\"older\"");
    counters_clear();
    struct record_cache *cache = new_cache(false);
    assert_int_equal(ask(cache), 1);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.lists, 1);
    assert_int_equal(store.gets_of_records, 2);
    // They are looked for again a little later: no bundle would have them.
    now_ms += RECORD_MISSING_MIN_MS;
    assert_int_equal(ask(cache), 1);
    assert_int_equal(store.gets_of_bundles, 1);
    assert_int_equal(store.lists, 2);
    assert_int_equal(store.gets_of_records, 3);
    record_cache_free(cache);

    // Where listing is refused each is asked for.
    store.is_refusing_lists = true;
    assert_int_equal(ask_afresh(false), 1);
    assert_int_equal(store.gets_of_records, 1500);
}

static void test_a_single_tarball_has_no_bundle(void **state)
{
    (void)state;
    start(1, true);
    assert_int_equal(ask_afresh(true), 1);
    assert_int_equal(store.gets_of_records, 1);
    assert_int_equal(store.gets_of_bundles + store.puts, 0);
}

// ---- as text -----------------------------------------------------------------------------------

static void test_how_many_there_are(void **state)
{
    (void)state;
    assert_int_equal(bundle_count(0), 1);
    assert_int_equal(bundle_count(BUNDLE_RECORDS), 1);
    assert_int_equal(bundle_count(BUNDLE_RECORDS + 1), 2);
    assert_int_equal(bundle_count(10000), 8);
    assert_int_equal(bundle_count(SIZE_MAX / 2), BUNDLE_COUNT_MAX);
    // One of a larger set is a part of one of the set of half its size.
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof(key), "a/%d.tar", i);
        assert_int_equal(bundle_index(key, 8) % 4, bundle_index(key, 4));
    }
}

static void count_record(void *context, struct record *record)
{
    *(int *)context += 1;
    assert_int_equal(record->layer_count, 0);
    record_free(record);
}

static void test_a_line_is_a_record_without_its_layers(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(4096);
    struct record *record = fixture_record("a/x.tar", "\"e\"");
    assert_true(record->layer_count > 0);
    int appended = 0, read = 0;
    while (bundle_append(&text, record) == 0)
        appended++;
    assert_true(appended > 1);
    assert_false(text.is_full); // the last one was left out as a whole
    assert_int_equal(bundle_read(text.bytes, text.size, count_record, &read), 0);
    assert_int_equal(read, appended);
    // Without the last newline, and with one line that is none.
    read = 0;
    text.bytes[0] = 'x';
    assert_int_equal(bundle_read(text.bytes, text.size - 1, count_record, &read), 1);
    assert_int_equal(read, appended - 1);
    assert_int_equal(bundle_read("", 0, count_record, &read), 0);
    record_free(record);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_finds_it_lacking_makes_it),
        cmocka_unit_test(test_many_are_read_in_few_requests),
        cmocka_unit_test(test_a_new_record_is_found_beside_the_bundle),
        cmocka_unit_test(test_a_replaced_tarball_has_another_record),
        cmocka_unit_test(test_outgrown_bundles_are_read_until_there_are_larger_sets),
        cmocka_unit_test(test_what_is_damaged_is_read_by_itself),
        cmocka_unit_test(test_records_of_others_are_not_taken),
        cmocka_unit_test(test_nothing_is_written_where_it_may_not),
        cmocka_unit_test(test_tarballs_without_records_cost_no_request_each),
        cmocka_unit_test(test_a_single_tarball_has_no_bundle),
        cmocka_unit_test(test_how_many_there_are),
        cmocka_unit_test(test_a_line_is_a_record_without_its_layers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    store_clear();
    return failed;
}
