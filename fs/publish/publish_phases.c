// Who moves next: the phases of a publish, and what is said of it at its end.
#include "publish_private.h"

#include "signatures.h"

#include "../path.h"
#include "../revision.h"
#include "../utf8.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    NOTE_SIZE = 512,
    REVISION_SHOWN = 80, // bytes of one that a sentence quotes
};

// ---- failures ----------------------------------------------------------------------------------

void publish_note_failure(struct publish *publish, size_t image_index, const struct err *err)
{
    pthread_mutex_lock(&publish->lock);
    bool is_first = publish->err.errnum == 0;
    if (is_first) {
        publish->err = *err;
        publish->failed_at = image_index;
        if (publish->cancelled)
            publish_set_cancelled_locked(publish);
    }
    pthread_mutex_unlock(&publish->lock);
    if (is_first)
        call_cancel(&publish->call); // all or none: its siblings move in vain
}

bool publish_has_failed(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    bool has = publish->err.errnum != 0;
    pthread_mutex_unlock(&publish->lock);
    return has;
}

// ---- the end -----------------------------------------------------------------------------------

// The sentence, if any, and how often something was tried again: the write's retries, since its
// images share requests and luck.
static void append_retries(const struct publish *publish, const char *sentence, struct buf *detail)
{
    int retries = atomic_load(&publish->retries);
    (void)buf_append_text(detail, sentence);
    if (retries > 0)
        (void)buf_printf(detail, "%safter %d %s", *sentence ? "; " : "", retries,
                         retries == 1 ? "retry" : "retries");
}

static void close_row(const struct publish *publish, struct image *image, enum status_state state,
                      const char *sentence)
{
    auto_buf struct buf detail = BUF_INIT(2 * ERR_TEXT_SIZE);
    append_retries(publish, sentence, &detail);
    status_close(TAKE(image->status), state, buf_text(&detail));
}

static const char *separator(const struct buf *note)
{
    return note->size > 0 ? "; " : "";
}

static void append_image_notes(const struct publish *publish, const struct registry_image *image,
                               struct buf *note)
{
    const char *misfit = revision_misfit_in(&image->provenance, publish->directory);
    if (misfit)
        buf_printf(note, "it states revision %.*s, and the directory is of %s",
                   (int)utf8_fit(misfit, REVISION_SHOWN), misfit, path_last(publish->directory));
    if (image->artifact_type)
        buf_printf(note, "%sit is an artifact (%s) and no container image", separator(note),
                   image->artifact_type);
    if (image->has_zstd_layers)
        buf_printf(note, "%sits zstd layers need Docker 23 or newer to load", separator(note));
    if (image->attestations_missing > 0)
        buf_printf(note, "%sthe registry has not %zu of the attestations that its index names",
                   separator(note), image->attestations_missing);
    if (image->statements_unread > 0)
        buf_printf(note, "%s%zu of its provenance statements make no sense or are too large",
                   separator(note), image->statements_unread);
}

// What is to be known of what was published.
static void append_notes(const struct publish *publish, const struct image *image, struct buf *note)
{
    char signatures[NOTE_SIZE];
    if (!image->of)
        append_image_notes(publish, image->resolved, note);
    signatures_fill_note(image, signatures, sizeof(signatures));
    buf_printf(note, "%s%s", *signatures ? separator(note) : "", signatures);
}

static void warn_of_misfit(const struct publish *publish, const struct registry_image *image,
                           const char *path)
{
    const char *misfit = revision_misfit_in(&image->provenance, publish->directory);
    if (misfit)
        log_event(LOG_LEVEL_WARN, "an image states another revision than its directory's", "path",
                  path, "revision", misfit, "reference", image->reference.text, NULL);
}

static void say_image(struct publish *publish, size_t index)
{
    struct publish_image *own = &publish->images[index];
    struct image *image = &own->image;
    auto_free char *path = path_join(publish->directory, image->name);
    struct audit audit = {
        .act = "publish",
        .who = publish->who,
        .path = path,
        .file = publish->file,
        .reference = image->line->reference.text,
        .digest = image->resolved ? registry_image_digest(image->resolved) : NULL,
    };
    char bytes[32] = "0";
    if (image->archive)
        snprintf(bytes, sizeof(bytes), "%" PRIu64, image->archive->size_bytes);
    if (image->is_unchanged || image->is_published) {
        auto_buf struct buf note = BUF_INIT(ERR_TEXT_SIZE);
        append_notes(publish, image, &note);
        close_row(publish, image, image->is_unchanged ? STATUS_UNCHANGED : STATUS_PUBLISHED,
                  buf_text(&note));
        audit.outcome = image->is_unchanged ? "unchanged" : "published";
        audit.bytes = bytes;
        audit_tell(LOG_LEVEL_INFO, audit.outcome, NULL, &audit);
        if (!image->of)
            warn_of_misfit(publish, image->resolved, path);
    } else if (publish->cancelled) {
        close_row(publish, image, STATUS_CANCELLED, publish->err.text);
        audit_tell(publish->cancelled == EINTR ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "cancelled",
                   &publish->err, &audit);
    } else if (index == publish->failed_at) {
        close_row(publish, image, STATUS_FAILED, publish->err.text);
        audit_tell(LOG_LEVEL_ERROR, "not published", &publish->err, &audit);
    } else {
        struct err err;
        err_set(&err, ECANCELED, "not published because %s, of the same write, failed",
                publish->images[publish->failed_at].image.name);
        close_row(publish, image, STATUS_CANCELLED, err.text);
        audit_tell(LOG_LEVEL_ERROR, "not published", &err, &audit);
    }
}

static bool has_uploads(const struct publish *publish)
{
    for (size_t i = 0; i < publish->slot_count; i++)
        if (publish->images[i].image.has_upload)
            return true;
    return false;
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
    for (size_t i = 0; i < publish->slot_count; i++)
        if (publish->images[i].is_wanted)
            say_image(publish, i);
    tree_forget(publish->engine->options.store->tree, publish->directory);
    publish->done(publish->context, -publish->err.errnum, &publish->err, publish->stored_etag);
    for (size_t i = 0; i < publish->slot_count; i++)
        image_settle(&publish->images[i].image, &publish->closing_call);
    write_intent_end(publish->intent, &publish->closing_call, has_uploads(publish));
    unlink_publish(publish);
    publish_unref(publish);
}

// ---- phases ------------------------------------------------------------------------------------

static void run_store(struct task *task)
{
    struct publish *publish = CONTAINER_OF(task, struct publish, task);
    struct err err = {0};
    if (publish_store_file(publish, &err) < 0) {
        auto_buf struct buf detail = BUF_INIT(2 * ERR_TEXT_SIZE);
        append_retries(publish, err.text, &detail);
        publish_note_failure(publish, 0, &err);
        status_refused(publish->engine->options.store->status, publish->directory, publish->file,
                       "-", buf_text(&detail));
        auto_free char *path = path_join(publish->directory, publish->file);
        audit_tell(LOG_LEVEL_ERROR, "reference file not stored", &err,
                   &(struct audit){.act = "publish", .who = publish->who, .path = path});
    }
    end(publish);
}

static void (*const phase_runs[])(struct task *) = {
    [PUBLISH_MOVING] = publish_run_move,
    [PUBLISH_COMPLETING] = publish_run_complete,
    [PUBLISH_UNDOING] = publish_run_undo,
};

// Sets every image to work for the phase; the last to report looks at what comes next. While
// moving, each image says whether its signatures are to move too, or reports for them.
static void start_phase(struct publish *publish, enum publish_phase phase)
{
    struct workers *control = publish->engine->control;
    size_t count = phase == PUBLISH_MOVING ? publish->image_count : publish->slot_count;
    pthread_mutex_lock(&publish->lock);
    publish->phase = phase;
    publish->reports_left = publish->slot_count + 1; // and this one, below
    pthread_mutex_unlock(&publish->lock);
    if (phase == PUBLISH_STORING) {
        publish->task.run = run_store;
        workers_add(control, &publish->control_lane, &publish->task);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct publish_image *own = &publish->images[i];
        if (own->is_wanted) {
            own->task.run = phase_runs[phase];
            workers_add(control, &publish->control_lane, &own->task);
        } else {
            publish_report(publish);
        }
    }
    publish_report(publish);
}

// Nobody cancels what completes: the point of no return.
static bool may_complete(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    if (publish->cancelled && publish->err.errnum == 0)
        publish_set_cancelled_locked(publish);
    bool may = publish->err.errnum == 0;
    if (may)
        publish->phase = PUBLISH_COMPLETING;
    pthread_mutex_unlock(&publish->lock);
    return may;
}

// An image has done its share of the phase.
void publish_report(struct publish *publish)
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
    if (phase != PUBLISH_UNDOING && (must_undo || publish_has_failed(publish)))
        start_phase(publish, PUBLISH_UNDOING);
    else if (publish_has_failed(publish))
        end(publish);
    else
        start_phase(publish, phase == PUBLISH_MOVING ? PUBLISH_COMPLETING : PUBLISH_STORING);
}

void publish_move_again(struct publish *publish)
{
    pthread_mutex_lock(&publish->lock);
    publish->phase = PUBLISH_MOVING;
    pthread_mutex_unlock(&publish->lock);
}

// A directory hides a file of its name: nobody would see the tarball. And the tarball would hide a
// symbolic link. Most often this asks for nothing, since whoever opened the reference file has had
// the directory listed.
static int check_name(struct publish *publish, size_t index, struct err *err)
{
    const char *name = publish->images[index].image.name;
    struct tree_listing *listing = NULL;
    const struct tree_entry *entry;
    int error = tree_lookup(publish->engine->options.store->tree, &publish->call,
                            publish->directory, name, &listing, &entry, err);
    bool is_hidden = error == 0 && entry->is_directory;
    bool is_symlink = error == 0 && entry->is_symlink;
    tree_listing_unref(listing);
    if (is_symlink)
        return err_set(err, EEXIST,
                       "a symbolic link stands under that name: choose another name, or remove the "
                       "link first");
    if (is_hidden)
        return err_set(err, EISDIR,
                       "a directory stands under that name and would hide the tarball: choose "
                       "another name, or remove the directory first");
    return error == -ENOENT ? 0 : error;
}

void publish_run_begin(struct task *task)
{
    struct publish *publish = CONTAINER_OF(task, struct publish, task);
    struct err err = {0};
    bool is_same;
    if (publish_is_release(publish) &&
        publish_check_file(publish, &publish->call, &is_same, &err) < 0)
        publish_note_failure(publish, 0, &err);
    for (size_t i = 0; i < publish->slot_count; i++)
        if (check_name(publish, i, &err) < 0)
            publish_note_failure(publish, i, &err);
    start_phase(publish, publish_has_failed(publish) ? PUBLISH_UNDOING : PUBLISH_MOVING);
}
