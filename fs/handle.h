// handle.h - what processes have open: the objects behind FUSE's file handles.
//
// A handle is counted, because a request may still be finishing when the kernel releases it; its
// last reference closes what it holds. All of a mount's handles are known, so that those which
// the kernel never released (an unmount by force) are closed too. Thread-safe.
#pragma once

#include "audit.h"
#include "base/buf.h"
#include "base/err.h"
#include "inode.h"
#include "reader.h"
#include "tree.h"
#include "virtual/virtual.h"
#include "writer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum handle_kind {
    HANDLE_DIRECTORY, // one listing for its whole life
    HANDLE_OBJECT,
    HANDLE_RENDERING,
    HANDLE_LIVE,
    HANDLE_WRITER,
};

struct handle {
    enum handle_kind kind;
    struct inode *inode; // a reference

    // DIRECTORY: entry 0 is ".", 1 is "..", then the generated files, then the listing's. The
    // generated ones come first, so that `rm -r` meets them while they stand.
    struct tree_listing *listing;
    const struct virtual_file **files; // those that are shown
    size_t file_count;

    struct reader *reader;       // OBJECT
    struct rendering *rendering; // RENDERING
    _Atomic pid_t
        reader_process; // RENDERING, LIVE: who opened it, until it closed it; 0: none known
    struct buf live;    // LIVE: the bytes as they were when it was opened

    struct { // WRITER; guarded by its own lock
        pthread_mutex_t lock;
        // NULL until the first write: a file that is only touched costs nothing.
        struct writer *writer;
        bool is_fresh;                   // created, or truncated: what stood there is not kept
        bool is_exclusive, is_read_too;  // opened with O_EXCL, O_RDWR
        struct audit_who who;            // opened it
        pid_t process;                   // 0: cannot be told
        _Atomic int64_t closed_empty_ms; // without the lock: when it was closed before any write
    } writing;

    struct { // guarded by the lock of all handles
        struct handle *next;
        struct handle **at; // what points here
        unsigned references;
    } in_table;
};

struct handles;
int handles_new(struct inodes *inodes, struct handles **ret_handles, struct err *err);
// Closes what is still open; no request may be under way. Accepts NULL.
void handles_free(struct handles *handles);
// That process has the generated file of that name open, of another directory than `elsewhere`.
bool handles_has_generated(struct handles *handles, const char *elsewhere, const char *name,
                           pid_t process);
bool handles_has_writers(struct handles *handles); // a file is open for writing
// One of that name (NULL: any of the directory) was closed after that moment, and nothing has been
// written to it.
bool handles_has_closed_empty(struct handles *handles, const char *directory, const char *name,
                              int64_t since_ms);

// With one reference, the kernel's. NULL on no memory.
struct handle *handle_new(struct handles *handles, enum handle_kind kind, struct inode *inode);
struct handle *handle_ref(struct handles *handles, struct handle *handle);
void handle_unref(struct handles *handles, struct handle *handle); // accepts NULL
