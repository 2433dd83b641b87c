#include "record_cache_private.h"

#include "../path.h"
#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int record_cache_new(const struct record_cache_options *options, struct record_cache **ret_cache,
                     struct err *err)
{
    struct record_cache *cache = calloc(1, sizeof(*cache));

    if (!cache || !(cache->prefix = strdup(options->prefix))) {
        free(cache);
        return err_no_memory(err);
    }
    cache->client = options->client;
    cache->clock = options->clock;
    pthread_mutex_init(&cache->lock, NULL);
    call_wait_init(&cache->settled);
    int error = record_bundles_new(options->client, options->clock, options->prefix,
                                   options->may_write, &cache->bundles, err);
    if (error < 0) {
        record_cache_free(cache);
        return error;
    }
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
    return &cache->buckets[path_hash(key) % RECORD_CACHE_BUCKETS];
}

struct record_entry *record_cache_find_locked(struct record_cache *cache, const char *key,
                                              const char *etag)
{
    struct record_entry *entry = *bucket_locked(cache, key);

    while (entry && (strcmp(entry->key, key) != 0 || !record_etag_equal(entry->etag, etag)))
        entry = entry->chain;
    return entry;
}

void record_cache_remove_locked(struct record_cache *cache, struct record_entry *entry)
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
        record_cache_remove_locked(cache, cache->oldest);
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
    record_bundles_free(cache->bundles);
    while (cache->oldest)
        record_cache_remove_locked(cache, cache->oldest);
    pthread_cond_destroy(&cache->settled);
    pthread_mutex_destroy(&cache->lock);
    free(cache->prefix);
    free(cache);
}

// ---- asking ------------------------------------------------------------------------------------

// Holds an entry for each wanted one that has none; those that nobody knows or reads are claimed.
static int hold_and_claim(struct record_cache *cache, struct record_wanted *wanted, size_t count,
                          struct record_reading *reading, struct err *err)
{
    int64_t now_ms = clock_monotonic_ms(cache->clock);
    int error = 0;

    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].entry)
            continue;
        struct record_entry *entry = record_cache_find_locked(cache, wanted[i].key, wanted[i].etag);
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
            entry->reader = reading;
            reading->claimed[reading->count++] = entry;
        }
    }
    pthread_mutex_unlock(&cache->lock);
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

// Bundles that turn out to lack some of these records are made anew.
static void keep_bundles(struct record_cache *cache, const char *directory, size_t bundles,
                         const struct record_wanted *wanted, size_t count)
{
    auto_free struct bundled *all = calloc(count, sizeof(*all));
    size_t lacking = 0;

    if (!all)
        return; // the next reader will
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < count; i++) {
        struct record_entry *entry = wanted[i].entry;
        all[i] = (struct bundled){wanted[i].record, entry->is_unbundled};
        lacking += entry->is_unbundled;
        entry->is_unbundled = false;
    }
    pthread_mutex_unlock(&cache->lock);
    if (lacking > 0)
        record_bundles_keep(cache->bundles, directory, bundles, all, count);
}

static int get(struct record_cache *cache, struct call *call, const char *directory,
               struct record_wanted *wanted, size_t count, struct err *err)
{
    auto_free struct record_entry **claimed = calloc(count ? count : 1, sizeof(void *));
    struct record_reading reading = {
        .cache = cache,
        .call = call,
        .directory = directory,
        .bundle_count = bundle_count(count),
        .claimed = claimed,
        .err = err,
    };
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        wanted[i].record = NULL;
        wanted[i].entry = NULL;
    }
    if (!claimed)
        return err_no_memory(err);
    for (bool is_complete = false; error == 0 && !is_complete;) {
        reading.count = 0;
        error = hold_and_claim(cache, wanted, count, &reading, err);
        // What was claimed is read before anything is waited for, so that two calls that want
        // each other's cannot block each other; also when there was no memory for the rest.
        int reading_error = reading.count > 0 ? record_cache_read(&reading) : 0;
        if (error == 0)
            error = reading_error;
        if (error == 0)
            is_complete = wait_for_others(cache, call, wanted, count);
        if (error == 0 && atomic_load(&call->is_cancelled))
            error = err_set(err, EINTR, "reading records was cancelled");
    }
    if (error < 0)
        record_cache_release(cache, wanted, count);
    else if (directory && count > 1)
        keep_bundles(cache, directory, reading.bundle_count, wanted, count);
    return error;
}

int record_cache_get(struct record_cache *cache, struct call *call, struct record_wanted *wanted,
                     size_t count, struct err *err)
{
    return get(cache, call, NULL, wanted, count, err);
}

int record_cache_get_all(struct record_cache *cache, struct call *call, const char *directory,
                         struct record_wanted *wanted, size_t count, struct err *err)
{
    return get(cache, call, directory, wanted, count, err);
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
    record_drop_layers(record);
    pthread_mutex_lock(&cache->lock);
    // Whoever holds or reads what stood there before keeps that.
    struct record_entry *entry = record_cache_find_locked(cache, record->key, record->etag);
    if (entry)
        record_cache_remove_locked(cache, entry);
    entry = insert_locked(cache, record->key, record->etag);
    if (entry) {
        entry->record = TAKE(record);
        entry->state = ENTRY_KNOWN;
        let_go_locked(entry);
    }
    pthread_mutex_unlock(&cache->lock);
    record_free(record); // no memory: it will be read when it is wanted
}
