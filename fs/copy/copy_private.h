// copy_private.h - what copy.c (ranges in, replies out), copy_store.c (the store's part of it) and
// copy_pour.c (when bytes have to pass through after all) share.
#pragma once

#include "copy.h"

#include "../publish/completion.h"
#include "../publish/intents.h"
#include "../workers.h"
#include "base/call.h"
#include "s3.h"

#include <pthread.h>
#include <stdatomic.h>

struct copy_engine {
    struct store_place *place;
    struct upload_engine *uploads;
    struct workers *workers;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t has_ended;
    struct copy *first; // all that have not been freed
};

enum copy_phase {
    COPY_TAKING,  // ranges
    COPY_RUNNING, // inside the store
    COPY_POURED,  // an upload has taken over
    COPY_DONE,    // it is there, or never will be
};

// Copies one part after the other.
struct mover {
    struct task task;
    struct copy *copy;
};

struct copy {
    struct writer writer;
    struct copy_engine *engine;
    struct copy *next, **at; // the engine's list, its lock
    char *directory;
    char *name;
    char *key;
    struct audit_who who;
    struct writer_source source; // its strings are the copy's
    struct write_intent *intent;
    struct call call;         // looking and copying; cancelled by the first failure
    struct call closing_call; // completing and undoing
    struct lane lane;
    struct task task;     // begin; pour and let go
    struct mover *movers; // parallel of them

    // While it runs: the tasks'.
    struct s3_head source_head;
    struct record *source_record;      // or NULL
    bool is_unchanged;                 // the very same stands there ...
    char unchanged_etag[S3_ETAG_SIZE]; // ... as this version
    bool has_upload;
    struct s3_upload upload;
    char token[COMPLETION_TOKEN_SIZE];
    uint64_t part_size;
    size_t part_count;
    struct s3_part *parts;
    atomic_size_t next_part; // index
    atomic_size_t movers_left;

    pthread_mutex_t lock; // guards what follows
    enum copy_phase phase;
    struct err err; // the first failure: it stays failed
    bool is_released;
    bool is_pouring;
    size_t running;       // tasks
    uint64_t taken_bytes; // of the source, from its beginning
    struct writer *bytes; // POURED: the upload
    writer_reply reply;   // of the flush that waits; NULL: none does
    void *context;
};

// copy.c: how a task ends, and what it may call
void copy_fail(struct copy *copy, const struct err *err);
bool copy_has_failed(struct copy *copy);
void copy_task_ended(struct copy *copy); // its last touch of the copy
void copy_is_done(struct copy *copy);
void copy_start(struct copy *copy, struct task *task, void (*run)(struct task *task));

// copy_store.c
void copy_run_begin(struct task *task);
void copy_run_end(struct task *task); // undoes what has failed

// copy_pour.c
int copy_pour(struct copy *copy, struct call *call, struct err *err);
void copy_run_pour(struct task *task); // for one that was released
