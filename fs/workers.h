// workers.h - a fixed number of threads that run tasks in the order they were given.
#pragma once

#include "base/err.h"

struct workers;

// A task is embedded in whatever it works on; it may be given again once `run` was entered.
struct task {
    void (*run)(struct task *task);
    struct task *next; // the queue's
};

// name: up to 12 characters, shown by `ps -L`.
int workers_new(const char *name, int thread_count, struct workers **ret_workers, struct err *err);
void workers_add(struct workers *workers, struct task *task);
// Runs what is queued to its end, then stops the threads. Nothing may be added meanwhile except
// by tasks themselves.
void workers_free(struct workers *workers);
