// A publish's life: made, started, cancelled, freed; and the engine's.
#include "publish_private.h"

#include "signatures.h"

#include "../path.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    // Steps that ask a question or two: resolve, complete, abort. Twenty images go side by side.
    CONTROL_THREADS = 24,
    HASHER_THREADS_MAX = 8,
    END_LIMIT_MS = 10 * 1000, // at the mount's end: until uploads are left to the next mount
    CLOSING_RETRIES = 16,     // of a publish's, kept for completing and undoing
};

// ---- starting ----------------------------------------------------------------------------------

static void log_retry(void *context, const struct err *cause, int64_t delay_ms)
{
    struct publish *publish = context;
    char delay[32];
    atomic_fetch_add(&publish->retries, 1);
    snprintf(delay, sizeof(delay), "%" PRId64, delay_ms);
    // A permission that is missing is named once, when nothing helped.
    log_err(cause->errnum == EACCES ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "trying again", cause,
            "directory", publish->directory, "file", publish->file, "delay_ms", delay, NULL);
}

static void log_notice(void *context, const struct err *cause)
{
    struct publish *publish = context;
    log_err(LOG_LEVEL_WARN, "tried without credentials", cause, "directory", publish->directory,
            "file", publish->file, NULL);
}

static int init_image(struct publish *publish, struct publish_image *own,
                      const struct reference_line *line, struct err *err)
{
    struct image *image = &own->image;
    own->publish = publish;
    image->place = &publish->place;
    image->line = line;
    image->name = image->of ? reference_signatures_name(line->name) : strdup(line->name);
    image->key = image->name ? tree_key(publish->engine->options.store->tree, publish->directory,
                                        image->name)
                             : NULL;
    if (!image->key)
        return err_no_memory(err);
    return write_intent_add(publish->intent, image->name, err);
}

static int init_images(struct publish *publish, struct err *err)
{
    publish->images = calloc(publish->slot_count + 1, sizeof(*publish->images));
    if (!publish->images)
        return err_no_memory(err);
    for (size_t i = 0; i < publish->image_count; i++) {
        struct image *image = &publish->images[i].image;
        struct image *signatures = &publish->images[publish->image_count + i].image;
        image->kind = &image_kind;
        image->signatures = signatures;
        signatures->kind = &signatures_kind;
        signatures->of = image;
    }
    for (size_t i = 0; i < publish->slot_count; i++)
        if (init_image(publish, &publish->images[i], &publish->lines[i % publish->image_count],
                       err) < 0)
            return -err->errnum;
    for (size_t i = 0; i < publish->image_count; i++) {
        publish->images[i].is_wanted = true;
        if (!publish_open_status(&publish->images[i]))
            return err_no_memory(err);
    }
    return 0;
}

static int init_publish(struct publish *publish, const struct publish_request *request,
                        struct err *err)
{
    struct store_place *store = publish->engine->options.store;
    atomic_init(&publish->references, 2); // the caller's and its own
    call_init(&publish->closing_call, store->clock);
    call_init_part(&publish->call, &publish->closing_call, CLOSING_RETRIES);
    publish->call.on_retry = publish->closing_call.on_retry = log_retry;
    publish->call.on_notice = log_notice;
    publish->call.context = publish->closing_call.context = publish;
    pthread_mutex_init(&publish->lock, NULL);
    if (write_intent_new(store->intents, request->directory, &publish->intent, err) < 0)
        return -err->errnum;
    publish->place = (struct image_place){
        .store = store,
        .registry = publish->engine->options.registry,
        .intent = publish->intent,
        .index = {.client = store->client, .prefix = store->prefix},
        .may_overwrite = store_place_may_replace(store, request->directory),
        .is_alone = request->line_count == 1,
        .policy = &publish->engine->options.policy,
        .publisher_uid = request->who.uid,
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
    publish->who = request->who;
    publish->done = request->done;
    publish->context = request->context;
    publish->task.run = publish_run_begin;
    publish->lines = request->lines;
    publish->image_count = request->line_count;
    publish->slot_count = 2 * publish->image_count;
    return init_images(publish, err);
}

static void free_publish(struct publish *publish)
{
    for (size_t i = publish->images ? publish->slot_count : 0; i-- > 0;) {
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
        return err_set(err, ESHUTDOWN, "the mount is being taken down");
    }
    *ret_publish = publish;
    workers_add(engine->control, &publish->control_lane, &publish->task);
    return 0;
}

void publish_refuse(struct publish_engine *engine, const char *directory, const char *file,
                    struct audit_who who, const struct err *err)
{
    auto_free char *path = path_join(directory, file);
    status_refused(engine->options.store->status, directory, file, "-", err->text);
    audit_tell(LOG_LEVEL_ERROR, "refused", err,
               &(struct audit){.act = "publish", .who = who, .path = path});
}

bool publish_open_status(struct publish_image *own)
{
    const struct publish *publish = own->publish;
    own->image.status = status_open(publish->engine->options.store->status, publish->directory,
                                    own->image.name, own->image.line->reference.text);
    return own->image.status;
}

void publish_set_cancelled_locked(struct publish *publish)
{
    err_set(&publish->err, publish->cancelled,
            publish->cancelled == EINTR ? "cancelled by whoever wrote the file"
                                        : "the mount is being taken down");
}

static void cancel(struct publish *publish, int why)
{
    pthread_mutex_lock(&publish->lock);
    bool cancels = publish->phase == PUBLISH_MOVING;
    if (cancels && !publish->cancelled)
        publish->cancelled = why;
    pthread_mutex_unlock(&publish->lock);
    if (cancels)
        call_cancel(&publish->call);
}

void publish_cancel(struct publish *publish)
{
    cancel(publish, EINTR);
}

void publish_unref(struct publish *publish)
{
    if (publish && atomic_fetch_sub(&publish->references, 1) == 1)
        free_publish(publish);
}

// ---- the engine --------------------------------------------------------------------------------

int publish_engine_new(const struct publish_engine_options *options,
                       struct publish_engine **ret_engine, struct err *err)
{
    struct publish_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return err_no_memory(err);
    engine->options = *options;
    pthread_mutex_init(&engine->lock, NULL);
    call_wait_init(&engine->has_ended);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int hashers = cores < 1 ? 1 : cores > HASHER_THREADS_MAX ? HASHER_THREADS_MAX : (int)cores;
    if (workers_new("control", CONTROL_THREADS, &engine->control, err) < 0 ||
        workers_new("fetch", options->store->parallel, &engine->fetches, err) < 0 ||
        workers_new("upload", options->store->parallel, &engine->uploads, err) < 0 ||
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

void publish_engine_stop(struct publish_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->is_stopping = true;
    for (struct publish *publish = engine->first; publish; publish = publish->next)
        cancel(publish, ESHUTDOWN);
    pthread_mutex_unlock(&engine->lock);
}

// A store that does not answer would keep the mount's end waiting for all retries of all aborts.
// What is given up here is the next mount's, by the intents.
static void wait_for_ends(struct publish_engine *engine)
{
    struct call limit;
    call_init(&limit, clock_system());
    int64_t until_ms = clock_monotonic_ms(clock_system()) + END_LIMIT_MS;
    pthread_mutex_lock(&engine->lock);
    while (engine->first) {
        (void)call_wait(&limit, &engine->has_ended, &engine->lock);
        bool is_late = clock_monotonic_ms(clock_system()) > until_ms;
        for (struct publish *each = is_late ? engine->first : NULL; each; each = each->next)
            call_cancel(&each->closing_call);
    }
    pthread_mutex_unlock(&engine->lock);
}

void publish_engine_free(struct publish_engine *engine)
{
    if (!engine)
        return;
    publish_engine_stop(engine);
    wait_for_ends(engine);
    workers_free(engine->control);
    workers_free(engine->fetches);
    workers_free(engine->uploads);
    workers_free(engine->hashers);
    pthread_cond_destroy(&engine->has_ended);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
