#include "publish.h"

#include "base/log.h"
#include "base/scope.h"
#include "image.h"
#include "pump.h"

#include "../path.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONTROL_THREADS = 16, // steps that ask a question or two: resolve, complete, abort
    HASHER_THREADS_MAX = 8,
};

struct publish_engine {
    struct publish_engine_options options;
    struct workers *control;
    struct workers *transfers;
    struct workers *hashers;

    pthread_mutex_t lock; // guards what follows
    pthread_cond_t has_ended;
    struct publish *first; // all that have not ended
    bool is_stopping;
};

// Who moves next: the images' own tasks, until all of them have reported for the phase.
enum publish_phase {
    PUBLISH_MOVING,     // each image is prepared, moved and verified, side by side
    PUBLISH_COMPLETING, // all were verified: each becomes visible
    PUBLISH_STORING,    // the reference file itself
    PUBLISH_UNDOING,    // something failed: what was begun is aborted
};

struct publish_image {
    struct task task;
    struct publish *publish;
    struct image image;
};

struct publish {
    struct publish_engine *engine;
    struct publish *next, **previous_next; // the engine's list, its lock
    atomic_int references;
    struct call call;         // everything up to completion; cancelled when one image fails
    struct call closing_call; // completing, undoing: not cancelled by failures
    struct image_place place;
    struct write_intent *intent;
    char *directory;
    char *file;
    char *file_bytes;
    size_t file_size;
    char *own_etag;
    char stored_etag[S3_ETAG_SIZE];
    uid_t uid;
    pid_t pid;
    void (*done)(void *context, int error, const struct err *err, const char *etag);
    void *context;

    struct reference_line *lines;
    struct publish_image *images;
    size_t image_count;
    struct task task; // steps of the publish as a whole

    pthread_mutex_t lock; // guards what follows
    enum publish_phase phase;
    size_t reports_left; // images that still have to report for this phase
    bool is_user_cancelled;
    struct err err;   // the first failure in time
    size_t failed_at; // the image it came from
};

static void report(struct publish *publish);
static void start_phase(struct publish *publish, enum publish_phase phase);

// ---- failures ----------------------------------------------------------------------------------

static void note_failure(struct publish *publish, size_t image_index, const struct err *err)
{
    pthread_mutex_lock(&publish->lock);
    bool is_first = publish->err.errnum == 0;
    if (is_first) {
        publish->err = *err;
        publish->failed_at = image_index;
        if (publish->is_user_cancelled)
            err_set(&publish->err, EINTR, "cancelled");
    }
    pthread_mutex_unlock(&publish->lock);
    if (is_first)
        call_cancel(&publish->call); // all or none: its siblings move in vain
}

static bool has_failed(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    bool has = publish->err.errnum != 0;
    pthread_mutex_unlock(&publish->lock);
    return has;
}

static void log_retry(void *context, const struct err *cause, int64_t delay_ms)
{
    const struct publish *publish = context;
    char delay[32];
    snprintf(delay, sizeof(delay), "%" PRId64, delay_ms);
    log_err(LOG_LEVEL_WARN, "trying again", cause, "directory", publish->directory, "file",
            publish->file, "delay_ms", delay, NULL);
}

// ---- an image's steps, on control workers
// --------------------------------------------------------

static void pump_failed(void *context, const struct err *err)
{
    struct publish_image *own = context;
    note_failure(own->publish, (size_t)(own - own->publish->images), err);
}

static void run_check_sources(struct task *task);
static void run_start_over(struct task *task);

static void continue_with(struct publish_image *own, void (*run)(struct task *task))
{
    own->task.run = run;
    workers_add(own->publish->engine->control, &own->task);
}

// A second try without copies.
static void say_stale(const struct publish_image *own, const struct err *cause)
{
    log_err(LOG_LEVEL_WARN, "layers cannot be copied inside the bucket, all are moved", cause,
            "key", own->image.key, NULL);
}

static void pump_ended(void *context, struct pump *pump)
{
    struct publish_image *own = context;
    const struct err *err = pump_error(pump);
    if (!err && own->image.plan->copy_bytes) {
        continue_with(own, run_check_sources);
    } else if (err && pump_is_stale(pump)) {
        say_stale(own, err);
        continue_with(own, run_start_over);
    } else {
        if (err) {
            pump_failed(own, err);
            pump_free(TAKE(own->image.pump)); // its buffers are wanted elsewhere
        }
        report(own->publish);
    }
}

// Prepares the image and starts its pump, which reports when it has ended.
static int begin_moving(struct publish_image *own, struct err *err)
{
    struct publish *publish = own->publish;
    struct publish_engine *engine = publish->engine;
    struct image *image = &own->image;
    if (image_prepare(image, &publish->call, err) < 0)
        return -err->errnum;
    if (image->is_unchanged) {
        report(publish);
        return 0;
    }
    const struct pump_options options = {
        .transfers = engine->transfers,
        .hashers = engine->hashers,
        .memory = engine->options.memory,
        .client = engine->options.client,
        .registry = engine->options.registry,
        .image = image->resolved,
        .archive = image->archive,
        .plan = image->plan,
        .runs = &image->runs,
        .upload = &image->upload,
        .call = &publish->call,
        .status = image->status,
        .failed = pump_failed,
        .ended = pump_ended,
        .context = own,
    };
    if (pump_new(&options, &image->pump, err) < 0)
        return -err->errnum;
    pump_start(image->pump);
    return 0;
}

static void run_move(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    if (has_failed(publish)) {
        report(publish);
    } else if (begin_moving(own, &err) < 0) {
        note_failure(publish, (size_t)(own - publish->images), &err);
        report(publish);
    }
}

static void run_check_sources(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    int error = image_check_sources(&own->image, &publish->call, &err);
    if (error == -ESTALE) {
        say_stale(own, &err);
        run_start_over(task);
        return;
    }
    if (error < 0)
        note_failure(publish, (size_t)(own - publish->images), &err);
    report(publish);
}

static void run_start_over(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    status_row_restart(own->image.status);
    if (image_start_over(&own->image, &publish->closing_call, &err) < 0)
        log_err(LOG_LEVEL_WARN, "an upload could not be aborted", &err, "key", own->image.key,
                NULL);
    run_move(task);
}

static void run_complete(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    if (!own->image.is_unchanged && image_complete(&own->image, &publish->closing_call, &err) < 0)
        note_failure(publish, (size_t)(own - publish->images), &err);
    report(publish);
}

static void run_undo(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    if (image_undo(&own->image, &publish->closing_call, &err) < 0)
        log_err(LOG_LEVEL_WARN,
                "an upload could not be aborted: the bucket's lifecycle rule will have to", &err,
                "key", own->image.key, NULL);
    report(publish);
}

// ---- the reference file
// --------------------------------------------------------------------------

static char *file_key(const struct publish *publish)
{
    return tree_key(publish->engine->options.tree, publish->directory, publish->file);
}

static bool is_release(const struct publish *publish)
{
    return path_is_under_releases(publish->directory);
}

// Under releases/ nothing is replaced: a reference file that stands there must be this handle's
// own.
static int check_release_file(struct publish *publish, struct call *call, bool *ret_is_same,
                              struct err *err)
{
    *ret_is_same = false;
    auto_free char *key = file_key(publish);
    if (!key)
        return err_no_memory(err);
    auto_buf struct buf present = BUF_INIT(REFERENCE_FILE_LIMIT);
    char etag[S3_ETAG_SIZE];
    int error = s3_object_get(publish->engine->options.client, call, key, REFERENCE_FILE_LIMIT,
                              &present, etag, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0 && error != -EFBIG)
        return error;
    *ret_is_same = error == 0 && present.size == publish->file_size &&
                   memcmp(buf_text(&present), publish->file_bytes, present.size) == 0;
    if (*ret_is_same || (publish->own_etag && strcmp(publish->own_etag, etag) == 0))
        return 0;
    return err_set(err, EEXIST,
                   "%s is there already with other lines, and nothing under releases/ is ever "
                   "replaced: choose another name for the reference file",
                   publish->file);
}

static int store_file(struct publish *publish, struct err *err)
{
    auto_free char *key = file_key(publish);
    if (!key)
        return err_no_memory(err);
    bool is_same = false;
    if (is_release(publish) &&
        check_release_file(publish, &publish->closing_call, &is_same, err) < 0)
        return -err->errnum;
    if (is_same)
        return 0;
    const struct http_piece body = {publish->file_bytes, publish->file_size};
    const struct s3_put put = {
        .key = key,
        .body = &body,
        .body_count = 1,
        .content_type = "text/plain; charset=utf-8",
        .condition =
            is_release(publish) && !publish->own_etag ? S3_CONDITION_ABSENT : S3_CONDITION_NONE,
    };
    if (s3_object_put(publish->engine->options.client, &publish->closing_call, &put,
                      publish->stored_etag, err) < 0)
        return err_wrap(err, "the images are published, but storing %s failed", publish->file);
    return 0;
}

// ---- phases
// --------------------------------------------------------------------------------------

static void run_begin(struct task *task)
{
    struct publish *publish = CONTAINER_OF(task, struct publish, task);
    struct err err = {0};
    bool is_same;
    if (is_release(publish) && check_release_file(publish, &publish->call, &is_same, &err) < 0)
        note_failure(publish, 0, &err);
    start_phase(publish, has_failed(publish) ? PUBLISH_UNDOING : PUBLISH_MOVING);
}

static void end(struct publish *publish);

static void run_store(struct task *task)
{
    struct publish *publish = CONTAINER_OF(task, struct publish, task);
    struct err err = {0};
    if (store_file(publish, &err) < 0) {
        note_failure(publish, 0, &err);
        status_refused(publish->engine->options.status, publish->directory, publish->file, "-",
                       err.text);
        log_err(LOG_LEVEL_ERROR, "reference file not stored", &err, "directory", publish->directory,
                "file", publish->file, NULL);
    }
    end(publish);
}

static void (*const phase_runs[])(struct task *) = {
    [PUBLISH_MOVING] = run_move,
    [PUBLISH_COMPLETING] = run_complete,
    [PUBLISH_UNDOING] = run_undo,
};

// Sets every image to work for the phase; the last to report looks at what comes next.
static void start_phase(struct publish *publish, enum publish_phase phase)
{
    struct workers *control = publish->engine->control;
    pthread_mutex_lock(&publish->lock);
    publish->phase = phase;
    publish->reports_left = publish->image_count + 1; // and this one, below
    pthread_mutex_unlock(&publish->lock);
    if (phase == PUBLISH_STORING) {
        publish->task.run = run_store;
        workers_add(control, &publish->task);
        return;
    }
    for (size_t i = 0; i < publish->image_count; i++) {
        publish->images[i].task.run = phase_runs[phase];
        workers_add(control, &publish->images[i].task);
    }
    report(publish);
}

// Nobody cancels what completes: the point of no return.
static bool may_complete(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    if (publish->is_user_cancelled && publish->err.errnum == 0)
        err_set(&publish->err, EINTR, "cancelled");
    bool may = publish->err.errnum == 0;
    if (may)
        publish->phase = PUBLISH_COMPLETING;
    pthread_mutex_unlock(&publish->lock);
    return may;
}

static bool has_uploads(const struct publish *publish)
{
    for (size_t i = 0; i < publish->image_count; i++)
        if (publish->images[i].image.has_upload)
            return true;
    return false;
}

// An image has done its share of the phase.
static void report(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    bool is_last = --publish->reports_left == 0;
    enum publish_phase phase = publish->phase;
    pthread_mutex_unlock(&publish->lock);
    if (!is_last)
        return;
    // What is left to undo where nothing failed had become needless: another host was faster with
    // the same image.
    bool must_undo = phase == PUBLISH_MOVING ? !may_complete(publish) : has_uploads(publish);
    if (phase != PUBLISH_UNDOING && (must_undo || has_failed(publish)))
        start_phase(publish, PUBLISH_UNDOING);
    else if (has_failed(publish))
        end(publish);
    else
        start_phase(publish, phase == PUBLISH_MOVING ? PUBLISH_COMPLETING : PUBLISH_STORING);
}

// ---- the end
// -------------------------------------------------------------------------------------

static void say_image(struct publish *publish, size_t index)
{
    struct publish_image *own = &publish->images[index];
    struct image *image = &own->image;
    const char *reference = image->line->reference.text;
    char bytes[32] = "0";
    if (image->archive)
        snprintf(bytes, sizeof(bytes), "%" PRIu64, image->archive->size_bytes);
    const char *zstd = image->resolved && image->resolved->has_zstd_layers
                           ? "its zstd layers need Docker 23 or newer to load"
                           : "";
    if (image->is_unchanged || image->is_published) {
        status_close(image->status, image->is_unchanged ? STATUS_UNCHANGED : STATUS_PUBLISHED,
                     zstd);
        log_event(LOG_LEVEL_INFO, image->is_unchanged ? "unchanged" : "published", "key",
                  image->key, "reference", reference, "bytes", bytes, "digest",
                  image->resolved->manifest.digest, NULL);
    } else if (publish->err.errnum == EINTR) {
        status_close(image->status, STATUS_CANCELLED, "cancelled by whoever wrote the file");
        log_event(LOG_LEVEL_INFO, "cancelled", "key", image->key, "reference", reference, NULL);
    } else if (index == publish->failed_at) {
        status_close(image->status, STATUS_FAILED, publish->err.text);
        log_err(LOG_LEVEL_ERROR, "not published", &publish->err, "key", image->key, "reference",
                reference, NULL);
    } else {
        struct err err;
        err_set(&err, ECANCELED, "not published because %s, of the same write, failed",
                publish->lines[publish->failed_at].name);
        status_close(image->status, STATUS_CANCELLED, err.text);
        log_err(LOG_LEVEL_ERROR, "not published", &err, "key", image->key, NULL);
    }
    image->status = NULL;
}

static void unlink_publish(struct publish *publish)
{
    struct publish_engine *engine = publish->engine;
    pthread_mutex_lock(&engine->lock);
    *publish->previous_next = publish->next;
    if (publish->next)
        publish->next->previous_next = publish->previous_next;
    pthread_cond_broadcast(&engine->has_ended);
    pthread_mutex_unlock(&engine->lock);
}

static void end(struct publish *publish)
{
    for (size_t i = 0; i < publish->image_count; i++)
        say_image(publish, i);
    tree_forget(publish->engine->options.tree, publish->directory);
    publish->done(publish->context, -publish->err.errnum, &publish->err, publish->stored_etag);
    write_intent_end(publish->intent, &publish->closing_call, has_uploads(publish));
    unlink_publish(publish);
    publish_unref(publish);
}

// ---- starting
// ------------------------------------------------------------------------------------

static int init_images(struct publish *publish, struct err *err)
{
    const struct publish_engine_options *options = &publish->engine->options;
    publish->images = calloc(publish->image_count + 1, sizeof(*publish->images));
    if (!publish->images)
        return err_no_memory(err);
    for (size_t i = 0; i < publish->image_count; i++) {
        struct image *image = &publish->images[i].image;
        publish->images[i].publish = publish;
        image->place = &publish->place;
        image->line = &publish->lines[i];
        image->key = tree_key(options->tree, publish->directory, image->line->name);
        image->status = image->key ? status_open(options->status, publish->directory,
                                                 image->line->name, image->line->reference.text)
                                   : NULL;
        if (!image->status)
            return err_no_memory(err);
        if (write_intent_add(publish->intent, image->line->name, err) < 0)
            return -err->errnum;
    }
    return 0;
}

static int init_publish(struct publish *publish, const struct publish_request *request,
                        struct err *err)
{
    struct publish_engine *engine = publish->engine;
    const struct publish_engine_options *options = &engine->options;
    atomic_init(&publish->references, 2); // the caller's and its own
    call_init(&publish->call, options->clock);
    call_init(&publish->closing_call, options->clock);
    publish->call.on_retry = publish->closing_call.on_retry = log_retry;
    publish->call.context = publish->closing_call.context = publish;
    pthread_mutex_init(&publish->lock, NULL);
    if (write_intent_new(options->intents, request->directory, &publish->intent, err) < 0)
        return -err->errnum;
    publish->place = (struct image_place){
        .client = options->client,
        .registry = options->registry,
        .records = options->records,
        .intent = publish->intent,
        .index = {.client = options->client, .prefix = tree_prefix(options->tree)},
        .clock = options->clock,
        .prefix = tree_prefix(options->tree),
        .memory_bytes = memory_ceiling(options->memory),
        .parallel = options->parallel,
        .may_overwrite = options->may_overwrite && !path_is_under_releases(request->directory),
        .publisher_uid = request->uid,
    };
    publish->directory = strdup(request->directory);
    publish->file = strdup(request->file);
    publish->file_bytes = malloc(request->file_size + 1);
    publish->own_etag = request->own_etag ? strdup(request->own_etag) : NULL;
    if (!publish->directory || !publish->file || !publish->file_bytes ||
        (request->own_etag && !publish->own_etag))
        return err_no_memory(err);
    memcpy(publish->file_bytes, request->file_bytes, request->file_size);
    publish->file_size = request->file_size;
    publish->uid = request->uid;
    publish->pid = request->pid;
    publish->done = request->done;
    publish->context = request->context;
    publish->task.run = run_begin;
    publish->lines = request->lines;
    publish->image_count = request->line_count;
    return init_images(publish, err);
}

static void free_publish(struct publish *publish)
{
    for (size_t i = 0; publish->images && i < publish->image_count; i++) {
        if (publish->images[i].image.status)
            status_close(publish->images[i].image.status, STATUS_FAILED, "out of memory");
        image_done(&publish->images[i].image);
    }
    free(publish->images);
    reference_lines_free(publish->lines, publish->image_count);
    free(publish->directory);
    free(publish->file);
    free(publish->file_bytes);
    free(publish->own_etag);
    write_intent_free(publish->intent);
    pthread_mutex_destroy(&publish->lock);
    free(publish);
}

int publish_start(struct publish_engine *engine, struct publish_request *request,
                  struct publish **ret_publish, struct err *err)
{
    struct publish *publish = calloc(1, sizeof(*publish));
    if (!publish)
        return err_no_memory(err);
    publish->engine = engine;
    if (init_publish(publish, request, err) < 0) {
        publish->lines = NULL; // still the caller's
        free_publish(publish);
        return -err->errnum;
    }
    pthread_mutex_lock(&engine->lock);
    bool is_stopping = engine->is_stopping;
    if (!is_stopping) {
        publish->next = engine->first;
        publish->previous_next = &engine->first;
        if (engine->first)
            engine->first->previous_next = &publish->next;
        engine->first = publish;
    }
    pthread_mutex_unlock(&engine->lock);
    if (is_stopping) {
        publish->lines = NULL;
        free_publish(publish);
        return err_set(err, EINTR, "the mount is being taken down");
    }
    *ret_publish = publish;
    workers_add(engine->control, &publish->task);
    return 0;
}

void publish_refuse(struct publish_engine *engine, const char *directory, const char *file,
                    const struct err *err)
{
    status_refused(engine->options.status, directory, file, "-", err->text);
    log_err(LOG_LEVEL_ERROR, "refused", err, "directory", directory, "file", file, NULL);
}

void publish_cancel(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    bool cancels = publish->phase == PUBLISH_MOVING;
    publish->is_user_cancelled |= cancels;
    pthread_mutex_unlock(&publish->lock);
    if (cancels)
        call_cancel(&publish->call);
}

void publish_unref(struct publish *publish)
{
    if (publish && atomic_fetch_sub(&publish->references, 1) == 1)
        free_publish(publish);
}

// ---- the engine
// ----------------------------------------------------------------------------------

int publish_engine_new(const struct publish_engine_options *options,
                       struct publish_engine **ret_engine, struct err *err)
{
    struct publish_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return err_no_memory(err);
    engine->options = *options;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->has_ended, NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int hashers = cores < 1 ? 1 : cores > HASHER_THREADS_MAX ? HASHER_THREADS_MAX : (int)cores;
    if (workers_new("control", CONTROL_THREADS, &engine->control, err) < 0 ||
        workers_new("transfer", options->parallel, &engine->transfers, err) < 0 ||
        workers_new("hash", hashers, &engine->hashers, err) < 0) {
        publish_engine_free(engine);
        return -err->errnum;
    }
    *ret_engine = engine;
    return 0;
}

const struct reference_defaults *publish_engine_defaults(const struct publish_engine *engine)
{
    return &engine->options.defaults;
}

void publish_engine_free(struct publish_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->is_stopping = true;
    for (struct publish *publish = engine->first; publish; publish = publish->next)
        publish_cancel(publish);
    while (engine->first)
        pthread_cond_wait(&engine->has_ended, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
    workers_free(engine->control);
    workers_free(engine->transfers);
    workers_free(engine->hashers);
    pthread_cond_destroy(&engine->has_ended);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
