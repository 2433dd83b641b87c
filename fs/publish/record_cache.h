// record_cache.h - records by (key, ETag), each read at most once: they never change. A whole
// directory's are read from its bundles.
//
// Records from here come without their layers (layer_count 0): pages do not need them, and
// RECORD_CACHE_MAX records with layers would not fit into memory; record_load has them.
// Bounded by count; the oldest go first. That a record is missing is remembered for a moment at
// first (another host may be about to store it), then for longer, up to a minute.
// Thread-safe; calls that want the same unknown record read it once.
#pragma once

#include "record.h"

enum {
    RECORD_CACHE_MAX = 20000,
    RECORD_CACHE_READERS = 16,         // threads of one call, the calling one included
    RECORD_MISSING_MIN_MS = 2 * 1000,  // how long a missing record is not looked for again ...
    RECORD_MISSING_MAX_MS = 60 * 1000, // ... doubled each time, up to this
};

struct record_cache;

struct record_cache_options {
    struct s3_client *client;
    const struct clock *clock;
    const char *prefix;
    bool may_write; // bundles; false for a read-only mount
};
int record_cache_new(const struct record_cache_options *options, struct record_cache **ret_cache,
                     struct err *err);
void record_cache_free(struct record_cache *cache); // nothing may be held or asked for any more

struct record_wanted {
    const char *key;
    const char *etag;
    const struct record *record; // filled in: NULL where there is none; valid until _release
    struct record_entry *entry;  // the cache's own
};
// Fills in all of them; those not yet known are read side by side. A record that is missing or is
// no record is NULL, not an error (the latter is logged); a store that cannot be asked is an
// error, and then nothing is held.
int record_cache_get(struct record_cache *cache, struct call *call, struct record_wanted *wanted,
                     size_t count, struct err *err);
// The same, of all tarballs of a directory: what is not yet known is read from its bundles first
// (record_bundles.h), and those that lack records are made anew. Where many are unknown still, the
// store is asked which there are at all.
int record_cache_get_all(struct record_cache *cache, struct call *call, const char *directory,
                         struct record_wanted *wanted, size_t count, struct err *err);
void record_cache_release(struct record_cache *cache, struct record_wanted *wanted, size_t count);
// A record that has just been stored; takes ownership.
void record_cache_put(struct record_cache *cache, struct record *record);
