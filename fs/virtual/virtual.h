// virtual.h - files made on reading: their names, and their bytes as fixed renderings.
//
// A rendering is an immutable, counted value: the bytes of one generated file at one moment. It is
// made when a file is looked up for its size or opened, once for all who ask meanwhile, and reused
// while the directory's listing stays the same, for up to a minute and no longer than its links
// allow; whoever has it open keeps its bytes. The same bytes again are the same rendering.
//
// One pure renderer a file, with a header that says what is in it: urls.h, report.h, sums.h,
// download.h, summary.h, pinned.h, index.h; status.tsv is publish/status.h's. What they are given
// is snapshot.h, gathered by collect.h.
#pragma once

#include "../publish/record_cache.h"
#include "../publish/status.h"
#include "../tree.h"
#include "base/call.h"
#include "base/err.h"
#include "s3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VIRTUAL_REUSE_MS = 60 * 1000,
    // Of a directory with more files nothing is made, so that `ls -l` there costs neither their
    // records nor the memory of their links: RECORD_CACHE_MAX records are kept, and a report of so
    // many files has 120 MB.
    VIRTUAL_FILES_MAX = RECORD_CACHE_MAX,
};

struct snapshot; // snapshot.h: what a renderer is given

// One kind of generated file. The table of all of them is in virtual.c.
struct virtual_file {
    const char *name;
    bool holds_links; // needs a presigner; mode linkmode=; every hand-out is logged
    bool is_index;    // of what is below: stands where there are directories, not files
    bool is_live;     // status.tsv: direct I/O, size unknown beforehand
    // Pure: a snapshot to bytes. NULL for the live one.
    int (*render)(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
};

const struct virtual_file *virtual_find(const char *name); // NULL: not a generated name
extern const struct virtual_file *const virtual_files[];   // NULL-terminated, sorted by name

struct virtuals; // the renderings of one mount

struct virtuals_options {
    struct tree *tree;
    struct record_cache *records;
    struct status *status;
    struct s3_client *client;
    struct s3_presigner *presigner; // NULL: links cannot be made
    const struct clock *clock;
    int expires_s;
    int min_expires_s;
    const char *contact; // or NULL
    const char *title;
};
int virtuals_new(const struct virtuals_options *options, struct virtuals **ret_virtuals,
                 struct err *err);
void virtuals_free(struct virtuals *virtuals);
void virtuals_sweep(struct virtuals *virtuals); // frees links that are not fresh any more

// Whether this generated file stands in that directory now (a listing of it is at hand): the live
// one where this mount made the directory or published into it, an index where the directory holds
// directories, the others where it holds files that would be in them (no directories, reference
// files or generated names) or is a branch (collect.h). And whether it is shown in listings (those
// that hold links are not, without a presigner).
bool virtual_exists(struct virtuals *virtuals, const struct virtual_file *file,
                    const struct tree_listing *listing);
bool virtual_is_listed(struct virtuals *virtuals, const struct virtual_file *file,
                       const struct tree_listing *listing);

struct rendering {
    const char *bytes;
    size_t size;
    int64_t rendered_ms;
    uint64_t id; // another rendering has another
};
struct rendering *rendering_ref(struct rendering *rendering);
void rendering_unref(struct rendering *rendering); // accepts NULL

// As of a listing of its directory. Not for live files (EINVAL). ENOENT where it does not stand, or
// a branch holds nothing for it yet. EACCES where there is no presigner (the sentence says which
// option is missing), or min_expires cannot be kept (it says how long links would live). EFBIG past
// VIRTUAL_FILES_MAX, or NEWEST_KEYS_MAX below a branch. Otherwise what the store or STS answered.
// May block for as long as they do; ends soon when the call is cancelled.
int virtual_render(struct virtuals *virtuals, struct call *call, const struct virtual_file *file,
                   struct tree_listing *listing, struct rendering **ret_rendering, struct err *err);
