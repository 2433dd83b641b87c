// Ranges in, replies out.
#include "copy_private.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- the engine --------------------------------------------------------------------------------

int copy_engine_new(struct store_place *place, struct upload_engine *uploads,
                    struct copy_engine **ret_engine, struct err *err)
{
    struct copy_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return err_no_memory(err);
    engine->place = place;
    engine->uploads = uploads;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->has_ended, NULL);
    if (workers_new("copy", place->parallel, &engine->workers, err) < 0) {
        copy_engine_free(engine);
        return -err->errnum;
    }
    *ret_engine = engine;
    return 0;
}

void copy_engine_free(struct copy_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    for (struct copy *copy = engine->first; copy; copy = copy->next)
        call_cancel(&copy->call);
    while (engine->first)
        pthread_cond_wait(&engine->has_ended, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
    workers_free(engine->workers);
    pthread_cond_destroy(&engine->has_ended);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

// ---- one copy's life ---------------------------------------------------------------------------

static void copy_free(struct copy *copy)
{
    struct copy_engine *engine = copy->engine;
    write_intent_free(copy->intent);
    s3_head_done(&copy->source_head);
    record_free(copy->source_record);
    pthread_mutex_destroy(&copy->lock);
    free(copy->parts);
    free(copy->movers);
    free((char *)copy->source.key);
    free((char *)copy->source.etag);
    free(copy->key);
    free(copy->directory);
    free(copy->name);
    pthread_mutex_lock(&engine->lock);
    if (copy->at) {
        *copy->at = copy->next;
        if (copy->next)
            copy->next->at = copy->at;
    }
    free(copy);
    pthread_cond_broadcast(&engine->has_ended);
    pthread_mutex_unlock(&engine->lock);
}

static void log_retry(void *context, const struct err *cause, int64_t delay_ms)
{
    (void)delay_ms;
    const struct copy *copy = context;
    log_err(LOG_LEVEL_WARN, "trying again", cause, "key", copy->key, NULL);
}

// ---- what comes next ---------------------------------------------------------------------------

static void fail_locked(struct copy *copy, const struct err *err)
{
    if (copy->err.errnum || copy->phase == COPY_DONE)
        return;
    copy->err = *err;
    call_cancel(&copy->call);
}

// Whoever changed something looks at what may happen now. Unlocks; may free the copy.
static void go_on_and_unlock(struct copy *copy)
{
    writer_reply reply = NULL;
    void *context = copy->context;
    int error = -copy->err.errnum;
    if (copy->phase == COPY_DONE)
        reply = TAKE(copy->reply);
    bool is_over = copy->is_released && copy->phase == COPY_DONE && !copy->running;
    pthread_mutex_unlock(&copy->lock);
    if (reply)
        reply(context, error);
    if (is_over)
        copy_free(copy);
}

void copy_fail(struct copy *copy, const struct err *err)
{
    pthread_mutex_lock(&copy->lock);
    fail_locked(copy, err);
    pthread_mutex_unlock(&copy->lock);
}

bool copy_has_failed(struct copy *copy)
{
    pthread_mutex_lock(&copy->lock);
    bool has_failed = copy->err.errnum != 0;
    pthread_mutex_unlock(&copy->lock);
    return has_failed;
}

void copy_is_done(struct copy *copy)
{
    pthread_mutex_lock(&copy->lock);
    copy->phase = COPY_DONE;
    pthread_mutex_unlock(&copy->lock);
}

void copy_task_ended(struct copy *copy)
{
    pthread_mutex_lock(&copy->lock);
    copy->running--;
    go_on_and_unlock(copy);
}

static void start_locked(struct copy *copy, struct task *task, void (*run)(struct task *task))
{
    copy->running++;
    task->run = run;
    workers_add(copy->engine->workers, &copy->lane, task);
}

void copy_start(struct copy *copy, struct task *task, void (*run)(struct task *task))
{
    pthread_mutex_lock(&copy->lock);
    start_locked(copy, task, run);
    pthread_mutex_unlock(&copy->lock);
}

// ---- requests ----------------------------------------------------------------------------------

static bool is_whole_locked(const struct copy *copy)
{
    return copy->taken_bytes == copy->source.size_bytes;
}

static bool is_source(const struct copy *copy, const struct writer_source *source)
{
    return strcmp(copy->source.key, source->key) == 0 &&
           strcmp(copy->source.etag, source->etag) == 0;
}

static int take_copy(struct writer *writer, const struct writer_source *source,
                     uint64_t from_offset, uint64_t to_offset, uint64_t size)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    pthread_mutex_lock(&copy->lock);
    int error = 0;
    if (copy->err.errnum)
        error = -copy->err.errnum;
    else if (copy->phase == COPY_RUNNING || copy->phase == COPY_DONE)
        error = -EIO;
    else if (copy->phase == COPY_POURED || copy->is_pouring || !is_source(copy, source) ||
             from_offset != to_offset || to_offset != copy->taken_bytes ||
             size > copy->source.size_bytes - from_offset)
        error = -EOPNOTSUPP;
    else
        copy->taken_bytes += size;
    pthread_mutex_unlock(&copy->lock);
    return error;
}

static int prepare(struct writer *writer, struct call *call, bool is_write, struct err *err)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    pthread_mutex_lock(&copy->lock);
    bool is_wanted = copy->phase == COPY_TAKING && !copy->err.errnum && copy->taken_bytes > 0 &&
                     (is_write || !is_whole_locked(copy));
    if (is_wanted && copy->is_pouring) {
        pthread_mutex_unlock(&copy->lock);
        return err_set(err, EBUSY, "another thread writes to it");
    }
    copy->is_pouring |= is_wanted;
    pthread_mutex_unlock(&copy->lock);
    return is_wanted ? copy_pour(copy, call, err) : 0;
}

// The upload that has taken over, or NULL.
static struct writer *poured(struct copy *copy)
{
    pthread_mutex_lock(&copy->lock);
    struct writer *bytes = copy->bytes;
    pthread_mutex_unlock(&copy->lock);
    return bytes;
}

static void take_write(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                       writer_reply reply, void *context)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    struct writer *upload = poured(copy);
    if (upload) {
        writer_write(upload, offset, bytes, size, reply, context);
        return;
    }
    // writer_prepare came before: it was closed, and is stored.
    pthread_mutex_lock(&copy->lock);
    int error = copy->err.errnum ? -copy->err.errnum : -EIO;
    pthread_mutex_unlock(&copy->lock);
    reply(context, error);
}

static void take_flush(struct writer *writer, enum writer_flush how, writer_reply reply,
                       void *context)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    struct writer *upload = poured(copy);
    struct err err;
    if (upload) {
        writer_flush(upload, how, reply, context);
        return;
    }
    pthread_mutex_lock(&copy->lock);
    if (how == WRITER_CLOSE_KILLED && copy->phase == COPY_TAKING) {
        err_set(&err, ECANCELED, "the process that copied it was killed");
        fail_locked(copy, &err);
        copy->phase = COPY_RUNNING;
        start_locked(copy, &copy->task, copy_run_end);
    }
    bool completes = (how == WRITER_SYNC || how == WRITER_CLOSE) && copy->phase == COPY_TAKING &&
                     !copy->err.errnum && copy->taken_bytes && is_whole_locked(copy);
    // Whoever is told of a failure finds no upload left.
    bool is_being_undone = copy->phase == COPY_RUNNING && copy->err.errnum;
    bool waits = completes || (is_being_undone && !copy->reply && how != WRITER_CLOSE_KILLED);
    int error = -copy->err.errnum;
    if (waits) {
        copy->reply = reply;
        copy->context = context;
    }
    if (completes) {
        copy->phase = COPY_RUNNING;
        start_locked(copy, &copy->task, copy_run_begin);
    }
    go_on_and_unlock(copy);
    if (!waits)
        reply(context, error);
}

static void take_interrupt(struct writer *writer, void *context, int error)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    struct writer *upload = poured(copy);
    struct err err;
    if (upload) {
        writer_interrupt(upload, context, error);
        return;
    }
    writer_reply reply = NULL;
    pthread_mutex_lock(&copy->lock);
    if (copy->reply && copy->context == context) {
        reply = TAKE(copy->reply);
        err_set(&err, -error, "cancelled");
        fail_locked(copy, &err);
    }
    go_on_and_unlock(copy);
    if (reply)
        reply(context, error);
}

static void take_release(struct writer *writer, bool is_abandoned)
{
    struct copy *copy = CONTAINER_OF(writer, struct copy, writer);
    struct err err;
    struct writer *upload;
    pthread_mutex_lock(&copy->lock);
    copy->is_released = true;
    upload = TAKE(copy->bytes);
    if (copy->phase == COPY_POURED ||
        (copy->phase == COPY_TAKING && (copy->err.errnum || !copy->taken_bytes))) {
        copy->phase = COPY_DONE;
    } else if (copy->phase == COPY_TAKING && is_abandoned) {
        err_set(&err, ECANCELED, "the mount ended before it was closed");
        fail_locked(copy, &err);
        copy->phase = COPY_RUNNING;
        start_locked(copy, &copy->task, copy_run_end);
    } else if (copy->phase == COPY_TAKING && is_whole_locked(copy)) {
        copy->phase = COPY_RUNNING;
        start_locked(copy, &copy->task, copy_run_begin);
    } else if (copy->phase == COPY_TAKING) {
        copy->is_pouring = true;
        start_locked(copy, &copy->task, copy_run_pour);
    }
    go_on_and_unlock(copy);
    if (upload)
        writer_release(upload, is_abandoned);
}

// ---- making one --------------------------------------------------------------------------------

static const struct writer_methods methods = {
    .write = take_write,
    .flush = take_flush,
    .interrupt = take_interrupt,
    .release = take_release,
    .copy = take_copy,
    .prepare = prepare,
};

static int fill(struct copy *copy, const struct copy_request *request, struct err *err)
{
    const struct store_place *place = copy->engine->place;
    copy->who = request->who;
    copy->directory = strdup(request->directory);
    copy->name = strdup(request->name);
    copy->key = tree_key(place->tree, request->directory, request->name);
    copy->source = (struct writer_source){strdup(request->source.key), strdup(request->source.etag),
                                          request->source.size_bytes};
    copy->movers = calloc((size_t)place->parallel, sizeof(*copy->movers));
    if (!copy->directory || !copy->name || !copy->key || !copy->source.key || !copy->source.etag ||
        !copy->movers)
        return err_no_memory(err);
    if (write_intent_new(place->intents, request->directory, &copy->intent, err) < 0 ||
        write_intent_add(copy->intent, request->name, err) < 0)
        return -err->errnum;
    return 0;
}

int copy_new(struct copy_engine *engine, const struct copy_request *request,
             struct writer **ret_writer, struct err *err)
{
    struct copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return err_no_memory(err);
    copy->engine = engine;
    copy->writer.methods = &methods;
    pthread_mutex_init(&copy->lock, NULL);
    call_init(&copy->call, engine->place->clock);
    call_init(&copy->closing_call, engine->place->clock);
    copy->call.on_retry = copy->closing_call.on_retry = log_retry;
    copy->call.context = copy->closing_call.context = copy;
    if (fill(copy, request, err) < 0) {
        copy_free(copy);
        return -err->errnum;
    }
    pthread_mutex_lock(&engine->lock);
    copy->next = engine->first;
    copy->at = &engine->first;
    if (engine->first)
        engine->first->at = &copy->next;
    engine->first = copy;
    pthread_mutex_unlock(&engine->lock);
    *ret_writer = &copy->writer;
    return 0;
}
