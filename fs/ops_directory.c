#include "ops_private.h"

#include "base/scope.h"
#include "caller.h"
#include "path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_MAX = 512, // entries of one reply; the kernel's buffer is rarely larger
    DOTS = 2,        // "." and ".." come before everything else
};

// ---- opening -----------------------------------------------------------------------------------

static bool is_shadowed(struct ops *ops, const struct tree_listing *listing,
                        const struct tree_entry *entry)
{
    const struct virtual_file *file = virtual_find(entry->name);
    return file && virtual_exists(ops->service->virtuals, file, listing);
}

// Each thing is said once for as long as the kernel knows the directory.
static void tell_oddities(struct ops *ops, struct inode *inode, const struct tree_listing *listing)
{
    if (listing->left_out_count > 0 && !atomic_exchange(&inode->has_told_left_out, true)) {
        char count[24];
        snprintf(count, sizeof(count), "%zu", listing->left_out_count);
        log_event(LOG_LEVEL_WARN, "keys that a path cannot name are left out", "directory",
                  listing->directory, "count", count, NULL);
    }
    for (const struct virtual_file *const *file = virtual_files; *file; file++) {
        const struct tree_entry *entry = tree_listing_find(listing, (*file)->name);
        if (entry && is_shadowed(ops, listing, entry) &&
            !atomic_exchange(&inode->has_told_shadowed, true))
            log_event(LOG_LEVEL_WARN, "a generated file hides an object of its name", "directory",
                      listing->directory, "name", entry->name, NULL);
    }
}

// Takes over the listing on success.
static struct handle *open_listing(struct ops *ops, struct inode *inode,
                                   struct tree_listing *listing)
{
    struct handle *handle = handle_new(ops->handles, HANDLE_DIRECTORY, inode);
    if (!handle)
        return NULL;
    size_t count = 0;
    while (virtual_files[count])
        count++;
    handle->files = calloc(count + 1, sizeof(const struct virtual_file *));
    if (!handle->files) {
        handle_unref(ops->handles, handle);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (virtual_is_listed(ops->service->virtuals, virtual_files[i], listing))
            handle->files[handle->file_count++] = virtual_files[i];
    }
    handle->listing = listing;
    return handle;
}

// Valid replies: open, err.
void ops_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    struct ops *ops = ops_of(req);
    struct inode *inode = ops_inode(req, id);
    struct tree_listing *listing = NULL;
    struct err err = {0};
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    (void)ops_await_name(ops, &blocking.call, inode->directory, NULL);
    int error = tree_list(ops->service->tree, &blocking.call, inode->directory, &listing, &err);
    ops_call_end(&blocking);
    if (error < 0) {
        ops_refuse(req, "listing failed", &err, inode->directory, "");
        return;
    }
    tell_oddities(ops, inode, listing);
    struct handle *handle = open_listing(ops, inode, listing);
    if (!handle) {
        tree_listing_unref(listing);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    file->fh = (uint64_t)(uintptr_t)handle;
    if (fuse_reply_open(req, file) < 0)
        handle_unref(ops->handles, handle); // interrupted: no release will come
}

// ---- reading -----------------------------------------------------------------------------------

// One reply in the making. Entries are counted from 0 through the whole directory; the offset
// after an entry is the next one's number.
struct batch {
    fuse_req_t req;
    struct ops *ops;
    const struct handle *handle;
    char *bytes;
    size_t size;
    size_t capacity;
    struct inode *looked_up[BATCH_MAX]; // with a lookup each, to take back if the reply is lost
    size_t looked_up_count;
};

static bool fits(const struct batch *batch, size_t needed)
{
    return needed <= batch->capacity - batch->size;
}

static bool add_plain(struct batch *batch, const char *name, uint64_t number, mode_t type,
                      off_t next)
{
    const struct stat attr = {.st_ino = number, .st_mode = type};
    size_t needed = fuse_add_direntry(batch->req, NULL, 0, name, NULL, 0);
    if (!fits(batch, needed))
        return false;
    fuse_add_direntry(batch->req, batch->bytes + batch->size, needed, name, &attr, next);
    batch->size += needed;
    return true;
}

static bool add_plus(struct batch *batch, const char *name, const struct fuse_entry_param *entry,
                     off_t next)
{
    size_t needed = fuse_add_direntry_plus(batch->req, NULL, 0, name, NULL, 0);
    if (!fits(batch, needed))
        return false;
    fuse_add_direntry_plus(batch->req, batch->bytes + batch->size, needed, name, entry, next);
    batch->size += needed;
    return true;
}

// Listed without being looked up (number 0 for the kernel), so that `ls` and `find` mint nothing.
static bool add_unlooked(struct batch *batch, const char *name, uint64_t number, mode_t type,
                         off_t next, bool is_plus)
{
    if (!is_plus)
        return add_plain(batch, name, number, type, next);
    const struct fuse_entry_param entry = {.attr = {.st_ino = number, .st_mode = type}};
    return add_plus(batch, name, &entry, next);
}

static mode_t type_of(const struct tree_entry *entry)
{
    if (entry->is_symlink)
        return S_IFLNK;
    return entry->is_directory ? S_IFDIR : S_IFREG;
}

static bool add_looked_up(struct batch *batch, const struct tree_entry *listed, off_t next)
{
    struct ops *ops = batch->ops;
    const char *directory = batch->handle->listing->directory;
    // Measured first: nothing is looked up that does not fit.
    if (batch->looked_up_count == BATCH_MAX ||
        !fits(batch, fuse_add_direntry_plus(batch->req, NULL, 0, listed->name, NULL, 0)))
        return false;
    struct inode *inode = inode_of_entry(ops->inodes, directory, listed);
    if (!inode)
        return add_unlooked(batch, listed->name, inode_number_of_entry(directory, listed),
                            type_of(listed), next, true);
    batch->looked_up[batch->looked_up_count++] = inode;
    struct fuse_entry_param entry = ops_listed_entry(ops, inode);
    return add_plus(batch, listed->name, &entry, next);
}

static bool add_entry(struct batch *batch, size_t index, bool is_plus)
{
    const struct handle *handle = batch->handle;
    const char *directory = handle->listing->directory;
    off_t next = (off_t)index + 1;
    if (index < DOTS)
        return add_unlooked(batch, index == 0 ? "." : "..", handle->inode->number, S_IFDIR, next,
                            is_plus);
    index -= DOTS;
    if (index < handle->file_count) {
        const struct virtual_file *file = handle->files[index];
        return add_unlooked(batch, file->name, inode_number_of_file(directory, file), S_IFREG, next,
                            is_plus);
    }
    const struct tree_entry *entry = &handle->listing->entries[index - handle->file_count];
    if (is_shadowed(batch->ops, handle->listing, entry))
        return true;
    if (is_plus)
        return add_looked_up(batch, entry, next);
    return add_plain(batch, entry->name, inode_number_of_entry(directory, entry), type_of(entry),
                     next);
}

static void read_directory(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *file,
                           bool is_plus)
{
    const struct handle *handle = ops_handle(file);
    size_t count = DOTS + handle->file_count + handle->listing->count;
    auto_free struct batch *batch = calloc(1, sizeof(*batch));
    auto_free char *bytes = malloc(size);
    if (!batch || !bytes) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    batch->req = req;
    batch->ops = ops_of(req);
    batch->handle = handle;
    batch->bytes = bytes;
    batch->capacity = size;
    for (size_t i = (size_t)offset; i < count; i++) {
        if (!add_entry(batch, i, is_plus))
            break;
    }
    if (fuse_reply_buf(req, bytes, batch->size) == 0)
        return;
    for (size_t i = 0; i < batch->looked_up_count; i++)
        inode_forget(batch->ops->inodes, batch->looked_up[i], 1);
}

// Valid replies: buf, err.
void ops_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                 struct fuse_file_info *file)
{
    (void)id;
    read_directory(req, size, offset, file, false);
}

// Valid replies: buf, err.
void ops_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                     struct fuse_file_info *file)
{
    (void)id;
    read_directory(req, size, offset, file, true);
}

// ---- making and removing -----------------------------------------------------------------------

static int make_directory(struct ops *ops, struct call *call, const char *parent, const char *name,
                          struct inode **ret_inode, struct err *err)
{
    int error = ops_check_name(ops, parent, name, err);
    if (error < 0)
        return error;
    auto_free char *path = path_join(parent, name);
    if (!path)
        return err_no_memory(err);
    error = tree_make_directory(ops->service->tree, call, path, err);
    if (error < 0)
        return error;
    *ret_inode = inode_of_directory(ops->inodes, path);
    return *ret_inode ? 0 : err_no_memory(err);
}

// Valid replies: entry, err.
void ops_mkdir(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode)
{
    (void)mode; // dmode= is every directory's
    struct ops *ops = ops_of(req);
    const struct inode *parent = ops_inode(req, parent_id);
    struct inode *inode = NULL;
    struct err err = {0};
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error = make_directory(ops, &blocking.call, parent->directory, name, &inode, &err);
    ops_call_end(&blocking);
    if (error < 0) {
        ops_refuse(req, "directory not made", &err, parent->directory, name);
        return;
    }
    atomic_store(&inode->maker, caller_process(fuse_req_ctx(req)->pid));
    struct fuse_entry_param entry = ops_entry(ops, inode);
    if (fuse_reply_entry(req, &entry) < 0)
        inode_forget(ops->inodes, inode, 1);
}

static int remove_directory(struct ops *ops, struct call *call, const char *parent,
                            const char *name, struct err *err)
{
    if (ops->service->options->is_read_only)
        return err_set(err, EROFS, "the mount is read-only (ro)");
    auto_free char *path = path_join(parent, name);
    if (!path)
        return err_no_memory(err);
    int error = tree_remove_directory(ops->service->tree, call, path, err);
    // What held nothing else would be gone with it, and rm -r and find -delete fail.
    return error ? error : tree_keep(ops->service->tree, parent, err);
}

// Valid replies: err.
void ops_rmdir(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
    const struct inode *parent = ops_inode(req, parent_id);
    struct err err = {0};
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error = remove_directory(ops_of(req), &blocking.call, parent->directory, name, &err);
    ops_call_end(&blocking);
    if (error < 0)
        ops_refuse(req, "directory not removed", &err, parent->directory, name);
    else
        fuse_reply_err(req, 0);
}
