// record_cache_private.h - what the two files of the record cache share: record_cache.c (the table,
// and asking) and record_cache_read.c (reading what a call has claimed).
#pragma once

#include "record_bundles.h"
#include "record_cache.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RECORD_CACHE_BUCKETS = 1 << 14 };

struct record_reading;

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
    const struct record_reading *reader; // READING: who has claimed it
    struct record *record;               // KNOWN: never changes again
    bool is_unbundled;                   // KNOWN: it had to be read by itself
    int64_t missing_for_ms;              // MISSING: 0 before it was looked for
    int64_t asked_again_ms;              // MISSING; on the monotonic clock
};

struct record_cache {
    struct s3_client *client;
    const struct clock *clock;
    char *prefix;
    struct record_bundles *bundles;

    // No I/O with it held.
    pthread_mutex_t lock;
    pthread_cond_t settled; // an entry has left ENTRY_READING
    struct record_entry *buckets[RECORD_CACHE_BUCKETS];
    struct record_entry *oldest;
    struct record_entry *newest;
    size_t count; // in the table
};

struct record_entry *record_cache_find_locked(struct record_cache *cache, const char *key,
                                              const char *etag);
void record_cache_remove_locked(struct record_cache *cache, struct record_entry *entry);
void record_drop_layers(struct record *record);

// What one call reads, by several threads.
struct record_reading {
    struct record_cache *cache;
    struct call *call;
    const char *directory; // NULL: not all of a directory's, bundles are not looked at
    size_t bundle_count;
    struct record_entry **claimed; // all in ENTRY_READING, and read by nobody else
    size_t count;
    atomic_bool has_failed; // whoever sets it writes err
    struct err *err;
};
// 0, or the first error; every claimed entry is settled afterwards.
int record_cache_read(struct record_reading *reading);
