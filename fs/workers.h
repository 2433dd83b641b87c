// workers.h - a fixed number of threads that run tasks.
//
// A lane's tasks run in the order in which they were given; the lanes that have tasks take turns,
// a task each, so that a publish of twenty images does not keep one of a single image waiting.
#pragma once

#include "base/err.h"

struct workers;

// A task is embedded in whatever it works on; it may be given again once `run` was entered.
struct task {
    void (*run)(struct task *task);
    struct task *next; // the lane's
};

// All zero to begin with; belongs to one pool; outlives its tasks.
struct lane {
    struct task *first, *last;
    struct lane *next; // the pool's
};

// name: up to 12 characters, shown by `ps -L`.
int workers_new(const char *name, int thread_count, struct workers **ret_workers, struct err *err);
// lane NULL: the pool's own, which takes turns with the others.
void workers_add(struct workers *workers, struct lane *lane, struct task *task);
// Runs what is queued to its end, then stops the threads. Nothing may be added meanwhile except
// by tasks themselves.
void workers_free(struct workers *workers);
