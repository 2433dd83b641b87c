#include "ops_private.h"

#include "base/buf.h"
#include "base/scope.h"
#include "caller.h"
#include "discard_writer.h"
#include "path.h"
#include "publish/reference_file.h"
#include "reference_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WATCH_INTERVAL_MS = 100,
    ANSWER_LIMIT_MS = 5 * 1000, // at the mount's end: until a parked request is answered
    CLOSE_LIMIT_MS = 1000,      // then, until its file is closed
    CLOSE_LOOK_MS = 20,
};

// ---- parked requests ---------------------------------------------------------------------------
//
// A request that waits for a publish holds no thread; it is answered by the writer's reply, exactly
// once, from whatever thread ends the wait. What makes this delicate is libfuse's interrupt:
//   - its callback runs with a lock of the request held, which fuse_req_interrupt_func takes too.
//     Taking the callback away before the reply therefore waits until it has run, so that it never
//     meets a request or context that is gone - except inside the callback itself, where it would
//     wait for itself: there the reply goes out without.
//   - an interrupt that came first is delivered from within fuse_req_interrupt_func, which still
//     needs the request afterwards: nothing may be replied there. So the callback only takes a
//     note until the request has been handed in, and whoever handed it in acts on the note.

struct ops_parked {
    fuse_req_t req;
    struct ops *ops;
    struct handle *handle; // a reference
    struct writer *writer; // the handle's
    pid_t caller;          // its thread
    bool is_write;
    uint64_t offset; // of a write
    size_t size;

    // Guarded by ops->lock.
    struct ops_parked *next;
    struct ops_parked **at;
    unsigned references; // the answer's; that of who hands it in; that of who stops the mount
    bool is_interrupted;
    bool is_watched; // was interrupted in passing: the kernel will not say when it is for good
    unsigned looks;  // rounds of the watcher's that have seen it
    bool is_handed_in;
    bool is_told; // that the mount stops
};

// The request whose interrupt this thread is delivering.
static _Thread_local const struct ops_parked *interrupting;

static void unpark(struct ops_parked *parked)
{
    struct ops *ops = parked->ops;
    pthread_mutex_lock(&ops->lock);
    bool is_last = --parked->references == 0;
    pthread_mutex_unlock(&ops->lock);
    if (!is_last)
        return;
    handle_unref(ops->handles, parked->handle);
    free(parked);
    pthread_mutex_lock(&ops->lock);
    ops->leaving--;
    pthread_cond_broadcast(&ops->has_parked_changed);
    pthread_mutex_unlock(&ops->lock);
}

void ops_answer(void *context, int error)
{
    struct ops_parked *parked = context;
    struct ops *ops = parked->ops;
    if (interrupting != parked)
        fuse_req_interrupt_func(parked->req, NULL, NULL);
    if (error < 0 || !parked->is_write) {
        fuse_reply_err(parked->req, -error);
    } else {
        atomic_store(&parked->handle->inode->written_size, parked->offset + parked->size);
        fuse_reply_write(parked->req, parked->size);
    }
    pthread_mutex_lock(&ops->lock);
    *parked->at = parked->next;
    if (parked->next)
        parked->next->at = parked->at;
    ops->leaving++;
    pthread_mutex_unlock(&ops->lock);
    unpark(parked);
}

static void interrupt(fuse_req_t req, void *context)
{
    struct ops_parked *parked = context;
    struct ops *ops = parked->ops;
    bool wants_out = caller_wants_out(fuse_req_ctx(req)->pid);
    pthread_mutex_lock(&ops->lock);
    if (!wants_out) {
        parked->is_watched = true;
        pthread_cond_signal(&ops->has_watched);
        pthread_mutex_unlock(&ops->lock);
        return;
    }
    parked->is_interrupted = true;
    bool is_handed_in = parked->is_handed_in;
    pthread_mutex_unlock(&ops->lock);
    if (!is_handed_in)
        return;
    interrupting = parked;
    writer_interrupt(parked->writer, parked, -EINTR);
    interrupting = NULL;
}

struct ops_parked *ops_park(fuse_req_t req, struct handle *handle, struct writer *writer)
{
    struct ops *ops = ops_of(req);
    struct ops_parked *parked = calloc(1, sizeof(*parked));
    if (!parked)
        return NULL;
    parked->req = req;
    parked->ops = ops;
    parked->handle = handle_ref(ops->handles, handle);
    parked->writer = writer;
    parked->caller = fuse_req_ctx(req)->pid;
    parked->references = 2;
    pthread_mutex_lock(&ops->lock);
    parked->next = ops->parked;
    parked->at = &ops->parked;
    if (ops->parked)
        ops->parked->at = &parked->next;
    ops->parked = parked;
    pthread_mutex_unlock(&ops->lock);
    fuse_req_interrupt_func(req, interrupt, parked);
    return parked;
}

// The request may have been answered already, by now or from within writer_write.
void ops_handed_in(struct ops_parked *parked)
{
    struct ops *ops = parked->ops;
    pthread_mutex_lock(&ops->lock);
    parked->is_handed_in = true;
    bool is_interrupted = parked->is_interrupted;
    pthread_cond_broadcast(&ops->has_parked_changed);
    pthread_mutex_unlock(&ops->lock);
    if (is_interrupted)
        writer_interrupt(parked->writer, parked, -EINTR);
    unpark(parked);
}

// The publishes have been cancelled and answer by themselves, once they are undone; whoever would
// have to wait too long for that is answered now. EINTR would only make the caller try again.
void ops_answer_parked(struct ops *ops)
{
    struct call limit;
    call_init(&limit, clock_system());
    int64_t until_ms = clock_monotonic_ms(clock_system()) + ANSWER_LIMIT_MS;
    pthread_mutex_lock(&ops->lock);
    while (ops->parked || ops->readings || ops->leaving) {
        bool is_late = clock_monotonic_ms(clock_system()) > until_ms;
        struct ops_parked *parked = is_late ? ops->parked : NULL;
        while (parked && (parked->is_told || !parked->is_handed_in))
            parked = parked->next;
        if (!parked) {
            (void)call_wait(&limit, &ops->has_parked_changed, &ops->lock);
            pthread_mutex_unlock(&ops->lock);
            ops_end_readings(ops); // one may not have been handed in when it was looked at
            pthread_mutex_lock(&ops->lock);
            continue;
        }
        parked->is_told = true;
        parked->references++;
        pthread_mutex_unlock(&ops->lock);
        writer_interrupt(parked->writer, parked, -ESHUTDOWN);
        unpark(parked);
        pthread_mutex_lock(&ops->lock);
    }
    pthread_mutex_unlock(&ops->lock);
}

void ops_wait_for_closes(struct ops *ops)
{
    for (int waited_ms = 0; waited_ms < CLOSE_LIMIT_MS && handles_has_writers(ops->handles);
         waited_ms += CLOSE_LOOK_MS)
        usleep(CLOSE_LOOK_MS * 1000);
}

// ---- the watcher -------------------------------------------------------------------------------

// One that is watched and was not looked at in this round, with a reference; or NULL.
static struct ops_parked *next_watched_locked(struct ops *ops, unsigned round)
{
    struct ops_parked *parked = ops->parked;
    while (parked && (!parked->is_watched || !parked->is_handed_in || parked->looks == round))
        parked = parked->next;
    if (parked) {
        parked->looks = round;
        parked->references++;
    }
    return parked;
}

static bool has_watched_locked(const struct ops *ops)
{
    const struct ops_parked *parked = ops->parked;
    while (parked && !parked->is_watched)
        parked = parked->next;
    return parked || ops->readings;
}

static void *watch(void *context)
{
    struct ops *ops = context;
    pthread_mutex_lock(&ops->lock);
    for (unsigned round = 1; !ops->is_stopping; round++) {
        if (!has_watched_locked(ops)) {
            pthread_cond_wait(&ops->has_watched, &ops->lock);
            continue;
        }
        struct ops_parked *parked;
        while ((parked = next_watched_locked(ops, round))) {
            pthread_mutex_unlock(&ops->lock);
            if (caller_wants_out(parked->caller))
                writer_interrupt(parked->writer, parked, -EINTR);
            unpark(parked);
            pthread_mutex_lock(&ops->lock);
        }
        pthread_mutex_unlock(&ops->lock);
        ops_end_readings(ops);
        usleep(WATCH_INTERVAL_MS * 1000);
        pthread_mutex_lock(&ops->lock);
    }
    pthread_mutex_unlock(&ops->lock);
    return NULL;
}

int ops_start_watcher(struct ops *ops, struct err *err)
{
    int error = pthread_create(&ops->watcher, NULL, watch, ops);
    ops->has_watcher = error == 0;
    return error ? err_set(err, error, "no thread can be started: %s", strerrordesc_np(error)) : 0;
}

void ops_stop_watcher(struct ops *ops)
{
    if (!ops->has_watcher)
        return;
    pthread_mutex_lock(&ops->lock);
    ops->is_stopping = true;
    pthread_cond_signal(&ops->has_watched);
    pthread_mutex_unlock(&ops->lock);
    pthread_join(ops->watcher, NULL);
}

// ---- opening -----------------------------------------------------------------------------------

// Who copies generated files together with the others (cp -r build releases/v1.2.3) has the source
// open when it opens the target, which needs no storing: that directory makes its own.
bool ops_is_regenerated(fuse_req_t req, const char *directory, const char *name)
{
    if (!virtual_find(name) || ops_of(req)->service->options->is_read_only)
        return false;
    pid_t process = caller_process(fuse_req_ctx(req)->pid);
    return process && handles_has_generated(ops_of(req)->handles, directory, name, process);
}

static struct handle *new_writing(fuse_req_t req, struct inode *inode, bool is_fresh,
                                  bool is_discarded)
{
    struct handle *handle = handle_new(ops_of(req)->handles, HANDLE_WRITER, inode);
    if (!handle)
        return NULL;
    handle->writing.writer = is_discarded ? discard_writer_new() : NULL;
    if (is_discarded && !handle->writing.writer) {
        handle_unref(ops_of(req)->handles, handle);
        return NULL;
    }
    handle->writing.is_fresh = is_fresh;
    handle->writing.who = ops_who(req);
    handle->writing.process = caller_process(fuse_req_ctx(req)->pid);
    return handle;
}

// A private inode: it is locked while a write waits, and no name leads to it, so that nobody else
// waits with it. Until it has succeeded the file does not exist for anybody else.
// Valid replies: create, err.
void ops_create(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode,
                struct fuse_file_info *file)
{
    (void)mode;
    struct ops *ops = ops_of(req);
    const struct inode *parent = ops_inode(req, parent_id);
    struct err err = {0};
    bool is_discarded = ops_is_regenerated(req, parent->directory, name);
    if (!is_discarded && ops_check_name(ops, parent->directory, name, &err) < 0) {
        ops_refuse(req, "cannot be written", &err, parent->directory, name);
        return;
    }
    struct inode *inode = inode_of_writer(ops->inodes, parent->directory, name);
    struct handle *handle = inode ? new_writing(req, inode, true, is_discarded) : NULL;
    if (!handle) {
        if (inode)
            inode_forget(ops->inodes, inode, 1);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    handle->writing.is_exclusive = file->flags & O_EXCL;
    handle->writing.is_read_too = (file->flags & O_ACCMODE) == O_RDWR;
    file->fh = (uint64_t)(uintptr_t)handle;
    file->direct_io = 1; // every write(2) comes here as it is, and its answer is the caller's
    struct fuse_entry_param entry = ops_entry(ops, inode);
    if (fuse_reply_create(req, &entry, file) < 0) { // interrupted: no release will come
        handle_unref(ops->handles, handle);
        inode_forget(ops->inodes, inode, 1);
    }
}

// O_TRUNC destroys nothing: the object stands until a publish has succeeded.
// Valid replies: open, err.
void ops_open_writing(fuse_req_t req, struct inode *inode, struct fuse_file_info *file)
{
    struct ops *ops = ops_of(req);
    struct err err = {0};
    bool is_discarded = ops_is_regenerated(req, inode->directory, inode->name);
    if (!is_discarded && ops_check_name(ops, inode->directory, inode->name, &err) < 0) {
        ops_refuse(req, "cannot be written", &err, inode->directory, inode->name);
        return;
    }
    if (!atomic_load(&inode->is_written)) {
        fuse_reply_err(req, ops_send_back(req, inode));
        return;
    }
    ops_has_come_back(ops, inode);
    bool is_fresh = inode->kind == INODE_WRITER || (file->flags & O_TRUNC);
    struct handle *handle = new_writing(req, inode, is_fresh, is_discarded);
    if (!handle) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    atomic_store(&inode->written_size, is_fresh ? 0 : inode->size_bytes);
    file->fh = (uint64_t)(uintptr_t)handle;
    file->direct_io = 1;
    if (fuse_reply_open(req, file) < 0)
        handle_unref(ops->handles, handle);
}

int ops_set_size(struct inode *inode, uint64_t size, const struct fuse_file_info *file,
                 struct err *err)
{
    if (!atomic_load(&inode->is_written))
        return err_set(err, inode->file ? EPERM : EOPNOTSUPP, "its size cannot be changed");
    // rsync --inplace sets the size that the file has by then.
    if (size == atomic_load(&inode->written_size))
        return 0;
    struct handle *handle = file ? ops_handle(file) : NULL;
    if (!handle || handle->kind != HANDLE_WRITER)
        return err_set(err, EOPNOTSUPP, "a file is written from its beginning");
    pthread_mutex_lock(&handle->writing.lock);
    struct writer *writer = handle->writing.writer;
    if (!writer)
        handle->writing.is_fresh = size == 0; // what is refused leaves no empty file
    pthread_mutex_unlock(&handle->writing.lock);
    if (writer ? writer_resize(writer, size) < 0 : size > 0)
        return err_set(err, EOPNOTSUPP,
                       writer ? "what has been written cannot be taken back"
                              : "a file is written from its beginning");
    atomic_store(&inode->written_size, size);
    return 0;
}

// ---- writing -----------------------------------------------------------------------------------

// What an append is appended to: the very version that was opened.
static int load_base(fuse_req_t req, const struct inode *inode, struct buf *base, struct err *err)
{
    struct service *service = ops_of(req)->service;
    if (inode->size_bytes > REFERENCE_FILE_LIMIT)
        return err_set(err, EFBIG, "it is larger than a reference file may be, %d bytes",
                       REFERENCE_FILE_LIMIT);
    auto_free char *key = tree_key(service->tree, inode->directory, inode->name);
    if (!key)
        return err_no_memory(err);
    char etag[S3_ETAG_SIZE] = "";
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error =
        s3_object_get(service->client, &blocking.call, key, REFERENCE_FILE_LIMIT, base, etag, err);
    ops_call_end(&blocking);
    if (error == -ENOENT || (error == 0 && strcmp(etag, inode->etag) != 0))
        return err_set(err, ESTALE, "it has been replaced since it was opened");
    return error;
}

// A reference file is written whole from its beginning, whatever stood there, or continued at its
// end.
static int new_reference_writer(fuse_req_t req, struct handle *handle, uint64_t offset,
                                struct writer **ret_writer, struct err *err)
{
    const struct inode *inode = handle->inode;
    auto_buf struct buf base = BUF_INIT(REFERENCE_FILE_LIMIT);
    bool is_append = !handle->writing.is_fresh && inode->kind == INODE_OBJECT && offset > 0;
    if (is_append && load_base(req, inode, &base, err) < 0)
        return -err->errnum;
    const struct reference_writer_options options = {
        .engine = ops_of(req)->service->engine,
        .directory = inode->directory,
        .name = inode->name,
        .who = handle->writing.who,
        .base = base.bytes,
        .base_size = base.size,
    };
    return reference_writer_new(&options, ret_writer, err);
}

static int new_upload(fuse_req_t req, const struct handle *handle, bool is_last,
                      struct writer **ret_writer, struct err *err)
{
    const struct upload_request request = {
        .directory = handle->inode->directory,
        .name = handle->inode->name,
        .who = handle->writing.who,
        .is_fresh = handle->writing.is_fresh,
        .is_touched = atomic_load(&handle->inode->is_touched),
        .is_last = is_last,
        .is_exclusive = handle->writing.is_exclusive,
        .is_read_too = handle->writing.is_read_too,
    };
    return upload_new(ops_of(req)->service->uploads, &request, ret_writer, err);
}

void ops_set_writer(struct handle *handle, struct writer *writer, struct writer **ret_writer)
{
    pthread_mutex_lock(&handle->writing.lock);
    bool is_first = !handle->writing.writer;
    if (is_first)
        handle->writing.writer = writer;
    *ret_writer = handle->writing.writer;
    pthread_mutex_unlock(&handle->writing.lock);
    if (!is_first)
        writer_release(writer, true);
}

int ops_get_writer(fuse_req_t req, struct handle *handle, uint64_t offset, bool is_last,
                   struct writer **ret_writer, struct err *err)
{
    pthread_mutex_lock(&handle->writing.lock);
    *ret_writer = handle->writing.writer;
    pthread_mutex_unlock(&handle->writing.lock);
    if (*ret_writer)
        return 0;
    struct writer *writer = NULL;
    int error = path_is_reference_file(handle->inode->name)
                    ? new_reference_writer(req, handle, offset, &writer, err)
                    : new_upload(req, handle, is_last, &writer, err);
    if (!writer)
        return error;
    ops_set_writer(handle, writer, ret_writer);
    return 0;
}

int ops_prepare(fuse_req_t req, struct writer *writer, bool is_write, struct err *err)
{
    struct ops_call blocking;
    ops_call_begin(&blocking, req);
    int error = writer_prepare(writer, &blocking.call, is_write, err);
    ops_call_end(&blocking);
    return error;
}

// Valid replies: write, err.
void ops_write(fuse_req_t req, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
               struct fuse_file_info *file)
{
    (void)id;
    struct handle *handle = ops_handle(file);
    const struct inode *inode = handle->inode;
    struct writer *writer = NULL;
    struct err err = {0};
    if (handle->kind != HANDLE_WRITER) {
        fuse_reply_err(req, EBADF);
        return;
    }
    atomic_store(&handle->writing.closed_empty_ms, 0);
    if (ops_get_writer(req, handle, (uint64_t)offset, false, &writer, &err) < 0 ||
        ops_prepare(req, writer, true, &err) < 0) {
        ops_refuse(req, "cannot be written", &err, inode->directory, inode->name);
        return;
    }
    struct ops_parked *parked = ops_park(req, handle, writer);
    if (!parked) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    parked->is_write = true;
    parked->offset = (uint64_t)offset;
    parked->size = size;
    writer_write(writer, (uint64_t)offset, bytes, size, ops_answer, parked);
    ops_handed_in(parked);
}
