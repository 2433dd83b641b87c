// One image's steps, on control workers; in between its pump runs by itself.
#include "publish_private.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>

static void pump_failed(void *context, const struct err *err)
{
    struct publish_image *own = context;
    publish_note_failure(own->publish, (size_t)(own - own->publish->images), err);
}

static void run_check_sources(struct task *task);
static void run_start_over(struct task *task);

static void continue_with(struct publish_image *own, void (*run)(struct task *task))
{
    own->task.run = run;
    workers_add(own->publish->engine->control, &own->publish->control_lane, &own->task);
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
        publish_report(own->publish);
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
        publish_report(publish);
        return 0;
    }
    const struct pump_options options = {
        .fetches = engine->fetches,
        .uploads = engine->uploads,
        .fetch_lane = &publish->fetch_lane,
        .upload_lane = &publish->upload_lane,
        .copy_lane = &publish->copy_lane,
        .hashers = engine->hashers,
        .memory = engine->options.store->memory,
        .client = engine->options.store->client,
        .registry = engine->options.registry,
        .image = image->resolved,
        .archive = image->archive,
        .plan = image->plan,
        .runs = &image->runs,
        .upload = &image->upload,
        .leaves_copies_out = image->twin,
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

// What is about the image moves beside it, if there is anything: known once the image is.
static void begin_signatures(struct publish_image *own)
{
    struct publish *publish = own->publish;
    struct publish_image *signatures = publish_signatures_of(own);
    struct err err = {0};
    if (own->image.referrers && own->image.referrers->count > 0 && !publish_has_failed(publish)) {
        signatures->is_wanted = true;
        if (publish_open_status(signatures)) {
            continue_with(signatures, publish_run_move);
            return;
        }
        err_no_memory(&err);
        publish_note_failure(publish, (size_t)(own - publish->images), &err);
    }
    publish_report(publish);
}

void publish_run_move(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    // Once the last has reported nothing here is left: neither may have when they are begun.
    bool begins_signatures = !own->image.of && !own->is_known;
    own->is_known = true;
    bool has_failed = publish_has_failed(publish);
    if (!has_failed && begin_moving(own, &err) < 0) {
        has_failed = true;
        publish_note_failure(publish, (size_t)(own - publish->images), &err);
    }
    if (begins_signatures)
        begin_signatures(own);
    if (has_failed)
        publish_report(publish);
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
        publish_note_failure(publish, (size_t)(own - publish->images), &err);
    publish_report(publish);
}

// A permission that is missing is named once, each upload that stays for it is told.
static void say_left(const struct publish_image *own, const struct err *err)
{
    if (err->errnum == EACCES && atomic_exchange(&own->publish->engine->is_abort_refused, true))
        log_event(LOG_LEVEL_WARN, "one more upload is left, for the same reason", "key",
                  own->image.key, NULL);
    else
        log_err(LOG_LEVEL_WARN,
                "an upload could not be aborted: the next mount or the bucket's lifecycle rule "
                "will have to",
                err, "key", own->image.key, NULL);
}

static void run_start_over(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    status_row_restart(own->image.status);
    if (image_start_over(&own->image, &publish->closing_call, &err) < 0)
        say_left(own, &err);
    publish_run_move(task);
}

void publish_run_complete(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    int error =
        own->image.is_unchanged ? 0 : image_complete(&own->image, &publish->closing_call, &err);
    if (error == -ESTALE && own->image.twin) { // the write's only image, and nothing is visible
        say_stale(own, &err);
        publish_move_again(publish);
        run_start_over(task);
        return;
    }
    if (error < 0)
        publish_note_failure(publish, (size_t)(own - publish->images), &err);
    publish_report(publish);
}

void publish_run_undo(struct task *task)
{
    struct publish_image *own = CONTAINER_OF(task, struct publish_image, task);
    struct publish *publish = own->publish;
    struct err err = {0};
    if (image_undo(&own->image, &publish->closing_call, &err) < 0)
        say_left(own, &err);
    publish_report(publish);
}
