// publish.h - the publish engine: the images of one write, side by side, all or none.
//
// A publish is a set of lines of one reference file that were completed by one write. Each image
// goes through the states of image.h by itself; when the last of them is verified, all are
// completed; if one fails, all are undone. No thread waits for another: a publish is data, and
// whoever finishes something looks at what may start next.
#pragma once

#include "../audit.h"
#include "../workers.h"
#include "base/err.h"
#include "reference_file.h"
#include "registry.h"
#include "signature_policy.h"
#include "store_place.h"

#include <stdbool.h>
#include <sys/types.h>

struct publish_engine;

struct publish_engine_options {
    struct store_place *store;
    struct registry_client *registry;
    struct reference_defaults defaults; // platform and format that lines leave out
    struct signature_policy policy;
};
int publish_engine_new(const struct publish_engine_options *options,
                       struct publish_engine **ret_engine, struct err *err);
// The mount ends: what is under way is cancelled, what is asked for later refused, both with
// ESHUTDOWN; what is being completed is finished. Returns at once.
void publish_engine_stop(struct publish_engine *engine);
// Stops, waits until all has been undone or a limit is reached, frees. Accepts NULL.
void publish_engine_free(struct publish_engine *engine);
const struct reference_defaults *publish_engine_defaults(const struct publish_engine *engine);

struct publish;

struct publish_request {
    const char *directory;
    const char *file; // the reference file's name
    struct audit_who who;
    struct reference_line *lines; // ownership passes to the publish on success
    size_t line_count;
    // What the reference file holds once these lines are published; stored beside the tarballs.
    const char *file_bytes; // copied
    size_t file_size;
    const char *own_etag; // of the reference file as this very handle stored it before, or NULL
    // Called once, from an engine thread, no lock held: 0, or -errno with *err filled.
    // etag: the stored reference file's, "" on failure.
    void (*done)(void *context, int error, const struct err *err, const char *etag);
    void *context;
};
// Starts it; returns before it ends. On failure (no memory) `done` is not called.
int publish_start(struct publish_engine *engine, struct publish_request *request,
                  struct publish **ret_publish, struct err *err);
// Says that lines were refused before anything began: a failed row and a line in the log.
void publish_refuse(struct publish_engine *engine, const char *directory, const char *file,
                    struct audit_who who, const struct err *err);
// Ends soon with `done(-EINTR)`, or with success where completion had already been asked for.
void publish_cancel(struct publish *publish);
// Gives up the caller's hold. `done` is still called if it has not been.
void publish_unref(struct publish *publish);
