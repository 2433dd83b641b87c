#include "ops_private.h"

#include "base/scope.h"
#include "copy/copy.h"
#include "path.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

// The handle's writer; made where the file's first bytes are an object's.
static int get_copier(fuse_req_t req, struct handle *to, const struct writer_source *source,
                      bool is_beginning, struct writer **ret_writer, struct err *err)
{
    pthread_mutex_lock(&to->writing.lock);
    *ret_writer = to->writing.writer;
    pthread_mutex_unlock(&to->writing.lock);
    if (*ret_writer)
        return 0;
    const struct copy_request request = {
        .directory = to->inode->directory,
        .name = to->inode->name,
        .who = to->writing.who,
        .source = *source,
    };
    struct writer *writer = NULL;
    if (!is_beginning)
        return err_set(err, EOPNOTSUPP, "only a whole file is copied inside the store");
    if (copy_new(ops_of(req)->service->copies, &request, &writer, err) < 0)
        return -err->errnum;
    ops_set_writer(to, writer, ret_writer);
    return 0;
}

static int copy_range(fuse_req_t req, struct handle *from, uint64_t from_offset, struct handle *to,
                      uint64_t to_offset, size_t size, struct err *err)
{
    if (to->kind != HANDLE_WRITER)
        return err_set(err, EBADF, "it is not open for writing");
    // A reference file publishes what is written; what a generated file holds is no object.
    if (from->kind != HANDLE_OBJECT || path_is_reference_file(to->inode->name))
        return err_set(err, EOPNOTSUPP, "it has to be read and written");
    auto_free char *key =
        tree_key(ops_of(req)->service->tree, from->inode->directory, from->inode->name);
    if (!key)
        return err_no_memory(err);
    const struct writer_source source = {key, from->inode->etag, from->inode->size_bytes};
    struct writer *writer = NULL;
    atomic_store(&to->writing.closed_empty_ms, 0);
    if (get_copier(req, to, &source, from_offset == 0 && to_offset == 0, &writer, err) < 0)
        return -err->errnum;
    assert(writer);
    int error = writer_copy(writer, &source, from_offset, to_offset, size);
    if (error < 0)
        return err_set(err, -error, "the range cannot be copied");
    atomic_store(&to->inode->written_size, to_offset + size);
    return 0;
}

// Only takes note of the range; the copying is done when the file is closed. Where it is refused
// with EOPNOTSUPP, the kernel reads and writes instead.
// Valid replies: write, err.
void ops_copy_file_range(fuse_req_t req, fuse_ino_t from_id, off_t from_offset,
                         struct fuse_file_info *from, fuse_ino_t to_id, off_t to_offset,
                         struct fuse_file_info *to, size_t size, int flags)
{
    (void)from_id;
    (void)to_id;
    (void)flags;
    const struct inode *inode = ops_handle(to)->inode;
    struct err err = {0};
    if (copy_range(req, ops_handle(from), (uint64_t)from_offset, ops_handle(to),
                   (uint64_t)to_offset, size, &err) < 0)
        ops_refuse(req, "not copied inside the store", &err, inode->directory, inode->name);
    else
        fuse_reply_write(req, size);
}
