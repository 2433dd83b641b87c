// inode.h - what the kernel knows by number: the table of inodes.
//
// An inode is an immutable version: a directory, one version of an object (key and ETag) or of a
// symbolic link, one rendering of a generated file. When a name shows something new, LOOKUP hands
// out another inode; so bytes that the kernel has cached for an inode are right for ever, and
// nothing is ever invalidated. While the kernel holds one, the same thing is found again under the
// same number (a process's working directory stays what it is). Two kinds are different: a live
// file (status.tsv), which is rendered anew by every open, and a writer's inode, which belongs to
// one open for writing and is found by no name: a write that waits holds the inode's lock, and
// O_TRUNC makes the kernel forget its size, which nobody else shall meet.
//
// The kernel's hold is counted in lookups; each function that hands out an inode counts one, for
// the entry that is about to be replied (inode_forget takes it back if the reply did not get
// through). Handles that need an inode hold a reference. Thread-safe.
#pragma once

#include "base/err.h"
#include "tree.h"
#include "virtual/virtual.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum inode_kind {
    INODE_DIRECTORY,
    INODE_OBJECT,
    INODE_SYMLINK,
    INODE_RENDERING,
    INODE_LIVE,
    INODE_WRITER,
};

struct inode {
    enum inode_kind kind;
    char *directory; // the directory it stands in; of a directory: its own path
    char *name;      // of a file or link; "" for directories
    uint64_t number; // st_ino: the same for the same version on every mount, but for writers

    uint64_t size_bytes;             // OBJECT, SYMLINK
    int64_t modified_ms;             // OBJECT, SYMLINK
    char *etag;                      // OBJECT, SYMLINK, with quotes
    _Atomic(char *) target;          // SYMLINK; NULL: not read yet
    atomic_bool has_told_refused;    // SYMLINK: the log knows that it is not followed
    const struct virtual_file *file; // RENDERING, LIVE
    struct rendering *rendering;     // RENDERING; NULL where it could not be made, and then
    struct err *failure;             // why: what open answers

    // Set by whoever has it open for writing.
    atomic_bool is_written;             // WRITER, and an OBJECT of inode_to_write
    atomic_uint_least64_t written_size; // then st_size
    atomic_bool is_touched; // its times were set, or its last holder closes it: complete

    // OBJECT: the kernel may go on leading its name here, for list_ttl (a listing gave it the
    // entry).
    atomic_bool is_entry_kept;

    _Atomic pid_t maker; // DIRECTORY: the process that made it here; 0: none, or cannot be told
    // DIRECTORY: what the log has been told about it.
    atomic_bool has_told_left_out; // keys that a path cannot name
    atomic_bool has_told_shadowed; // an object under a generated file's name

    struct { // guarded by the table's lock
        struct inode *next;
        char *key; // NULL: found by no name
        uint64_t lookups;
        uint64_t references;
    } in_table;
};

struct inodes;
int inodes_new(struct inodes **ret_inodes, struct err *err);
void inodes_free(struct inodes *inodes); // and every inode, whatever the kernel still holds

// The kernel's number and back. The root's is 1 (FUSE_ROOT_ID).
uint64_t inode_id(struct inodes *inodes, const struct inode *inode);
struct inode *inode_of_id(struct inodes *inodes, uint64_t id);

// Each hands out one lookup. NULL on no memory.
struct inode *inode_of_directory(struct inodes *inodes, const char *directory);
// A directory, object or symbolic link, as its directory lists it.
struct inode *inode_of_entry(struct inodes *inodes, const char *directory,
                             const struct tree_entry *entry);
struct inode *inode_of_rendering(struct inodes *inodes, const char *directory,
                                 const struct virtual_file *file, struct rendering *rendering);
// A generated file that could not be rendered: shown with size 0.
struct inode *inode_of_failure(struct inodes *inodes, const char *directory,
                               const struct virtual_file *file, const struct err *failure);
struct inode *inode_of_live(struct inodes *inodes, const char *directory,
                            const struct virtual_file *file);
struct inode *inode_of_writer(struct inodes *inodes, const char *directory, const char *name);

// Keeps a symbolic link's target, which is that of this very version. Out of memory, it is read
// again.
void inode_set_target(struct inode *inode, const char *target);

// For one open for writing of what the inode shows: of the same version, found by no name.
struct inode *inode_to_write(struct inodes *inodes, const struct inode *inode);
// Hands it out once more; whoever asks has a reference.
struct inode *inode_look_up(struct inodes *inodes, struct inode *inode);
void inode_forget(struct inodes *inodes, struct inode *inode, uint64_t lookups);
struct inode *inode_ref(struct inodes *inodes, struct inode *inode);
void inode_unref(struct inodes *inodes, struct inode *inode); // accepts NULL

// Whether the inode, an object's, is the very version that the entry of its directory shows.
bool inode_shows(const struct inode *inode, const struct tree_entry *entry);

// st_ino of a directory entry that is listed without being looked up.
uint64_t inode_number_of_entry(const char *directory, const struct tree_entry *entry);
uint64_t inode_number_of_file(const char *directory, const struct virtual_file *file);

// How the mount shows things.
struct inode_style {
    uid_t uid;
    gid_t gid;
    mode_t file_mode;
    mode_t directory_mode;
    mode_t link_mode;   // of generated files that hold links
    int64_t mounted_ms; // directories have no time of their own
    int64_t now_ms;     // of what is written or live
};
// Pure but for written_size. st_blocks covers the size: cp takes files for sparse otherwise.
void inode_stat(const struct inode *inode, const struct inode_style *style, struct stat *ret_stat);
// Whether the kernel may keep those attributes as long as it likes.
bool inode_is_immutable(const struct inode *inode);
