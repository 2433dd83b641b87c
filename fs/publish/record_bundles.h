// record_bundles.h - the bundles (record_bundle.h) of one mount: reading those of a directory, and
// making them where they lack records.
//
// Whoever finds one lacking has read the records themselves and makes it anew, in the background
// and at leisure: whole, unconditionally, the last one wins. All that a race or a lost request
// costs is that the next reader finds it lacking again. Without the permission to write it is not
// tried twice. Thread-safe.
#pragma once

#include "record_bundle.h"

#include "base/call.h"
#include "base/clock.h"

enum {
    BUNDLES_PENDING_BYTES = 32 * 1024 * 1024, // of text on its way; what is more is not written
    BUNDLES_LACKING_SHARE = 256, // one is made anew when more than 1/256 of its records lack
};

struct record_bundles;

// may_write: false for a read-only mount. Starts a thread where it is true.
int record_bundles_new(struct s3_client *client, const struct clock *clock, const char *prefix,
                       bool may_write, struct record_bundles **ret_bundles, struct err *err);
void record_bundles_free(struct record_bundles *bundles); // what is not written yet is dropped

// Reads those of a directory's `count` bundles that are wanted, side by side, and hands over each
// of their records, from several threads at once. What cannot be read says nothing.
void record_bundles_read(struct record_bundles *bundles, struct call *call, const char *directory,
                         size_t count, const bool *is_wanted,
                         void (*on_record)(void *context, struct record *record), void *context);

// One tarball of a directory.
struct bundled {
    const struct record *record; // NULL: none
    bool was_lacking;            // it had to be read by itself
};
// Makes those bundles of the directory anew that lack much. `all`: each of its tarballs that has
// a record.
void record_bundles_keep(struct record_bundles *bundles, const char *directory, size_t count,
                         const struct bundled *all, size_t all_count);
