// Symbolic links: what a channel is made of.
#include "ops_private.h"

#include "base/scope.h"
#include "publish/record.h"
#include "symlink.h"
#include "symlink_object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- reading -----------------------------------------------------------------------------------

// Where the link has been switched since the inode was handed out it is the new target: the old one
// was asked for, and either is right.
static int read_target(fuse_req_t req, struct inode *inode, struct buf *ret_target, struct err *err)
{
    const struct symlink_place link = {inode->directory, inode->name};
    char etag[S3_ETAG_SIZE];
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error =
        symlink_read(&ops_of(req)->service->place, &blocking.call, &link, ret_target, etag, err);
    ops_call_end(&blocking);
    if (error == 0 && record_etag_equal(etag, inode->etag))
        inode_set_target(inode, buf_text(ret_target));
    return error;
}

// Valid replies: readlink, err.
void ops_readlink(fuse_req_t req, fuse_ino_t id)
{
    struct inode *inode = ops_inode(req, id);
    const char *known = atomic_load(&inode->target);
    auto_buf struct buf target = {0};
    struct err err = {0};
    if (known) {
        fuse_reply_readlink(req, known);
        return;
    }
    if (read_target(req, inode, &target, &err) == 0) {
        fuse_reply_readlink(req, buf_text(&target));
        return;
    }
    if (err.errnum == EXDEV && !atomic_exchange(&inode->has_told_refused, true)) {
        log_err(LOG_LEVEL_WARN, "symbolic link not followed", &err, NULL);
        fuse_reply_err(req, err.errnum);
        return;
    }
    ops_refuse(req, "symbolic link not read", &err, inode->directory, inode->name);
}

// ---- making ------------------------------------------------------------------------------------

static int make(fuse_req_t req, const struct symlink_place *link, const char *target,
                struct inode **ret_inode, struct err *err)
{
    struct ops *ops = ops_of(req);
    char etag[S3_ETAG_SIZE];
    if (ops_check_name(ops, link->directory, link->name, err) < 0)
        return -err->errnum;
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error =
        symlink_make(&ops->service->place, &blocking.call, link, target, ops_who(req), etag, err);
    ops_call_end(&blocking);
    if (error < 0)
        return error;
    const struct tree_entry entry = {
        .name = link->name,
        .is_symlink = true,
        .size_bytes = strlen(target),
        .modified_ms = clock_now_ms(ops->service->clock),
        .etag = etag,
    };
    struct inode *inode = inode_of_entry(ops->inodes, link->directory, &entry);
    if (!inode)
        return err_no_memory(err);
    inode_set_target(inode, target);
    *ret_inode = inode;
    return 0;
}

// Valid replies: entry, err.
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent_id, const char *name)
{
    struct ops *ops = ops_of(req);
    const struct symlink_place link = {ops_inode(req, parent_id)->directory, name};
    struct inode *inode = NULL;
    struct err err = {0};
    int error = make(req, &link, target, &inode, &err);
    ops_audit(
        req, error < 0 ? "symbolic link not made" : "symbolic link made", error < 0 ? &err : NULL,
        (struct audit){.act = "symlink", .outcome = "made", .to = target}, link.directory, name);
    if (error < 0) {
        // ln has words for an errno alone.
        if (error == -EXDEV)
            status_refused(ops->service->status, link.directory, name, "-", err.text);
        fuse_reply_err(req, -error);
        return;
    }
    struct fuse_entry_param entry = ops_entry(ops, inode);
    if (fuse_reply_entry(req, &entry) < 0)
        inode_forget(ops->inodes, inode, 1);
}
