#include "ops_private.h"

#include "base/scope.h"
#include "virtual/attributes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { XATTRS_LIMIT = 64 * 1024, GROUPS_MAX = 1024 }; // XATTR_SIZE_MAX, XATTR_LIST_MAX

// ---- who may read links ------------------------------------------------------------------------

static bool is_in_group(fuse_req_t req, gid_t gid)
{
    if (fuse_req_ctx(req)->gid == gid)
        return true;
    gid_t groups[GROUPS_MAX];
    int count = fuse_req_getgroups(req, GROUPS_MAX, groups);
    for (int i = 0; i < count && i < GROUPS_MAX; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

// The kernel checks the tarball's own mode; what holds links has linkmode=.
static bool may_read_links(fuse_req_t req)
{
    const struct inode_style *style = &ops_of(req)->style;
    uid_t uid = fuse_req_ctx(req)->uid;
    if (uid == 0)
        return true;
    if (uid == style->uid)
        return style->link_mode & S_IRUSR;
    return style->link_mode & (is_in_group(req, style->gid) ? S_IRGRP : S_IROTH);
}

// ---- reading -----------------------------------------------------------------------------------

static struct attributes_of attributes_of(const struct inode *inode)
{
    return (struct attributes_of){
        .directory = inode->directory,
        .name = inode->name,
        .etag = inode->etag,
        .size_bytes = inode->size_bytes,
    };
}

// size 0 asks how large the answer would be.
static void reply(fuse_req_t req, const struct buf *text, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, text->size);
    else if (size < text->size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, buf_text(text), text->size);
}

// For programs that remove much, and would rather not begin.
static void reply_allow_delete(fuse_req_t req, size_t size)
{
    const struct options *options = ops_of(req)->service->options;
    auto_buf struct buf value = BUF_INIT(XATTRS_LIMIT);
    if (buf_append_text(&value, options->may_delete && !options->is_read_only ? "yes" : "no") < 0)
        fuse_reply_err(req, ENOMEM);
    else
        reply(req, &value, size);
}

static int get(fuse_req_t req, const struct inode *inode, const char *name, struct buf *ret_value,
               struct err *err)
{
    if (attribute_is_guarded(name) && !may_read_links(req))
        return err_set(err, EACCES, "linkmode= does not let this user read links");
    const struct attributes_of object = attributes_of(inode);
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error = attributes_get(ops_of(req)->service->virtuals, &blocking.call, &object, name,
                               ret_value, err);
    ops_call_end(&blocking);
    return error;
}

// Valid replies: buf, data, xattr, err.
void ops_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
    const struct inode *inode = ops_inode(req, id);
    // `ls -l` asks for ACLs and contexts, and the kernel for capabilities, all the time; with this
    // answer `ls` asks once.
    if (strncmp(name, "user.", strlen("user.")) != 0) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    if (inode->kind == INODE_DIRECTORY && strcmp(name, ATTRIBUTE_ALLOW_DELETE) == 0) {
        reply_allow_delete(req, size);
        return;
    }
    if (inode->kind != INODE_OBJECT || !attribute_is_ours(name)) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    if (ops_is_entry_old(req, inode)) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    auto_buf struct buf value = BUF_INIT(XATTRS_LIMIT);
    struct err err = {0};
    int error = get(req, inode, name, &value, &err);
    if (error == -ENODATA) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    bool is_link = attribute_is_link(name);
    if (is_link && (error < 0 || size >= value.size))
        ops_tell_hand_out(req, inode, error < 0 ? &err : NULL);
    if (error == 0)
        reply(req, &value, size);
    else if (is_link)
        fuse_reply_err(req, err.errnum);
    else
        ops_refuse(req, "attribute not read", &err, inode->directory, inode->name);
}

// Valid replies: buf, data, xattr, err.
void ops_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
    const struct inode *inode = ops_inode(req, id);
    if (ops_is_entry_old(req, inode)) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    auto_buf struct buf names = BUF_INIT(XATTRS_LIMIT);
    struct err err = {0};
    int error = 0;
    if (inode->kind == INODE_OBJECT) {
        const struct attributes_of object = attributes_of(inode);
        struct ops_call blocking;
        ops_call_begin(&blocking, req);
        error =
            attributes_list(ops_of(req)->service->virtuals, &blocking.call, &object, &names, &err);
        ops_call_end(&blocking);
    }
    if (error < 0)
        ops_refuse(req, "attributes not read", &err, inode->directory, inode->name);
    else
        reply(req, &names, size);
}

// ---- setting -----------------------------------------------------------------------------------

// What a copy brings along (cp -a, rsync -X) is dropped: it says what the source is.
static void accept_and_drop(fuse_req_t req, const char *name)
{
    if (ops_of(req)->service->options->is_read_only)
        fuse_reply_err(req, EROFS);
    else
        fuse_reply_err(req, attribute_is_ours(name) ? 0 : EOPNOTSUPP);
}

// Valid replies: err.
void ops_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
                  int flags)
{
    (void)id;
    (void)value;
    (void)size;
    (void)flags;
    accept_and_drop(req, name);
}

// Valid replies: err.
void ops_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
    (void)id;
    accept_and_drop(req, name);
}
