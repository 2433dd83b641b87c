// Closing what was written: when a file is complete, and who waits for that.
#include "ops_private.h"

#include "caller.h"
#include "path.h"

#include <errno.h>

enum {
    // How long a name that was closed empty is waited for: until the kernel says that nobody has
    // it open any more (it does so at once), or that it was a shell's redirection all the same.
    CLOSED_EMPTY_MS = 250,
    STORING_MS = 5 * 1000,    // then its name is looked at as it is
    DIRECTORY_WAIT_MS = 1000, // and a directory listed
    LOOK_MS = 2,
};

// An ordinary file that was made and not written to is an empty object.
static int get_writer_of_empty(fuse_req_t req, struct handle *handle, bool is_wanted, bool is_last,
                               struct writer **ret_writer, struct err *err)
{
    pthread_mutex_lock(&handle->writing.lock);
    *ret_writer = handle->writing.writer;
    is_wanted &= !*ret_writer && handle->writing.is_fresh;
    pthread_mutex_unlock(&handle->writing.lock);
    if (!is_wanted || path_is_reference_file(handle->inode->name))
        return 0;
    return ops_get_writer(req, handle, 0, is_last, ret_writer, err);
}

static enum writer_flush who_closes(fuse_req_t req, const struct handle *handle)
{
    pid_t thread = fuse_req_ctx(req)->pid;
    if (caller_was_killed(thread))
        return WRITER_CLOSE_KILLED;
    bool is_last = caller_process(thread) == handle->writing.process &&
                   !caller_has_open(thread, handle->inode->number);
    return is_last ? WRITER_CLOSE : WRITER_CLOSE_OF_COPY;
}

// A cp that was stopped before its first write has made no empty file.
static void closed_empty(fuse_req_t req, struct handle *handle)
{
    if (!caller_was_killed(fuse_req_ctx(req)->pid)) {
        atomic_store(&handle->writing.closed_empty_ms, clock_monotonic_ms(clock_system()));
        return;
    }
    pthread_mutex_lock(&handle->writing.lock);
    handle->writing.is_fresh = false;
    pthread_mutex_unlock(&handle->writing.lock);
}

// Whether nobody can write into it any more, so that whoever closes it is to hear what became of it
// though it is empty. A shell closes a file before it lets a program write into it.
static bool is_closed_for_good(fuse_req_t req, struct handle *handle)
{
    pid_t thread = fuse_req_ctx(req)->pid;
    pid_t process = handle->writing.process;
    pthread_mutex_lock(&handle->writing.lock);
    bool is_empty = handle->writing.is_fresh && !handle->writing.writer &&
                    !path_is_reference_file(handle->inode->name);
    pthread_mutex_unlock(&handle->writing.lock);
    return is_empty && process && caller_process(thread) == process && !caller_was_killed(thread) &&
           caller_may_be_seen(thread) && !caller_anybody_has_open(handle->inode->number);
}

static void flush(fuse_req_t req, struct handle *handle, bool is_close)
{
    const struct inode *inode = handle->inode;
    struct writer *writer = NULL;
    struct err err = {0};
    if (handle->kind == HANDLE_WRITER && is_close && is_closed_for_good(req, handle))
        atomic_store(&handle->inode->is_touched, true);
    if (handle->kind == HANDLE_WRITER &&
        get_writer_of_empty(req, handle, atomic_load(&inode->is_touched), false, &writer, &err) <
            0) {
        ops_refuse(req, "cannot be stored", &err, inode->directory, inode->name);
        return;
    }
    if (!writer) { // nothing was written
        if (handle->kind == HANDLE_WRITER && is_close)
            closed_empty(req, handle);
        fuse_reply_err(req, 0);
        return;
    }
    enum writer_flush how = is_close ? who_closes(req, handle) : WRITER_SYNC;
    if ((how == WRITER_CLOSE || how == WRITER_SYNC) && ops_prepare(req, writer, false, &err) < 0) {
        ops_refuse(req, "cannot be stored", &err, inode->directory, inode->name);
        return;
    }
    struct ops_parked *parked = ops_park(req, handle, writer);
    if (!parked) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    writer_flush(writer, how, ops_answer, parked);
    ops_handed_in(parked);
}

// Nobody hears of the end of a file whose last close was not its opener's, or that stayed empty:
// the kernel does not wait for it. Whoever looks for its name right afterwards (rsync, unzip and
// Python's copytree set its times by name) is to find it, and rm -r all of a directory.
bool ops_await_name(struct ops *ops, struct call *call, const char *directory, const char *name)
{
    bool has_waited = false;
    while (handles_has_closed_empty(ops->handles, directory, name,
                                    clock_monotonic_ms(clock_system()) - CLOSED_EMPTY_MS) &&
           call_sleep(call, LOOK_MS))
        has_waited = true;
    return upload_engine_wait(ops->service->uploads, call, directory, name,
                              name ? STORING_MS : DIRECTORY_WAIT_MS) ||
           has_waited;
}

void ops_finish_writing(fuse_req_t req, struct handle *handle)
{
    struct writer *writer = NULL;
    struct err err = {0};
    if (handle->kind == HANDLE_WRITER &&
        get_writer_of_empty(req, handle, true, true, &writer, &err) < 0)
        log_err(LOG_LEVEL_WARN, "cannot be stored", &err, "directory", handle->inode->directory,
                "name", handle->inode->name, NULL);
}

// Whoever closes a generated file is not copying it any more. Its release tells that too late: the
// kernel does not wait for it before it lets the process go on.
static void ended_reading(fuse_req_t req, struct handle *handle)
{
    if ((handle->kind == HANDLE_RENDERING || handle->kind == HANDLE_LIVE) &&
        caller_process(fuse_req_ctx(req)->pid) == atomic_load(&handle->reader_process))
        atomic_store(&handle->reader_process, 0);
}

// Valid replies: err.
void ops_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    (void)id;
    ended_reading(req, ops_handle(file));
    flush(req, ops_handle(file), true);
}

// Valid replies: err.
void ops_fsync(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *file)
{
    (void)id;
    (void)is_data_only;
    flush(req, ops_handle(file), false);
}
