// names.h - what becomes of names: rm and mv of files and symbolic links, mv of directories.
//
// A file is removed with its record; entries of the layer index that lead to it stay: they are
// hints, looked at before they are believed, and the next publish of such a layer replaces them.
//
// Nothing is renamed in a bucket. A small file is put under its new name and removed
// (small_copy.h), and so is a symbolic link (symlink_object.h); all else mv copies, inside the
// store, and then removes, and a rename only says whether it may: mv removes what bears the new
// name *before* it copies, so that this is where nothing may be silently replaced. See
// docs/decisions/renames.md.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "service.h"
#include "symlink_object.h"

#include <stdbool.h>
#include <sys/types.h>

// EPERM without allow_delete, unless it is the process's own scratch file; ENOENT, EISDIR, EROFS. 0
// for a generated file, and nothing happens: so that rm -r of a build works. *ret_is_removed: an
// object is gone.
int names_remove(struct service *service, struct call *call, const char *directory,
                 const char *name, pid_t process, bool *ret_is_removed, struct err *err);

struct names_move {
    const char *directory;
    const char *name;
    const char *new_directory;
    const char *new_name;
    bool is_exclusive; // RENAME_NOREPLACE
    struct audit_who who;
};
struct names_moved {              // zeroed by the caller
    bool is_moved;                // the old name is gone, also in the bucket
    struct symlink_moved symlink; // of a symbolic link; symlink_moved_done
};
// EXDEV where mv shall copy and remove. 0 also where the new name bore the very same file. EPERM
// without allow_delete, but for an empty directory that was made here and a process's scratch file;
// EEXIST where something else bears the new name and is not to be replaced; ENOENT, EISDIR,
// ENOTDIR, ENOTEMPTY as rename(2). A few quick requests at most: the kernel keeps both directories
// locked meanwhile.
int names_move(struct service *service, struct call *call, const struct names_move *move,
               struct names_moved *ret_moved, struct err *err);
