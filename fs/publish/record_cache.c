#include "record_cache.h"

#include "../path.h"
#include "../side_by_side.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 1 << 14,
};

enum entry_state {
    ENTRY_READING, // a call has claimed it and will settle it before that call waits for anything
    ENTRY_KNOWN,
    ENTRY_MISSING, // until asked_again_ms
    ENTRY_FAILED,  // the store could not be asked; no longer in the table
};

// In the table, or held by calls, or both; freed when it is neither.
struct record_entry {
    struct record_entry *chain; // of its bucket
    struct record_entry *older;
    struct record_entry *newer;
    char *key;
    char *etag;
    enum entry_state state;
    bool is_in_table;
    unsigned holds;
    struct record *record;  // KNOWN: never changes again
    int64_t missing_for_ms; // MISSING
    int64_t asked_again_ms; // MISSING; on the monotonic clock
};

struct record_cache {
    struct s3_client *client;
    const struct clock *clock;
    char *prefix;

    // No I/O with it held.
    pthread_mutex_t lock;
    pthread_cond_t settled; // an entry has left ENTRY_READING
    struct record_entry *buckets[BUCKETS];
    struct record_entry *oldest;
    struct record_entry *newest;
    size_t count; // in the table
};

int record_cache_new(struct s3_client *client, const struct clock *clock, const char *prefix,
                     struct record_cache **ret_cache, struct err *err)
{
    struct record_cache *cache = calloc(1, sizeof(*cache));

    if (!cache || !(cache->prefix = strdup(prefix))) {
        free(cache);
        return err_no_memory(err);
    }
    cache->client = client;
    cache->clock = clock;
    pthread_mutex_init(&cache->lock, NULL);
    call_wait_init(&cache->settled);
    *ret_cache = cache;
    return 0;
}

// ---- the table; all of it with the lock held ---------------------------------------------------

static void entry_free(struct record_entry *entry)
{
    if (!entry)
        return;
    record_free(entry->record);
    free(entry->key);
    free(entry->etag);
    free(entry);
}

// By the key alone: how an ETag is quoted is no part of it (record_etag_equal).
static struct record_entry **bucket_locked(struct record_cache *cache, const char *key)
{
    return &cache->buckets[path_hash(key) % BUCKETS];
}

static struct record_entry *find_locked(struct record_cache *cache, const char *key,
                                        const char *etag)
{
    struct record_entry *entry = *bucket_locked(cache, key);

    while (entry && (strcmp(entry->key, key) != 0 || !record_etag_equal(entry->etag, etag)))
        entry = entry->chain;
    return entry;
}

static void remove_locked(struct record_cache *cache, struct record_entry *entry)
{
    struct record_entry **link = bucket_locked(cache, entry->key);

    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    entry->is_in_table = false;
    cache->count--;
    if (entry->holds == 0)
        entry_free(entry);
}

// A new entry in ENTRY_READING, held once by the caller. NULL on no memory.
static struct record_entry *insert_locked(struct record_cache *cache, const char *key,
                                          const char *etag)
{
    struct record_entry *entry = calloc(1, sizeof(*entry));

    if (!entry || !(entry->key = strdup(key)) || !(entry->etag = strdup(etag))) {
        entry_free(entry);
        return NULL;
    }
    while (cache->count >= RECORD_CACHE_MAX)
        remove_locked(cache, cache->oldest);
    struct record_entry **bucket = bucket_locked(cache, key);
    entry->holds = 1;
    entry->is_in_table = true;
    entry->chain = *bucket;
    *bucket = entry;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
    cache->count++;
    return entry;
}

static void let_go_locked(struct record_entry *entry)
{
    if (--entry->holds == 0 && !entry->is_in_table)
        entry_free(entry);
}

void record_cache_free(struct record_cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest)
        remove_locked(cache, cache->oldest);
    pthread_cond_destroy(&cache->settled);
    pthread_mutex_destroy(&cache->lock);
    free(cache->prefix);
    free(cache);
}

static void drop_layers(struct record *record)
{
    for (size_t i = 0; i < record->layer_count; i++)
        free(record->layers[i].media_type);
    free(record->layers);
    record->layers = NULL;
    record->layer_count = 0;
}

// ---- reading, without the lock -----------------------------------------------------------------

// The entries that one call has claimed, being read by several threads.
struct reading {
    struct record_cache *cache;
    struct call *call;
    struct record_entry **claimed;
    size_t count;
    atomic_bool has_failed; // whoever sets it writes err
    struct err *err;
};

// What became of a claimed entry. record NULL: there is none, or what is there is none.
static void settle(struct record_cache *cache, struct record_entry *entry, struct record *record)
{
    pthread_mutex_lock(&cache->lock);
    if (record) {
        entry->record = record;
        entry->state = ENTRY_KNOWN;
    } else {
        int64_t doubled_ms = 2 * entry->missing_for_ms;
        entry->missing_for_ms = doubled_ms < RECORD_MISSING_MIN_MS   ? RECORD_MISSING_MIN_MS
                                : doubled_ms > RECORD_MISSING_MAX_MS ? RECORD_MISSING_MAX_MS
                                                                     : doubled_ms;
        entry->asked_again_ms = clock_monotonic_ms(cache->clock) + entry->missing_for_ms;
        entry->state = ENTRY_MISSING;
    }
    pthread_cond_broadcast(&cache->settled);
    pthread_mutex_unlock(&cache->lock);
}

static void read_claimed(void *context, size_t index)
{
    struct reading *reading = context;
    struct record_cache *cache = reading->cache;

    if (atomic_load(&reading->has_failed))
        return;
    struct record_entry *entry = reading->claimed[index];
    struct record *record = NULL;
    struct err err = {0};
    int error = record_load(cache->client, reading->call, cache->prefix, entry->key, entry->etag,
                            &record, &err);
    if (error < 0 && error != -ENOENT && error != -EBADMSG) {
        if (!atomic_exchange(&reading->has_failed, true))
            *reading->err = err;
        return;
    }
    // Nobody above will hear of it: for them the record is missing.
    if (error == -EBADMSG)
        log_err(LOG_LEVEL_WARN, "record left aside", &err, "key", entry->key, NULL);
    if (record)
        drop_layers(record);
    settle(cache, entry, record);
}

// 0, or the first error; every claimed entry is settled afterwards.
static int read_side_by_side(struct reading *reading)
{
    side_by_side(reading->count, RECORD_CACHE_READERS, read_claimed, reading);
    if (!atomic_load(&reading->has_failed))
        return 0;

    struct record_cache *cache = reading->cache;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < reading->count; i++) {
        struct record_entry *entry = reading->claimed[i];
        if (entry->state != ENTRY_READING)
            continue;
        entry->state = ENTRY_FAILED;
        if (entry->is_in_table)
            remove_locked(cache, entry);
    }
    pthread_cond_broadcast(&cache->settled);
    pthread_mutex_unlock(&cache->lock);
    return -reading->err->errnum;
}

// ---- asking ------------------------------------------------------------------------------------

// Holds an entry for each wanted one that has none; those that nobody knows or reads are claimed.
static int hold_and_claim(struct record_cache *cache, struct record_wanted *wanted, size_t count,
                          struct record_entry **claimed, size_t *ret_claimed_count, struct err *err)
{
    int64_t now_ms = clock_monotonic_ms(cache->clock);
    size_t claimed_count = 0;
    int error = 0;

    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].entry)
            continue;
        struct record_entry *entry = find_locked(cache, wanted[i].key, wanted[i].etag);
        bool is_known =
            entry && !(entry->state == ENTRY_MISSING && now_ms >= entry->asked_again_ms);
        if (entry)
            entry->holds++;
        else
            entry = insert_locked(cache, wanted[i].key, wanted[i].etag);
        if (!entry) {
            err_no_memory(err);
            error = -ENOMEM;
            break;
        }
        wanted[i].entry = entry;
        if (!is_known) {
            entry->state = ENTRY_READING;
            claimed[claimed_count++] = entry;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    *ret_claimed_count = claimed_count;
    return error;
}

// Waits until nothing wanted is being read by another call. Entries whose reading failed are let
// go: the answer is then false, and they are to be held afresh.
static bool wait_for_others(struct record_cache *cache, struct call *call,
                            struct record_wanted *wanted, size_t count)
{
    bool is_complete = true;

    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < count; i++) {
        struct record_entry *entry = wanted[i].entry;
        while (entry->state == ENTRY_READING && call_wait(call, &cache->settled, &cache->lock))
            ;
        wanted[i].record = entry->state == ENTRY_KNOWN ? entry->record : NULL;
        if (entry->state == ENTRY_FAILED) {
            let_go_locked(entry);
            wanted[i].entry = NULL;
            is_complete = false;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return is_complete;
}

int record_cache_get(struct record_cache *cache, struct call *call, struct record_wanted *wanted,
                     size_t count, struct err *err)
{
    auto_free struct record_entry **claimed = calloc(count ? count : 1, sizeof(void *));
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        wanted[i].record = NULL;
        wanted[i].entry = NULL;
    }
    if (!claimed)
        return err_no_memory(err);
    for (bool is_complete = false; error == 0 && !is_complete;) {
        struct reading reading = {.cache = cache, .call = call, .claimed = claimed, .err = err};
        error = hold_and_claim(cache, wanted, count, claimed, &reading.count, err);
        // What was claimed is read before anything is waited for, so that two calls that want
        // each other's cannot block each other; also when there was no memory for the rest.
        int reading_error = reading.count > 0 ? read_side_by_side(&reading) : 0;
        if (error == 0)
            error = reading_error;
        if (error == 0)
            is_complete = wait_for_others(cache, call, wanted, count);
        if (error == 0 && atomic_load(&call->is_cancelled))
            error = err_set(err, EINTR, "reading records was cancelled");
    }
    if (error < 0)
        record_cache_release(cache, wanted, count);
    return error;
}

void record_cache_release(struct record_cache *cache, struct record_wanted *wanted, size_t count)
{
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].entry)
            let_go_locked(wanted[i].entry);
        wanted[i].entry = NULL;
        wanted[i].record = NULL;
    }
    pthread_mutex_unlock(&cache->lock);
}

void record_cache_put(struct record_cache *cache, struct record *record)
{
    if (!record)
        return;
    drop_layers(record);
    pthread_mutex_lock(&cache->lock);
    // Whoever holds or reads what stood there before keeps that.
    struct record_entry *entry = find_locked(cache, record->key, record->etag);
    if (entry)
        remove_locked(cache, entry);
    entry = insert_locked(cache, record->key, record->etag);
    if (entry) {
        entry->record = TAKE(record);
        entry->state = ENTRY_KNOWN;
        let_go_locked(entry);
    }
    pthread_mutex_unlock(&cache->lock);
    record_free(record); // no memory: it will be read when it is wanted
}
