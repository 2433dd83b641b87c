// directory.h - one directory of a mount: opened without following any link, and what it holds.
//
// One owner, no locking.
#pragma once

#include "base/err.h"
#include "base/scope.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

struct prune_entry {
    char *name;
    unsigned char type; // DT_DIR, DT_LNK; anything else is a file
};

struct prune_directory {
    struct prune_entry *entries;
    size_t count;
    size_t directory_count; // among them, as are ...
    size_t file_count;      // ... these; links are neither
};

// A descriptor of the directory `path` below root_fd, to be closed; "" is the root itself. ENOTDIR
// or ELOOP where a component is no directory, but a link for instance; EXDEV where something else
// is mounted there.
int prune_directory_open(int root_fd, const char *path, struct err *err);
// Without generated files (virtual/virtual.h), unless it is asked for them: looking at one would
// mint links.
int prune_directory_read(int fd, bool wants_generated, struct prune_directory *ret_directory,
                         struct err *err);
void prune_directory_done(struct prune_directory *directory); // accepts NULL and zeroed
#define auto_directory AUTO(prune_directory_done)
