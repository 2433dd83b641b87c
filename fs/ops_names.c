// Removing and renaming, and what a bucket has not.
#include "ops_private.h"

#include "base/scope.h"
#include "names.h"
#include "path.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

// Valid replies: err.
void ops_unlink(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
    const struct inode *parent = ops_inode(req, parent_id);
    struct err err = {0};
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    bool is_removed = false;
    int error = names_remove(ops_of(req)->service, &blocking.call, parent->directory, name,
                             ops_who(req).pid, &is_removed, &err);
    ops_call_end(&blocking);
    if (error < 0 || is_removed)
        ops_audit(req, is_removed ? "file removed" : "file not removed", error < 0 ? &err : NULL,
                  (struct audit){.act = "delete", .outcome = "deleted"}, parent->directory, name);
    fuse_reply_err(req, -error);
}

static void tell_switch(fuse_req_t req, const struct symlink_moved *moved, const char *directory,
                        const char *name)
{
    bool is_same = strcmp(moved->target, moved->replaced) == 0;
    ops_audit(req, is_same ? "symbolic link unchanged" : "symbolic link switched", NULL,
              (struct audit){
                  .act = "symlink",
                  .outcome = is_same ? "unchanged" : "switched",
                  .from = moved->replaced,
                  .to = moved->target,
              },
              directory, name);
}

// mv falls back to copying and removing; exchanging and whiteouts have no such fallback.
// Valid replies: err.
void ops_rename(fuse_req_t req, fuse_ino_t parent_id, const char *name, fuse_ino_t new_parent_id,
                const char *new_name, unsigned flags)
{
    struct err err = {0};
    const struct inode *parent = ops_inode(req, parent_id);
    const struct inode *new_parent = ops_inode(req, new_parent_id);
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    const struct names_move move = {
        .directory = parent->directory,
        .name = name,
        .new_directory = new_parent->directory,
        .new_name = new_name,
        .is_exclusive = flags & RENAME_NOREPLACE,
        .who = ops_who(req),
    };
    struct names_moved moved = {0};
    int error = 0;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        error = err_set(&err, EINVAL, "names cannot be exchanged");
    else if ((!virtual_find(new_name) &&
              ops_check_name(ops_of(req), new_parent->directory, new_name, &err) < 0) ||
             names_move(ops_of(req)->service, &blocking.call, &move, &moved, &err) < 0)
        error = -err.errnum;
    ops_call_end(&blocking);
    auto_free char *to = path_join(new_parent->directory, new_name);
    bool is_left_to_mv = error == -EXDEV;
    if (moved.symlink.replaced)
        tell_switch(req, &moved.symlink, new_parent->directory, new_name);
    else if (error < 0 || moved.is_moved)
        ops_audit(req,
                  is_left_to_mv ? "not renamed: mv copies"
                  : error < 0   ? "not renamed"
                                : "renamed",
                  error < 0 && !is_left_to_mv ? &err : NULL,
                  (struct audit){.act = "rename",
                                 .outcome = is_left_to_mv ? "left-to-mv" : "renamed",
                                 .to = to},
                  parent->directory, name);
    symlink_moved_done(&moved.symlink);
    fuse_reply_err(req, -error);
}

static void refuse_kind(fuse_req_t req, fuse_ino_t parent_id, const char *name, const char *kind)
{
    struct err err = {0};
    const struct inode *parent = ops_inode(req, parent_id);
    if (ops_check_name(ops_of(req), parent->directory, name, &err) == 0)
        err_set(&err, EPERM, "a bucket holds no %s", kind);
    ops_refuse(req, "not made", &err, parent->directory, name);
}

// Valid replies: entry, err.
void ops_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent_id, const char *name)
{
    (void)id;
    refuse_kind(req, parent_id, name, "hard links");
}

// Regular files come by CREATE.
// Valid replies: entry, err.
void ops_mknod(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode, dev_t device)
{
    (void)mode;
    (void)device;
    refuse_kind(req, parent_id, name, "devices, pipes or sockets");
}
