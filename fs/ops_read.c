#include "ops_private.h"

#include "base/scope.h"
#include "caller.h"

#include <errno.h>
#include <stdlib.h>

// A read that waits for bytes. It holds no thread: the one that receives its last byte answers it.
//
// Most reads are the kernel's own, ahead of a program's: nobody can interrupt those. libfuse is
// asked, now and then, whether one of the others was, instead of being given a callback, which
// would have to be taken back before each reply.
struct ops_reading {
    struct read read; // first: the two are one address
    fuse_req_t req;
    struct ops *ops;
    struct handle *handle; // a reference
    pid_t caller;          // its thread

    // Guarded by ops->lock.
    struct ops_reading *next;
    struct ops_reading **at; // NULL once it is about to be answered
    unsigned references;     // the answer's, and that of who looks whether it was interrupted
    bool was_looked_at;
};

static void unref(struct ops_reading *reading)
{
    struct ops *ops = reading->ops;
    pthread_mutex_lock(&ops->lock);
    bool is_last = --reading->references == 0;
    pthread_mutex_unlock(&ops->lock);
    if (!is_last)
        return;
    handle_unref(ops->handles, reading->handle);
    free(reading);
    pthread_mutex_lock(&ops->lock);
    ops->leaving--;
    if (ops->is_stopping)
        pthread_cond_broadcast(&ops->has_parked_changed);
    pthread_mutex_unlock(&ops->lock);
}

static void unlist(struct ops_reading *reading)
{
    pthread_mutex_lock(&reading->ops->lock);
    *reading->at = reading->next;
    if (reading->next)
        reading->next->at = reading->at;
    reading->at = NULL;
    reading->ops->leaving++;
    pthread_mutex_unlock(&reading->ops->lock);
}

static void answer(struct read *read, const char *bytes, const struct err *err)
{
    struct ops_reading *reading = (struct ops_reading *)read;
    const struct inode *inode = reading->handle->inode;
    unlist(reading);
    if (err && err->errnum == ESTALE) // the next look finds the other version
        tree_forget(reading->ops->service->tree, inode->directory);
    if (err)
        ops_refuse(reading->req, "reading failed", err, inode->directory, inode->name);
    else
        fuse_reply_buf(reading->req, bytes, read->size);
    unref(reading);
}

static void interrupt(struct ops_reading *reading)
{
    struct err err = {0};
    err_set(&err, EINTR, "cancelled");
    if (reader_abandon(reading->handle->reader, &reading->read))
        answer(&reading->read, NULL, &err);
}

static bool list(struct ops_reading *reading)
{
    struct ops *ops = reading->ops;
    pthread_mutex_lock(&ops->lock);
    bool is_stopping = ops->is_stopping;
    if (!is_stopping) {
        if (!ops->readings)
            pthread_cond_signal(&ops->has_watched);
        reading->next = ops->readings;
        reading->at = &ops->readings;
        if (ops->readings)
            ops->readings->at = &reading->next;
        ops->readings = reading;
    }
    pthread_mutex_unlock(&ops->lock);
    return !is_stopping;
}

void ops_read_object(fuse_req_t req, struct handle *handle, size_t size, off_t offset)
{
    struct ops *ops = ops_of(req);
    struct ops_reading *reading = calloc(1, sizeof(*reading));
    if (!reading) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    reading->read = (struct read){.offset = (uint64_t)offset, .size = size, .answer = answer};
    reading->req = req;
    reading->ops = ops;
    reading->caller = fuse_req_ctx(req)->pid;
    reading->references = 1;
    reading->handle = handle_ref(ops->handles, handle);
    if (!list(reading)) {
        handle_unref(ops->handles, handle);
        free(reading);
        fuse_reply_err(req, EINTR);
        return;
    }
    reader_read(handle->reader, &reading->read);
}

// One that was interrupted, with a reference; or NULL. While it is listed, its request stands.
static struct ops_reading *next_interrupted(struct ops *ops)
{
    pthread_mutex_lock(&ops->lock);
    struct ops_reading *reading = ops->readings;
    while (reading &&
           (reading->was_looked_at || !(ops->is_stopping || fuse_req_interrupted(reading->req))))
        reading = reading->next;
    if (reading) {
        reading->was_looked_at = true;
        reading->references++;
    }
    pthread_mutex_unlock(&ops->lock);
    return reading;
}

void ops_end_readings(struct ops *ops)
{
    pthread_mutex_lock(&ops->lock);
    bool is_stopping = ops->is_stopping;
    for (struct ops_reading *reading = ops->readings; reading; reading = reading->next)
        reading->was_looked_at = false;
    pthread_mutex_unlock(&ops->lock);
    struct ops_reading *reading;
    while ((reading = next_interrupted(ops))) {
        if (is_stopping || caller_wants_out(reading->caller))
            interrupt(reading);
        unref(reading);
    }
}
