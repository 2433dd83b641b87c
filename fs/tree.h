// tree.h - the bucket as directories: listings, cut at '/', remembered for list_ttl.
//
// A listing is an immutable, counted snapshot; it is the only source of attributes (no HEAD per
// entry). Directories made here (mkdir) and `releases` are part of it; the program's own objects
// are not. A directory made here that the store has since been seen to hold something of lives
// and ends with the store's keys. Thread-safe; a listing that several threads want is asked for
// once. Errors are s3.h's.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "s3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

struct tree_options {
    struct s3_client *client;
    const struct clock *clock;
    const char *prefix; // "" or ending in '/'
    int64_t list_ttl_ms;
};
int tree_new(const struct tree_options *options, struct tree **ret_tree, struct err *err);
void tree_free(struct tree *tree);

struct tree_entry {
    const char *name;
    bool is_directory;
    bool is_symlink;     // name is the link's, not its object's (symlink.h)
    uint64_t size_bytes; // 0 for directories
    int64_t modified_ms; // of a directory: 0
    const char *etag;    // NULL for directories; with quotes
    const char *storage_class;
};

struct tree_listing {
    const char *directory;
    struct tree_entry *entries; // sorted by name, bytewise
    size_t count;
    size_t file_count;
    size_t symlink_count;
    size_t left_out_count; // keys that a path cannot name
    uint64_t version;      // grows whenever a listing differs from the one before it
    uint64_t changes; // grows by a good deal whenever this mount changes something here or below
};
struct tree_listing *tree_listing_ref(struct tree_listing *listing);
void tree_listing_unref(struct tree_listing *listing); // accepts NULL
const struct tree_entry *tree_listing_find(const struct tree_listing *listing, const char *name);

// A listing not older than list_ttl. ENOENT where there is no such directory (nothing below it,
// and neither made here, nor the root, nor `releases`).
int tree_list(struct tree *tree, struct call *call, const char *directory,
              struct tree_listing **ret_listing, struct err *err);

// One name: *ret_listing keeps *ret_entry alive. ENOENT.
int tree_lookup(struct tree *tree, struct call *call, const char *directory, const char *name,
                struct tree_listing **ret_listing, const struct tree_entry **ret_entry,
                struct err *err);

// Another number each time that this mount changes something in the directory or below it.
uint64_t tree_changes(struct tree *tree, const char *directory);

// Whether this mount made the directory (and it has not been removed).
bool tree_is_made_here(struct tree *tree, const char *directory);
// The same of it or any directory below it.
bool tree_has_made_below(struct tree *tree, const char *directory);
// EEXIST, ENOENT (no parent), EPERM (the program's own directory), ENAMETOOLONG (no key would fit).
int tree_make_directory(struct tree *tree, struct call *call, const char *directory,
                        struct err *err);
// Only what was made here, or emptied here (tree_keep), can be removed: ENOTEMPTY, ENOENT, EBUSY
// for the root; EPERM for `releases` and for a directory that an object of the store stands for.
int tree_remove_directory(struct tree *tree, struct call *call, const char *directory,
                          struct err *err);
// What is remembered of this directory and its parents is no longer true: this mount has just
// published or deleted there. The next look asks the store.
void tree_forget(struct tree *tree, const char *directory);
// The same, after this mount has deleted a file there: the directory stays even if that was its
// last one, until it is removed, as directories do elsewhere (`rm -r` removes it in the end).
int tree_keep(struct tree *tree, const char *directory, struct err *err);
// Frees listings that nobody has asked for lately; to be called now and then.
void tree_sweep(struct tree *tree);
// malloc'ed key of a file; and the prefix.
char *tree_key(const struct tree *tree, const char *directory, const char *name);
const char *tree_prefix(const struct tree *tree);
int64_t tree_list_ttl_ms(const struct tree *tree);
