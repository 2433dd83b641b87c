// layer_index.h - where in the bucket a layer stands already.
//
// An entry at PREFIX.prereleasefs/layers/HEX.FORMAT.json names one published tarball, (key, ETag),
// that holds the layer; that tarball's record says where. Entries are hints, overwritten by
// whoever published last; nothing is taken from one alone. What is copied must be vouched for by
//   - the record of exactly that version (key and ETag), of the same format, of a tarball of this
//     mount (below its prefix, not in .prereleasefs/),
//   - the object itself: its ETag and length are the record's before the copy, and after it
//     (layer_runs_check; some stores ignore a copy's own condition), and it is not archived,
//   - the tar headers in the copied range, which are compared with the expected ones (pump.h).
// This guards against accidents. Whoever may write to the bucket counts as a publisher: see
// docs/decisions/layer-copies.md.
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

// Smaller layers are not looked for by themselves, but found beside others. A run of smaller ones
// alone that is long enough to be copied would take more layers than engines allow (127).
#define LAYER_INDEX_SIZE_MIN (UINT64_C(64) << 10)
_Static_assert(2 * S3_PART_SIZE_MIN / 127 >= LAYER_INDEX_SIZE_MIN, "no long run stays unseen");

struct layer_index { // all the caller's
    struct s3_client *client;
    const char *prefix;
};

// What of one archive stands in the bucket.
struct layer_runs {
    struct plan_run *runs; // for plan_new; they point into `sources`
    size_t run_count;
    struct record **sources; // the objects that layers can be copied from
    size_t source_count;
    // Of the file, where archive blob i's tar header begins, and last, where the layers end; all 0
    // where that is not known. They hold as far as the file begins as the sources do.
    struct record_midstate *midstates;
};

// Hints that lead nowhere are passed over, with a line in the log where they should not. Fails
// only with EINTR and ENOMEM.
int layer_index_find(const struct layer_index *index, struct call *call,
                     const struct archive *archive, struct layer_runs *ret_runs, struct err *err);
void layer_runs_done(struct layer_runs *runs); // accepts zeroed

// ESTALE where a source that the plan copies from is not what it was when it was found.
int layer_runs_check(const struct layer_index *index, struct call *call,
                     const struct layer_runs *runs, const struct plan *plan, struct err *err);

// Entries for the layers of a tarball that has just been published.
int layer_index_store(const struct layer_index *index, struct call *call,
                      const struct record *record, struct err *err);
