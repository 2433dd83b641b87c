// publish_private.h - what the publish engine's own files share: publish.c (its life, from start to
// the last reference), publish_phases.c (who moves next, and what is said of it), publish_image.c
// (one image's steps), publish_file.c (the reference file itself).
#pragma once

#include "publish.h"

#include "image.h"

#include <pthread.h>
#include <stdatomic.h>

struct publish_engine {
    struct publish_engine_options options;
    struct workers *control;
    struct workers *fetches;
    struct workers *uploads;
    struct workers *hashers;
    atomic_bool is_abort_refused; // and that has been told

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
    bool is_wanted; // of signatures: there are some
    bool is_known;  // of an image: whether it has signatures
    struct image image;
};

struct publish {
    struct publish_engine *engine;
    struct publish *next, **previous_next; // the engine's list, its lock
    atomic_int references;
    struct call closing_call; // completing, undoing: not cancelled by failures
    struct call call;         // a part of it: all up to completion; cancelled when one image fails
    atomic_int retries;       // of both, as the log has them
    struct lane control_lane, fetch_lane, upload_lane, copy_lane; // publishes take turns
    struct image_place place;
    struct write_intent *intent;
    char *directory;
    char *file;
    char *file_bytes;
    size_t file_size;
    char *own_etag;
    char stored_etag[S3_ETAG_SIZE];
    struct audit_who who;
    void (*done)(void *context, int error, const struct err *err, const char *etag);
    void *context;

    struct reference_line *lines;
    struct publish_image *images; // a slot for each, then one for each one's signatures
    size_t image_count;           // lines
    size_t slot_count;            // twice as many
    struct task task;             // steps of the publish as a whole

    pthread_mutex_t lock; // guards what follows
    enum publish_phase phase;
    size_t reports_left; // images that still have to report for this phase
    int cancelled;       // EINTR by whoever wrote, ESHUTDOWN by the mount's end; 0: not
    struct err err;      // the first failure in time
    size_t failed_at;    // the image it came from
};

// publish.c
bool publish_open_status(struct publish_image *own);        // false on no memory
void publish_set_cancelled_locked(struct publish *publish); // publish->err, from `cancelled`

// publish_phases.c
void publish_run_begin(struct task *task); // the first step
// The first failure in time is the publish's: it cancels the other images.
void publish_note_failure(struct publish *publish, size_t image_index, const struct err *err);
bool publish_has_failed(struct publish *publish);
void publish_report(struct publish *publish); // an image has done its share of the phase
// Instead of reporting, while completing: the only image has to be moved after all.
void publish_move_again(struct publish *publish);

// publish_image.c: an image's share of each phase; ends in publish_report
void publish_run_move(struct task *task);
void publish_run_complete(struct task *task);
void publish_run_undo(struct task *task);

static inline struct publish_image *publish_signatures_of(struct publish_image *own)
{
    return own + own->publish->image_count;
}

// publish_file.c
bool publish_is_release(const struct publish *publish);
// Under releases/ nothing is replaced: a reference file that stands there must be this handle's
// own, or hold the same bytes (*ret_is_same). EEXIST where not.
int publish_check_file(struct publish *publish, struct call *call, bool *ret_is_same,
                       struct err *err);
int publish_store_file(struct publish *publish, struct err *err);
