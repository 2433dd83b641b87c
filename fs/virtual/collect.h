// collect.h - gathers what a renderer is given: the files of a listing, their records, their
// links. Blocks; everything it asks for is asked for here, so that renderers are pure.
#pragma once

#include "../publish/record_cache.h"
#include "../tree.h"
#include "base/call.h"
#include "base/err.h"
#include "below.h"
#include "newest.h"
#include "s3.h"
#include "snapshot.h"

#include <stdbool.h>

struct collect_options {
    struct tree *tree;
    struct record_cache *records;
    struct s3_client *client;
    struct s3_presigner *presigner; // NULL: no links
    const struct clock *clock;
    int expires_s;
    int min_expires_s;
    const char *contact; // or NULL
    const char *title;   // or NULL
};

// Whether an entry is a file for a customer: no directory or link, no reference file, no object
// that stands under a generated name (which hides it).
bool collect_wants(const struct tree_entry *entry);
// Whether the directory is a branch: neither the root nor under releases/, with directories that
// are named like commits. Its own files count too; of those below the newest tarballs do
// (newest.h).
bool collect_is_branch(const struct tree_listing *listing);

// A snapshot with all that it points to.
struct collection {
    struct snapshot snapshot;
    int64_t soonest_ms; // when the first of the links dies; INT64_MAX where there are none
    bool is_settling;   // a tarball that is only just there has no record yet: it may come

    struct tree_listing *listing;
    struct record_cache *records;
    struct record_wanted *wanted;
    size_t wanted_count;           // that are held
    struct snapshot_file **owners; // of the wanted
    struct snapshot_file *files;
    char **download_names;
    char **keys;
    char **urls;
    char *branch;
    struct newest_file *newest;
    size_t newest_count;
    struct below below;
};
// EACCES where a link would live shorter than min_expires_s.
int collect(const struct collect_options *options, struct call *call, struct tree_listing *listing,
            bool wants_links, struct collection *ret_collection, struct err *err);
// What an index is made of: no records, no links.
int collect_index(const struct collect_options *options, struct call *call,
                  struct tree_listing *listing, struct collection *ret_collection, struct err *err);
void collection_done(struct collection *collection); // accepts zeroed

enum { COLLECT_URL_LIMIT = 16 * 1024 }; // bytes of one link; a session token takes some 1,500

// One file's link alone, with the download name that it has beside all the others. ENOENT where
// the listing holds no such file.
int collect_link(const struct collect_options *options, struct call *call,
                 struct tree_listing *listing, const char *name, struct buf *ret_url,
                 int64_t *ret_expires_ms, struct err *err);
