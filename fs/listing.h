// listing.h - puts a tree_listing together: from the store's keys to names that a path can hold.
//
// Pure. One builder makes one listing: entries are added in any order, then it is finished. The
// first failure (no memory) is kept and answered by listing_finish.
#pragma once

#include "s3.h"
#include "tree.h"

#include <stdbool.h>

struct listing_builder;

// A copy of `directory` is kept. hidden: a name that is left out without being counted, or NULL.
// NULL on no memory.
struct listing_builder *listing_begin(const char *directory, const char *list_prefix,
                                      const char *hidden);
void listing_abandon(struct listing_builder *builder); // accepts NULL

// What the page holds below list_prefix. Names that are no component are left out and counted; a
// key that is list_prefix itself (a directory marker) is not an entry. Objects of symbolic links
// become entries under the links' names (symlink.h).
void listing_add_page(struct listing_builder *builder, const struct s3_page *page);
void listing_add_directory(struct listing_builder *builder, const char *name, size_t size);
// Whether anything, nameable or not, was added from a page.
bool listing_is_in_store(const struct listing_builder *builder);

// Sorted; of one name a directory wins over a file, and a file over a symbolic link (which so hides
// nothing that was published); what loses is counted as left out. The builder is
// gone in either case. NULL on no memory.
struct tree_listing *listing_finish(struct listing_builder *builder);

// Whether two listings of one directory show the same.
bool listing_is_same(const struct tree_listing *a, const struct tree_listing *b);
