#include "ops_private.h"

#include "base/scope.h"
#include "caller.h"
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

// ---- opening -----------------------------------------------------------------------------------

static int open_object(struct ops *ops, struct handle *handle, struct err *err)
{
    const struct inode *inode = handle->inode;
    auto_free char *key = tree_key(ops->service->tree, inode->directory, inode->name);
    if (!key)
        return err_no_memory(err);
    return reader_open(ops->service->readers, key, inode->etag, inode->size_bytes, &handle->reader,
                       err);
}

static int open_rendering(fuse_req_t req, struct handle *handle, struct err *err)
{
    const struct inode *inode = handle->inode;
    if (!inode->rendering) {
        *err = *inode->failure;
        return -err->errnum;
    }
    handle->rendering = rendering_ref(inode->rendering);
    if (inode->file->holds_links)
        ops_tell_hand_out(req, inode, NULL);
    return 0;
}

static int open_live(struct ops *ops, struct handle *handle, struct err *err)
{
    if (status_render(ops->service->status, handle->inode->directory, &handle->live) < 0)
        return err_no_memory(err);
    return 0;
}

static int open_reading(fuse_req_t req, struct inode *inode, struct handle **ret_handle,
                        struct err *err)
{
    static const enum handle_kind kinds[] = {
        [INODE_OBJECT] = HANDLE_OBJECT,
        [INODE_RENDERING] = HANDLE_RENDERING,
        [INODE_LIVE] = HANDLE_LIVE,
    };
    struct ops *ops = ops_of(req);
    if (inode->kind == INODE_DIRECTORY)
        return err_set(err, EISDIR, "it is a directory");
    if (inode->kind == INODE_WRITER)
        return err_set(err, EOPNOTSUPP, "a file cannot be read while it is being written");
    pid_t process = inode->kind == INODE_OBJECT ? 0 : caller_process(fuse_req_ctx(req)->pid);
    struct handle *handle = handle_new(ops->handles, kinds[inode->kind], inode);
    if (!handle)
        return err_no_memory(err);
    atomic_store(&handle->reader_process, process);
    int error = 0;
    if (inode->kind == INODE_OBJECT)
        error = open_object(ops, handle, err);
    else if (inode->kind == INODE_RENDERING)
        error = open_rendering(req, handle, err);
    else
        error = open_live(ops, handle, err);
    if (error < 0) {
        handle_unref(ops->handles, handle);
        return error;
    }
    *ret_handle = handle;
    return 0;
}

// Valid replies: open, err.
void ops_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    struct ops *ops = ops_of(req);
    struct inode *inode = ops_inode(req, id);
    if ((file->flags & O_ACCMODE) != O_RDONLY) {
        ops_open_writing(req, inode, file);
        return;
    }
    if (ops_is_entry_old(req, inode)) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    struct handle *handle = NULL;
    struct err err = {0};
    (void)open_reading(req, inode, &handle, &err);
    if (!handle && inode->file && inode->file->holds_links) {
        ops_tell_hand_out(req, inode, &err);
        fuse_reply_err(req, err.errnum);
        return;
    }
    if (!handle) {
        ops_refuse(req, "cannot be opened", &err, inode->directory, inode->name);
        return;
    }
    file->fh = (uint64_t)(uintptr_t)handle;
    file->direct_io = handle->kind == HANDLE_LIVE; // its size is not known beforehand
    file->keep_cache = handle->kind != HANDLE_LIVE;
    file->noflush = handle->kind == HANDLE_OBJECT; // of the others the close counts: ops_flush
    if (fuse_reply_open(req, file) < 0)
        handle_unref(ops->handles, handle); // interrupted: no release will come
}

// ---- reading -----------------------------------------------------------------------------------

// Bytes that the handle holds. The kernel may release it as soon as it has them, before the reply
// function has returned.
static void reply_held(fuse_req_t req, struct handle *handle, const char *bytes, size_t count,
                       size_t size, off_t offset)
{
    struct handles *handles = ops_of(req)->handles;
    size_t from = (uint64_t)offset < count ? (size_t)offset : count;
    handle_ref(handles, handle);
    fuse_reply_buf(req, bytes + from, size < count - from ? size : count - from);
    handle_unref(handles, handle);
}

// Valid replies: buf, iov, data, err.
void ops_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)id;
    struct handle *handle = ops_handle(file);
    switch (handle->kind) {
    case HANDLE_OBJECT:
        ops_read_object(req, handle, size, offset);
        break;
    case HANDLE_RENDERING:
        reply_held(req, handle, handle->rendering->bytes, handle->rendering->size, size, offset);
        break;
    case HANDLE_LIVE:
        reply_held(req, handle, buf_text(&handle->live), handle->live.size, size, offset);
        break;
    case HANDLE_WRITER:
    case HANDLE_DIRECTORY:
        fuse_reply_err(req, EOPNOTSUPP);
        break;
    }
}

// Valid replies: err.
void ops_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    (void)id;
    ops_finish_writing(req, ops_handle(file));
    handle_unref(ops_of(req)->handles, ops_handle(file));
    fuse_reply_err(req, 0);
}
