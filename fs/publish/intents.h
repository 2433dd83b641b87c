// intents.h - what this mount is about to upload, told to the next mount on this host.
//
// A write that begins uploads stores one intent before the first of them and deletes it after its
// end, when nothing is left behind: two requests, however many its images are; none where all are
// unchanged. Where intents cannot be stored or deleted that is said once in the log, and
// publishing goes on without: then the bucket's lifecycle rule alone cleans up behind a mount
// that was killed.
#pragma once

#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"
#include "s3.h"

#include <stdbool.h>

struct intents;

struct intents_options { // all the caller's
    struct s3_client *client;
    const struct clock *clock;
    const char *prefix; // of the mount
};
int intents_new(const struct intents_options *options, struct intents **ret_intents,
                struct err *err);
// Sweeps up behind dead mounts of this host (intent_sweep.h), on a thread of its own: nothing of
// the mount waits for it. Failures are logged once and matter to nobody else.
void intents_sweep(struct intents *intents);
// Ends the sweep. No write's intent may be left. Accepts NULL.
void intents_free(struct intents *intents);

// What one write is about to upload; thread-safe but for its making.
struct write_intent;

// directory as in tree.h.
int write_intent_new(struct intents *intents, const char *directory,
                     struct write_intent **ret_intent, struct err *err);
int write_intent_add(struct write_intent *intent, const char *name, struct err *err);
// Before each upload begins: the first call stores the intent, the others wait for that. That it
// could not be stored is no error of the write's.
void write_intent_declare(struct write_intent *intent, struct call *call);
// An upload may have begun of which nobody has the id: its reply was lost, or its abort failed.
void write_intent_doubt(struct write_intent *intent);
// The write has ended. has_uploads: some could not be aborted. Then the intent stays for the next
// mount; else it is deleted. After doubts the bucket is searched first, and what is found aborted.
void write_intent_end(struct write_intent *intent, struct call *call, bool has_uploads);
void write_intent_free(struct write_intent *intent); // accepts NULL
