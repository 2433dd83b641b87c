// Reading records: those of a directory from its bundles, then what these lack by itself.
#include "record_cache_private.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/side_by_side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUNDLED_MIN = 2, // unknown records of a directory for which its bundles are looked at
    // Unknown records for which it is first asked which there are: a directory of tarballs that
    // nothing was recorded of must not cost a request for each.
    LISTED_MIN = RECORD_CACHE_READERS + 1,
};

void record_drop_layers(struct record *record)
{
    for (size_t i = 0; i < record->layer_count; i++)
        free(record->layers[i].media_type);
    free(record->layers);
    record->layers = NULL;
    record->layer_count = 0;
}

// What became of a claimed entry. record NULL: there is none, or what is there is none.
static void settle_locked(struct record_cache *cache, struct record_entry *entry,
                          struct record *record)
{
    entry->reader = NULL;
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
}

static void settle(struct record_cache *cache, struct record_entry *entry, struct record *record)
{
    pthread_mutex_lock(&cache->lock);
    settle_locked(cache, entry, record);
    pthread_mutex_unlock(&cache->lock);
}

// ---- one by one --------------------------------------------------------------------------------

static void read_claimed(void *context, size_t index)
{
    struct record_reading *reading = context;
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
        record_drop_layers(record);
    entry->is_unbundled = record; // still this call's own
    settle(cache, entry, record);
}

static int read_side_by_side(struct record_reading *reading)
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
        entry->reader = NULL;
        if (entry->is_in_table)
            record_cache_remove_locked(cache, entry);
    }
    pthread_cond_broadcast(&cache->settled);
    pthread_mutex_unlock(&cache->lock);
    return -reading->err->errnum;
}

// Those that are settled by now need not be read any more.
static void drop_settled(struct record_reading *reading)
{
    size_t kept = 0;

    pthread_mutex_lock(&reading->cache->lock);
    for (size_t i = 0; i < reading->count; i++) {
        if (reading->claimed[i]->reader == reading)
            reading->claimed[kept++] = reading->claimed[i];
    }
    pthread_mutex_unlock(&reading->cache->lock);
    reading->count = kept;
}

// ---- from bundles ------------------------------------------------------------------------------

// Whatever else a bundle holds is not what was asked for.
static void take_bundled(void *context, struct record *record)
{
    struct record_reading *reading = context;
    struct record_cache *cache = reading->cache;

    pthread_mutex_lock(&cache->lock);
    struct record_entry *entry = record_cache_find_locked(cache, record->key, record->etag);
    if (entry && entry->reader == reading) {
        record_drop_layers(record);
        settle_locked(cache, entry, TAKE(record));
    }
    pthread_mutex_unlock(&cache->lock);
    record_free(record);
}

// A record that was missing a moment ago is in no bundle now either, unless it is there itself.
static void read_bundled(struct record_reading *reading)
{
    bool is_wanted[BUNDLE_COUNT_MAX] = {false};
    size_t unknown = 0;

    for (size_t i = 0; i < reading->count; i++) {
        const struct record_entry *entry = reading->claimed[i];
        if (entry->missing_for_ms > 0)
            continue;
        is_wanted[bundle_index(entry->key, reading->bundle_count)] = true;
        unknown++;
    }
    if (unknown < BUNDLED_MIN)
        return;
    record_bundles_read(reading->cache->bundles, reading->call, reading->directory,
                        reading->bundle_count, is_wanted, take_bundled, reading);
    drop_settled(reading);
}

// ---- which there are ---------------------------------------------------------------------------

// A claimed entry, and under which name its record would be listed.
struct candidate {
    struct record_entry *entry;
    char *object_key;
    const char *name; // the end of the object key, cut; NULL where it would not be listed
    bool is_recorded; // there is a record of that name, of this or another version
};

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;

    if (!left->name || !right->name)
        return !left->name - !right->name;
    return strcmp(left->name, right->name);
}

static struct candidate candidate_of(const struct record_reading *reading, const char *list_prefix,
                                     struct record_entry *entry)
{
    struct candidate candidate = {.entry = entry, .is_recorded = true};
    size_t prefix_size = strlen(list_prefix);

    candidate.object_key = record_object_key(reading->cache->prefix, entry->key, entry->etag);
    // The record of a key that is too long stands elsewhere.
    if (!candidate.object_key || strncmp(candidate.object_key, list_prefix, prefix_size) != 0)
        return candidate;
    char *name = candidate.object_key + prefix_size;
    name[strcspn(name, "/")] = '\0';
    candidate.name = name;
    candidate.is_recorded = false;
    return candidate;
}

// Whoever stands on the page has a record.
static void mark_recorded(struct candidate *candidates, size_t count, const char *list_prefix,
                          const struct s3_page *page)
{
    size_t prefix_size = strlen(list_prefix);

    for (size_t i = 0; i < page->prefix_count; i++) {
        if (strncmp(page->prefixes[i], list_prefix, prefix_size) != 0)
            continue;
        auto_free char *name = strdup(page->prefixes[i] + prefix_size);
        if (!name)
            continue; // read when it is asked for again
        name[strcspn(name, "/")] = '\0';
        const struct candidate wanted = {.name = name};
        struct candidate *found =
            bsearch(&wanted, candidates, count, sizeof(*candidates), compare_candidates);
        if (found)
            found->is_recorded = true;
    }
}

static int list_recorded(const struct record_reading *reading, const char *list_prefix,
                         struct candidate *candidates)
{
    auto_free char *token = NULL;
    struct err err = {0};

    do {
        struct s3_page page = {0};
        int error = s3_list_page(reading->cache->client, reading->call, list_prefix, "/", NULL,
                                 token, S3_LIST_PAGE_KEYS, &page, &err);
        if (error < 0)
            return error;
        mark_recorded(candidates, reading->count, list_prefix, &page);
        free(token);
        token = TAKE(page.next_token);
        s3_page_done(&page);
    } while (token);
    return 0;
}

// An answer that cannot be had settles nothing: each is then asked for.
static void leave_out_unrecorded(struct record_reading *reading)
{
    auto_free char *list_prefix = record_list_prefix(reading->cache->prefix, reading->directory);
    auto_free struct candidate *candidates = calloc(reading->count, sizeof(*candidates));

    if (!list_prefix || !candidates)
        return;
    for (size_t i = 0; i < reading->count; i++)
        candidates[i] = candidate_of(reading, list_prefix, reading->claimed[i]);
    qsort(candidates, reading->count, sizeof(*candidates), compare_candidates);
    bool is_listed = list_recorded(reading, list_prefix, candidates) == 0;
    for (size_t i = 0; i < reading->count; i++) {
        if (is_listed && !candidates[i].is_recorded)
            settle(reading->cache, candidates[i].entry, NULL);
        free(candidates[i].object_key);
    }
    drop_settled(reading);
}

int record_cache_read(struct record_reading *reading)
{
    if (reading->directory) {
        read_bundled(reading);
        if (reading->count >= LISTED_MIN)
            leave_out_unrecorded(reading);
    }
    return reading->count > 0 ? read_side_by_side(reading) : 0;
}
