// layer_index.h - where in the bucket a layer stands already.
//
// An entry at PREFIX.prereleasefs/layers/HEX.json names one published tarball, (key, ETag), that
// holds the layer; that tarball's record says where. Entries are hints, overwritten by whoever
// published last; nothing is taken from one alone. What is copied must be vouched for by
//   - the record of exactly that version (key and ETag), of the same format,
//   - the object itself: its ETag and length are the record's before the copy, and after it
//     (sources_check; some stores ignore a copy's own condition), and it is not archived,
//   - the tar headers in the copied range, which are compared with the expected ones (pump.h).
// This guards against accidents. Whoever may write to the bucket counts as a publisher.
//
// Only plain tars are indexed: in a .tar.gz no midstate can be saved.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "plan.h"
#include "record.h"
#include "registry.h"
#include "s3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Layers smaller than this are not looked for by themselves (but found beside larger ones), and
// files that are smaller have nothing worth copying: a copied part has S3_PART_SIZE_MIN at least.
#define LAYER_INDEX_SIZE_MIN S3_PART_SIZE_MIN

struct layer_index { // all the caller's
    struct s3_client *client;
    const char *prefix;
};

// One object that layers can be copied from.
struct layer_source {
    char *key;
    char *etag;
    uint64_t size_bytes;
};

// What of one archive stands in the bucket.
struct layer_runs {
    struct plan_run *runs; // for plan_new; they point into `sources`
    size_t run_count;
    struct layer_source *sources;
    size_t source_count;
    // The file's first bytes whose hash is known without reading them; 0: none.
    uint64_t known_size;
    struct sha256_midstate known; // that hash
    // By archive blob: the hash where its tar header begins; size_bytes 0 where it is not known.
    struct sha256_midstate *midstates;
};

// Hints that lead nowhere are passed over. An error only where the store cannot be asked.
int layer_index_find(const struct layer_index *index, struct call *call,
                     const struct archive *archive, struct layer_runs *ret_runs, struct err *err);
void layer_runs_done(struct layer_runs *runs); // accepts zeroed

// ESTALE where a source is not what it was when it was found.
int layer_runs_check(const struct layer_index *index, struct call *call,
                     const struct layer_runs *runs, struct err *err);

// Entries for the layers of a tarball that has just been published.
int layer_index_store(const struct layer_index *index, struct call *call,
                      const struct record *record, struct err *err);
