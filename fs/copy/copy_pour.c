// What was to be a copy and turned out to be something else: its source is read, and written into
// an upload.
#include "copy_private.h"

#include "../path.h"
#include "base/scope.h"

#include <errno.h>

// One write that waits for its answer.
struct pouring {
    struct writer *upload;
    struct call *call;
    uint64_t offset;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t is_answered;
    bool has_answer;
    int error;
};

static void answer(void *context, int error)
{
    struct pouring *pouring = context;
    pthread_mutex_lock(&pouring->lock);
    pouring->has_answer = true;
    pouring->error = error;
    pthread_cond_signal(&pouring->is_answered);
    pthread_mutex_unlock(&pouring->lock);
}

static int pour_bytes(void *context, const void *bytes, size_t size)
{
    struct pouring *pouring = context;
    pouring->has_answer = false;
    writer_write(pouring->upload, pouring->offset, bytes, size, answer, pouring);
    bool is_interrupted = false;
    pthread_mutex_lock(&pouring->lock);
    while (!pouring->has_answer) {
        if (is_interrupted) {
            pthread_cond_wait(&pouring->is_answered, &pouring->lock);
        } else if (!call_wait(pouring->call, &pouring->is_answered, &pouring->lock)) {
            is_interrupted = true;
            pthread_mutex_unlock(&pouring->lock);
            writer_interrupt(pouring->upload, pouring, -EINTR);
            pthread_mutex_lock(&pouring->lock);
        }
    }
    int error = pouring->error;
    pthread_mutex_unlock(&pouring->lock);
    pouring->offset += size;
    return error;
}

static int pour_into(struct copy *copy, struct call *call, struct writer *upload, struct err *err)
{
    struct pouring pouring = {.upload = upload, .call = call};
    pthread_mutex_init(&pouring.lock, NULL);
    call_wait_init(&pouring.is_answered);
    int error = s3_object_read(copy->engine->place->client, call, copy->source.key,
                               copy->source.etag, 0, copy->taken_bytes, pour_bytes, &pouring, err);
    if (error < 0 && !err->errnum) // the upload's own, which has said why
        err_set(err, -error, "its bytes could not be stored");
    pthread_cond_destroy(&pouring.is_answered);
    pthread_mutex_destroy(&pouring.lock);
    return error;
}

// is_pouring is set: nobody changes taken_bytes meanwhile.
int copy_pour(struct copy *copy, struct call *call, struct err *err)
{
    const struct upload_request request = {
        .directory = copy->directory,
        .name = copy->name,
        .who = copy->who,
        .is_fresh = true,
    };
    struct writer *upload = NULL;
    int error = upload_new(copy->engine->uploads, &request, &upload, err);
    if (error == 0)
        error = pour_into(copy, call, upload, err);
    if (error < 0 && error != -EINTR)
        copy_fail(copy, err);
    pthread_mutex_lock(&copy->lock);
    copy->is_pouring = false;
    if (error == 0) {
        copy->phase = COPY_POURED;
        copy->bytes = TAKE(upload);
    }
    pthread_mutex_unlock(&copy->lock);
    if (upload)
        writer_release(upload, true);
    return error;
}

void copy_run_pour(struct task *task)
{
    struct copy *copy = CONTAINER_OF(task, struct copy, task);
    struct err err = {0};
    auto_free char *path = path_join(copy->directory, copy->name);
    if (copy_pour(copy, &copy->call, &err) < 0)
        audit_tell(LOG_LEVEL_WARN, "file not stored", &err,
                   &(struct audit){.act = "copy", .who = copy->who, .path = path});
    pthread_mutex_lock(&copy->lock);
    struct writer *upload = TAKE(copy->bytes);
    copy->phase = COPY_DONE;
    pthread_mutex_unlock(&copy->lock);
    if (upload)
        writer_release(upload, false);
    copy_task_ended(copy);
}
