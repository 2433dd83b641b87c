// below.h - what stands below a directory, added up by directory: for index.html.
//
// Asks for one flat listing of all keys below, a thousand a request, and at most BELOW_KEYS_MAX of
// them: what comes behind in the order of names is then not in it, and it says so. The program's
// own objects are stepped over, also when there are many more of them.
#pragma once

#include "../tree.h"
#include "base/call.h"
#include "base/err.h"
#include "s3.h"
#include "snapshot.h"

enum { BELOW_KEYS_MAX = 20 * 1000 };

struct below {
    struct snapshot_build *builds; // the newest first
    size_t build_count;
    struct snapshot_child *children; // likewise; those that mkdir has made too
    size_t child_count;
    bool is_cut;
};
// prefix as in tree.h. The listing, the directory's, must live as long as what is made of it.
int below_collect(struct s3_client *client, struct call *call, const char *prefix,
                  const struct tree_listing *listing, struct below *ret_below, struct err *err);
void below_done(struct below *below); // accepts zeroed
