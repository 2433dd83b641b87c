#include "ops_private.h"

#include "base/scope.h"
#include "caller.h"
#include "misses.h"
#include "path.h"
#include "symlink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    // How long the kernel may keep attributes that never change. Names it asks for each time: a
    // file's entry timeout is 0, so that nobody meets an inode that is locked by a write.
    ATTRIBUTES_KEPT_S = 24 * 3600,
    MAX_BACKGROUND = 64, // read-ahead requests that the kernel may have under way
    SPACE_BLOCK = 1 << 20,
    SPACE_BLOCKS = 1 << 30, // df shows 1 PiB; a bucket has no end
};

// ---- the mount's operations --------------------------------------------------------------------

int ops_new(struct service *service, void (*on_ready)(void *context), void *context,
            struct ops **ret_ops, struct err *err)
{
    struct ops *ops = calloc(1, sizeof(*ops));
    if (!ops)
        return err_no_memory(err);
    const struct options *options = service->options;
    ops->service = service;
    ops->on_ready = on_ready;
    ops->on_ready_context = context;
    ops->style = (struct inode_style){
        .uid = options->uid,
        .gid = options->gid,
        .file_mode = options->file_mode,
        .directory_mode = options->directory_mode,
        .link_mode = options->link_mode,
        .mounted_ms = service->opened_ms,
    };
    pthread_mutex_init(&ops->lock, NULL);
    call_wait_init(&ops->has_parked_changed);
    pthread_cond_init(&ops->has_watched, NULL);
    ops->misses = misses_new();
    int error = ops->misses ? inodes_new(&ops->inodes, err) : err_no_memory(err);
    if (error == 0)
        error = handles_new(ops->inodes, &ops->handles, err);
    if (error == 0)
        error = ops_start_watcher(ops, err);
    if (error < 0) {
        ops_free(ops);
        return error;
    }
    *ret_ops = ops;
    return 0;
}

void ops_free(struct ops *ops)
{
    if (!ops)
        return;
    ops_stop_watcher(ops);
    if (ops->inodes) // else it never began
        ops_forget_reopenings(ops);
    handles_free(ops->handles);
    inodes_free(ops->inodes);
    misses_free(ops->misses);
    pthread_cond_destroy(&ops->has_parked_changed);
    pthread_cond_destroy(&ops->has_watched);
    pthread_mutex_destroy(&ops->lock);
    free(ops);
}

void ops_stop(struct ops *ops)
{
    pthread_mutex_lock(&ops->lock);
    ops->is_stopping = true;
    for (struct ops_call *blocking = ops->calls; blocking; blocking = blocking->next)
        call_cancel(&blocking->call);
    pthread_mutex_unlock(&ops->lock);
    ops_end_readings(ops);
    publish_engine_stop(ops->service->engine);
    ops_answer_parked(ops);
}

static void cancel_call(fuse_req_t req, void *blocking)
{
    if (caller_wants_out(fuse_req_ctx(req)->pid))
        call_cancel(&((struct ops_call *)blocking)->call);
}

void ops_call_begin(struct ops_call *blocking, fuse_req_t req)
{
    struct ops *ops = ops_of(req);
    blocking->req = req;
    call_init(&blocking->call, ops->service->clock);
    pthread_mutex_lock(&ops->lock);
    blocking->next = ops->calls;
    blocking->at = &ops->calls;
    if (ops->calls)
        ops->calls->at = &blocking->next;
    ops->calls = blocking;
    bool is_stopping = ops->is_stopping;
    pthread_mutex_unlock(&ops->lock);
    if (is_stopping)
        call_cancel(&blocking->call);
    fuse_req_interrupt_func(req, cancel_call, blocking);
}

void ops_call_end(struct ops_call *blocking)
{
    // Waits for an interrupt that is being delivered: afterwards nobody knows of *blocking.
    fuse_req_interrupt_func(blocking->req, NULL, NULL);
    struct ops *ops = ops_of(blocking->req);
    pthread_mutex_lock(&ops->lock);
    *blocking->at = blocking->next;
    if (blocking->next)
        blocking->next->at = blocking->at;
    pthread_mutex_unlock(&ops->lock);
}

// ---- replies -----------------------------------------------------------------------------------

enum log_level ops_loudness(int errnum)
{
    switch (errnum) {
    case EEXIST:
    case EINTR:
    case EINVAL:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTEMPTY:
    case EXDEV:
        return LOG_LEVEL_DEBUG;
    case EBUSY:
    case EOPNOTSUPP:
    case EPERM:
    case EROFS:
    case ESTALE:
        return LOG_LEVEL_INFO;
    case ENOMEM:
        return LOG_LEVEL_ERROR;
    default:
        return LOG_LEVEL_WARN;
    }
}

void ops_refuse(fuse_req_t req, const char *sentence, const struct err *err, const char *directory,
                const char *name)
{
    enum log_level level = ops_loudness(err->errnum);
    if (log_is_on(level)) {
        const struct fuse_ctx *caller = fuse_req_ctx(req);
        auto_free char *path = path_join(directory, name);
        char uid[12], pid[12];
        snprintf(uid, sizeof(uid), "%u", (unsigned)caller->uid);
        snprintf(pid, sizeof(pid), "%d", (int)caller->pid);
        log_err(level, sentence, err, "path", path, "uid", uid, "pid", pid, NULL);
    }
    fuse_reply_err(req, err->errnum);
}

static struct inode_style style_now(const struct ops *ops)
{
    struct inode_style style = ops->style;
    style.now_ms = clock_now_ms(ops->service->clock);
    return style;
}

struct fuse_entry_param ops_entry(struct ops *ops, struct inode *inode)
{
    atomic_store(&inode->is_entry_kept, false);
    struct inode_style style = style_now(ops);
    struct fuse_entry_param entry = {
        .ino = inode_id(ops->inodes, inode),
        .attr_timeout = inode_is_immutable(inode) ? ATTRIBUTES_KEPT_S : 0,
        .entry_timeout =
            inode->kind == INODE_DIRECTORY ? (double)ops->service->options->list_ttl_ms / 1000 : 0,
    };
    inode_stat(inode, &style, &entry.attr);
    return entry;
}

// What this mount itself may replace is never kept. Whatever else changes, by whomever, is found by
// ops_is_entry_old before a byte or an attribute of a wrong version is handed out.
struct fuse_entry_param ops_listed_entry(struct ops *ops, struct inode *inode)
{
    const struct options *options = ops->service->options;
    struct fuse_entry_param entry = ops_entry(ops, inode);
    if (inode->kind == INODE_OBJECT && !options->may_overwrite && options->list_ttl_ms > 0 &&
        !path_is_reference_file(inode->name)) {
        entry.entry_timeout = (double)options->list_ttl_ms / 1000;
        atomic_store(&inode->is_entry_kept, true);
    }
    return entry;
}

bool ops_is_entry_old(fuse_req_t req, const struct inode *inode)
{
    struct tree_listing *listing = NULL;
    const struct tree_entry *entry = NULL;
    struct err err = {0};
    if (inode->kind != INODE_OBJECT || !atomic_load(&inode->is_entry_kept))
        return false;
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    (void)tree_lookup(ops_of(req)->service->tree, &blocking.call, inode->directory, inode->name,
                      &listing, &entry, &err);
    ops_call_end(&blocking);
    bool is_old = err.errnum == ENOENT || (entry && !inode_shows(inode, entry));
    tree_listing_unref(listing);
    return is_old;
}

void ops_reply_attr(fuse_req_t req, const struct inode *inode)
{
    struct inode_style style = style_now(ops_of(req));
    struct stat attr;
    inode_stat(inode, &style, &attr);
    fuse_reply_attr(req, &attr, inode_is_immutable(inode) ? ATTRIBUTES_KEPT_S : 0);
}

// ---- names -------------------------------------------------------------------------------------

int ops_check_name(struct ops *ops, const char *directory, const char *name, struct err *err)
{
    if (ops->service->options->is_read_only)
        return err_set(err, EROFS, "the mount is read-only (ro)");
    if (strlen(name) > PATH_NAME_MAX)
        return err_set(err, ENAMETOOLONG, "a name is at most %d bytes long", PATH_NAME_MAX);
    if (directory[0] == '\0' && strcmp(name, PATH_OWN_DIRECTORY) == 0)
        return err_set(err, EPERM, "%s holds this program's own objects", name);
    if (virtual_find(name))
        return err_set(err, EPERM, "%s is made by this program, it cannot be written", name);
    if (symlink_is_object_name(name))
        return err_set(err, EPERM, "a name that ends in %s is a symbolic link's: ln -s makes those",
                       SYMLINK_SUFFIX);
    auto_free char *key = tree_key(ops->service->tree, directory, name);
    if (!key)
        return err_no_memory(err);
    if (strlen(key) > S3_KEY_SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "a key is at most %d bytes long", S3_KEY_SIZE_MAX);
    return 0;
}

// A stat never fails because links cannot be had: the open that follows says why.
static int find_generated(struct ops *ops, struct call *call, const struct virtual_file *file,
                          struct tree_listing *listing, struct inode **ret_inode, struct err *err)
{
    const char *directory = listing->directory;
    struct rendering *rendering = NULL;
    struct err failure = {0};
    if (file->is_live)
        *ret_inode = inode_of_live(ops->inodes, directory, file);
    else if (virtual_render(ops->service->virtuals, call, file, listing, &rendering, &failure) == 0)
        *ret_inode = inode_of_rendering(ops->inodes, directory, file, rendering);
    else if (failure.errnum == EINTR)
        return err_set(err, EINTR, "cancelled");
    else
        *ret_inode = inode_of_failure(ops->inodes, directory, file, &failure);
    rendering_unref(rendering);
    return *ret_inode ? 0 : err_no_memory(err);
}

// While the store cannot be asked: what this mount knows by itself, so that status.tsv can say why
// a publish failed.
static struct inode *find_own(struct ops *ops, const char *directory, const char *name)
{
    struct service *service = ops->service;
    const struct virtual_file *file = virtual_find(name);
    if (file && file->is_live)
        return status_has(service->status, directory) ? inode_of_live(ops->inodes, directory, file)
                                                      : NULL;
    auto_free char *path = path_join(directory, name);
    if (!path ||
        !(tree_has_made_below(service->tree, path) || status_has_below(service->status, path)))
        return NULL;
    return inode_of_directory(ops->inodes, path);
}

// What the name shows now. A file that is being written is not it: that one has no name yet.
static int find(struct ops *ops, struct call *call, const char *directory, const char *name,
                struct inode **ret_inode, struct err *err)
{
    if (strlen(name) > PATH_NAME_MAX)
        return err_set(err, ENAMETOOLONG, "a name is at most %d bytes long", PATH_NAME_MAX);
    struct tree_listing *listing = NULL;
    int error = tree_list(ops->service->tree, call, directory, &listing, err);
    if (error < 0) {
        *ret_inode = error == -ENOENT || error == -EINTR ? NULL : find_own(ops, directory, name);
        return *ret_inode ? 0 : error;
    }
    const struct virtual_file *file = virtual_find(name);
    const struct tree_entry *entry = tree_listing_find(listing, name);
    if (file && virtual_exists(ops->service->virtuals, file, listing))
        error = find_generated(ops, call, file, listing, ret_inode, err);
    else if (entry)
        error =
            (*ret_inode = inode_of_entry(ops->inodes, directory, entry)) ? 0 : err_no_memory(err);
    else
        error = err_set(err, ENOENT, "there is no such file");
    tree_listing_unref(listing);
    return error;
}

// The name may be about to be there.
static void find_or_await(fuse_req_t req, struct call *call, const char *directory,
                          const char *name, struct inode **ret_inode, struct err *err)
{
    struct ops *ops = ops_of(req);
    const struct clock *clock = ops->service->clock;
    const struct miss miss = {.thread = fuse_req_ctx(req)->pid,
                              .directory = directory,
                              .name = name,
                              .changes = tree_changes(ops->service->tree, directory)};
    bool can_miss = miss.thread && !virtual_find(name); // no thread: of another namespace
    bool is_missed = can_miss && misses_take(ops->misses, &miss, clock_monotonic_ms(clock));
    int error = is_missed ? err_set(err, ENOENT, "there is no such file")
                          : find(ops, call, directory, name, ret_inode, err);
    if (error == -ENOENT && ops_await_name(ops, call, directory, name))
        (void)find(ops, call, directory, name, ret_inode, err);
    else if (error == -ENOENT && atomic_load(&call->is_cancelled)) // it may well be there soon
        err_set(err, EINTR, "cancelled");
    else if (error == -ENOENT && can_miss && !is_missed)
        misses_note(ops->misses, &miss, clock_monotonic_ms(clock));
}

static void reply_entry(fuse_req_t req, struct inode *inode)
{
    struct ops *ops = ops_of(req);
    struct fuse_entry_param entry = ops_entry(ops, inode);
    if (fuse_reply_entry(req, &entry) < 0)
        inode_forget(ops->inodes, inode, 1); // interrupted: the kernel never saw it
}

// Valid replies: entry, err.
static void ops_lookup(fuse_req_t req, fuse_ino_t parent_id, const char *name)
{
    const struct inode *parent = ops_inode(req, parent_id);
    struct inode *inode = NULL;
    struct err err = {0};
    struct ops_call blocking;
    if ((inode = ops_look_again(req, parent->directory, name))) {
        reply_entry(req, inode);
        return;
    }
    // cp -r creates what it finds in the source, and takes an existing name in a directory that it
    // has just made for an error.
    if (atomic_load(&parent->maker) && ops_is_regenerated(req, parent->directory, name) &&
        atomic_load(&parent->maker) == caller_process(fuse_req_ctx(req)->pid)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    ops_call_begin(&blocking, req);
    find_or_await(req, &blocking.call, parent->directory, name, &inode, &err);
    ops_call_end(&blocking);
    if (!inode) {
        ops_refuse(req, "lookup failed", &err, parent->directory, name);
        return;
    }
    reply_entry(req, inode);
}

// Valid replies: none.
static void ops_forget(fuse_req_t req, fuse_ino_t id, uint64_t lookups)
{
    inode_forget(ops_of(req)->inodes, ops_inode(req, id), lookups);
    fuse_reply_none(req);
}

// Valid replies: none.
static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        inode_forget(ops_of(req)->inodes, ops_inode(req, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

// ---- attributes --------------------------------------------------------------------------------

// Valid replies: attr, err.
static void ops_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    (void)file;
    ops_reply_attr(req, ops_inode(req, id));
}

// Modes, owners and times are accepted and not kept: cp -p, install and rsync must not fail.
// Valid replies: attr, err.
static void ops_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int to_set,
                        struct fuse_file_info *file)
{
    struct inode *inode = ops_inode(req, id);
    struct err err = {0};
    if (ops_of(req)->service->options->is_read_only) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if ((to_set & FUSE_SET_ATTR_SIZE) &&
        ops_set_size(inode, (uint64_t)attr->st_size, file, &err) < 0) {
        ops_refuse(req, "truncating refused", &err, inode->directory, inode->name);
        return;
    }
    if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
        atomic_store(&inode->is_touched, true);
    ops_reply_attr(req, inode);
}

// Valid replies: statfs, err.
static void ops_statfs(fuse_req_t req, fuse_ino_t id)
{
    (void)id;
    const struct statvfs space = {
        .f_bsize = SPACE_BLOCK,
        .f_frsize = SPACE_BLOCK,
        .f_blocks = SPACE_BLOCKS,
        .f_bfree = SPACE_BLOCKS,
        .f_bavail = SPACE_BLOCKS,
        .f_files = SPACE_BLOCKS,
        .f_ffree = SPACE_BLOCKS,
        .f_favail = SPACE_BLOCKS,
        .f_namemax = PATH_NAME_MAX,
    };
    fuse_reply_statfs(req, &space);
}

// ---- the session -------------------------------------------------------------------------------

static void ops_init(void *userdata, struct fuse_conn_info *connection)
{
    struct ops *ops = userdata;
    // With it a read of O_DIRECT waits where no signal reaches it, not even SIGKILL.
    connection->want &= ~(unsigned)FUSE_CAP_ASYNC_DIO;
    connection->max_background = MAX_BACKGROUND;
    connection->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    // Times are milliseconds, as S3 gives them.
    connection->time_gran = 1000000;
    ops->on_ready(ops->on_ready_context);
}

// What is not here the kernel settles by itself: access (ENOSYS: yes, or default_permissions),
// locks (local), lseek (no holes), fallocate (not supported).
const struct fuse_lowlevel_ops ops_table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .readlink = ops_readlink,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .setattr = ops_setattr,
    .statfs = ops_statfs,

    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .readdirplus = ops_readdirplus,
    .releasedir = ops_release,
    .mkdir = ops_mkdir,
    .rmdir = ops_rmdir,
    .unlink = ops_unlink,

    .open = ops_open,
    .read = ops_read,
    .release = ops_release,

    .create = ops_create,
    .write = ops_write,
    .flush = ops_flush,
    .fsync = ops_fsync,

    .getxattr = ops_getxattr,
    .listxattr = ops_listxattr,
    .setxattr = ops_setxattr,
    .removexattr = ops_removexattr,

    .rename = ops_rename,
    .symlink = ops_symlink,
    .link = ops_link,
    .mknod = ops_mknod,
    .copy_file_range = ops_copy_file_range,
};
