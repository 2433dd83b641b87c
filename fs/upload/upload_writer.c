// What a program does with the file it writes: writes, flushes, interrupts, its last close.
#include "upload_private.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HOLE_BLOCK = 4096 }; // smaller ones no file system has

// ---- requests ----------------------------------------------------------------------------------

// Programs that copy holes leave them out in whole blocks, behind what they have written.
static bool is_hole_locked(const struct upload *upload, uint64_t end)
{
    return upload->size_bytes && upload->size_bytes % HOLE_BLOCK == 0 && end > upload->size_bytes &&
           end <= S3_OBJECT_SIZE_MAX;
}

static bool is_taking_locked(const struct upload *upload)
{
    return upload->phase == UPLOAD_TAKING && !upload->is_closing;
}

// 0: the bytes are to be taken; 1: they were before; -errno.
static int check_write_locked(struct upload *upload, uint64_t offset, struct err *err)
{
    if (upload_has_failed_locked(upload))
        return -upload->err.errnum;
    if (!is_taking_locked(upload))
        return err_set(
            err, EIO,
            "%s was stored when the process that opened it closed it, or asked for it to "
            "be durable (fsync); what is written afterwards has no place to go",
            upload->name);
    if (upload->write.reply)
        return -EBUSY;
    if (offset != upload->size_bytes &&
        !(is_hole_locked(upload, offset) && offset % HOLE_BLOCK == 0))
        return err_set(err, EOPNOTSUPP,
                       "%s is to be written from its beginning to its end: a write at byte %llu "
                       "came when %llu were there",
                       upload->name, (unsigned long long)offset,
                       (unsigned long long)upload->size_bytes);
    return 0;
}

// Of a file that is stored: its own failures are told of in the end, and that has passed.
static void tell_late(const struct upload *upload, const struct err *err)
{
    log_err(LOG_LEVEL_WARN, "written too late", err, "key", upload->key, NULL);
    status_refused(upload->engine->place->status, upload->directory, upload->name, "-", err->text);
}

static void take_write(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                       writer_reply reply, void *context)
{
    struct upload *upload = CONTAINER_OF(writer, struct upload, writer);
    struct err err = {0};
    pthread_mutex_lock(&upload->lock);
    int error = check_write_locked(upload, offset, &err);
    bool is_late = error == -EIO && err.errnum && !upload->is_late_told;
    upload->is_late_told |= is_late;
    uint8_t *copy = malloc(size ? size : 1);
    if (error == 0 && !copy)
        error = err_no_memory(&err);
    if (err.errnum)
        upload_fail_locked(upload, &err);
    if (error < 0) {
        free(copy);
    } else if (copy) {
        memcpy(copy, bytes, size);
        upload->write.reply = reply;
        upload->write.context = context;
        upload->write.bytes = copy;
        upload->write.size = size;
        upload->write.offset = offset;
        upload->write.is_behind_hole = offset > upload->size_bytes;
        upload->write.is_taken = false;
    }
    upload_go_on_and_unlock(upload);
    if (is_late)
        tell_late(upload, &err);
    if (error < 0)
        reply(context, error);
}

// A shell closes its copy of a descriptor before the child writes: then there is nothing yet.
static bool is_complete_now_locked(const struct upload *upload, enum writer_flush how)
{
    return (how == WRITER_SYNC || how == WRITER_CLOSE) && is_taking_locked(upload) &&
           !upload->write.reply && !upload_has_failed_locked(upload) &&
           (upload->size_bytes || upload->is_touched);
}

static void take_flush(struct writer *writer, enum writer_flush how, writer_reply reply,
                       void *context)
{
    struct upload *upload = CONTAINER_OF(writer, struct upload, writer);
    struct err err;
    pthread_mutex_lock(&upload->lock);
    if (how == WRITER_CLOSE_KILLED && is_taking_locked(upload)) {
        err_set(&err, ECANCELED, "the process that wrote it was killed");
        upload_fail_locked(upload, &err);
    }
    bool completes = is_complete_now_locked(upload, how);
    // Whoever is told of a failure finds it in status.tsv, and no upload left.
    bool is_being_undone = upload_has_failed_locked(upload) && upload->phase != UPLOAD_DONE &&
                           how != WRITER_CLOSE_KILLED;
    bool waits = (completes || is_being_undone) && !upload->flush.reply;
    int error = -upload->err.errnum;
    if (completes)
        upload->is_closing = true;
    if (waits) {
        upload->flush.reply = reply;
        upload->flush.context = context;
    }
    upload_go_on_and_unlock(upload);
    if (!waits)
        reply(context, error);
}

static void take_interrupt(struct writer *writer, void *context, int error)
{
    struct upload *upload = CONTAINER_OF(writer, struct upload, writer);
    struct err err;
    writer_reply reply = NULL;
    pthread_mutex_lock(&upload->lock);
    if (upload->write.reply && upload->write.context == context) {
        reply = upload->write.reply;
        free(upload->write.bytes);
        // Its hole may have been taken already.
        if (upload->write.is_behind_hole) {
            err_set(&err, -error, "cancelled");
            upload_fail_locked(upload, &err);
        }
        memset(&upload->write, 0, sizeof(upload->write));
    } else if (upload->flush.reply && upload->flush.context == context) {
        reply = upload->flush.reply;
        memset(&upload->flush, 0, sizeof(upload->flush));
        err_set(&err, -error, "cancelled");
        upload_fail_locked(upload, &err);
    }
    upload_go_on_and_unlock(upload);
    if (reply)
        reply(context, error);
}

static void take_release(struct writer *writer, bool is_abandoned)
{
    struct upload *upload = CONTAINER_OF(writer, struct upload, writer);
    struct err err;
    pthread_mutex_lock(&upload->lock);
    upload->is_released = true;
    bool is_wanted = upload->size_bytes || upload->is_fresh;
    if (is_abandoned && is_wanted && is_taking_locked(upload)) {
        err_set(&err, ECANCELED, "it was given up before it was closed");
        upload_fail_locked(upload, &err);
    } else if (is_taking_locked(upload) && !upload_has_failed_locked(upload)) {
        if (is_wanted)
            upload->is_closing = true;
        else
            upload->phase = UPLOAD_DONE;
    }
    upload_go_on_and_unlock(upload);
}

static int take_size(struct writer *writer, uint64_t size)
{
    struct upload *upload = CONTAINER_OF(writer, struct upload, writer);
    struct err err;
    pthread_mutex_lock(&upload->lock);
    int error = upload_has_failed_locked(upload) ? -upload->err.errnum : 0;
    if (error == 0 && (!is_taking_locked(upload) || upload_has_write_locked(upload))) {
        error = -EBUSY;
    } else if (error == 0 && (size == upload->size_bytes || is_hole_locked(upload, size))) {
        upload->grown_bytes = size;
    } else if (error == 0) { // stored as it is it would be another file than was meant
        error = err_set(&err, EOPNOTSUPP, "what has been written of %s cannot be taken back",
                        upload->name);
        upload_fail_locked(upload, &err);
    }
    upload_go_on_and_unlock(upload);
    return error;
}

// ---- making one --------------------------------------------------------------------------------

static const struct writer_methods methods = {
    .write = take_write,
    .resize = take_size,
    .flush = take_flush,
    .interrupt = take_interrupt,
    .release = take_release,
};

static void log_retry(void *context, const struct err *cause, int64_t delay_ms)
{
    (void)delay_ms;
    const struct upload *upload = context;
    log_err(LOG_LEVEL_WARN, "trying again", cause, "key", upload->key, NULL);
}

int upload_new(struct upload_engine *engine, const struct upload_request *request,
               struct writer **ret_writer, struct err *err)
{
    struct upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return err_no_memory(err);
    engine_hold(engine);
    upload->engine = engine;
    upload->writer.methods = &methods;
    upload->is_fresh = request->is_fresh;
    upload->is_last = request->is_last;
    upload->who = request->who;
    sha256_init(&upload->sha256);
    upload->is_touched = request->is_touched;
    upload->is_exclusive = request->is_exclusive;
    upload->is_read_too = request->is_read_too;
    pthread_mutex_init(&upload->lock, NULL);
    call_init(&upload->call, engine->place->clock);
    call_init(&upload->closing_call, engine->place->clock);
    upload->call.on_retry = upload->closing_call.on_retry = log_retry;
    upload->call.context = upload->closing_call.context = upload;
    upload->directory = strdup(request->directory);
    upload->name = strdup(request->name);
    upload->key = tree_key(engine->place->tree, request->directory, request->name);
    if (!upload->directory || !upload->name || !upload->key) {
        upload_free(upload);
        return err_no_memory(err);
    }
    if (write_intent_new(engine->place->intents, request->directory, &upload->intent, err) < 0 ||
        write_intent_add(upload->intent, request->name, err) < 0) {
        upload_free(upload);
        return -err->errnum;
    }
    engine_remember(upload);
    *ret_writer = &upload->writer;
    return 0;
}
