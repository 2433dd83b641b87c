// misses.h - names that somebody was just told are not there, so that the same question, which the
// kernel asks once more to make a file of that name, is not the store's again.
//
// `cp` looks whether its target is there, then makes it; for that the kernel asks for the name a
// second time, and holds the directory's lock meanwhile: who copies 64 files into one directory
// would wait for 64 listings one after another, and so would everybody who lists it. A miss answers
// one more question of the same thread, for the same name, within MISSES_KEPT_MS, as long as this
// mount has changed nothing in the directory. Thread-safe.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    MISSES_KEPT_MS = 500,
    MISSES_MAX = 128, // the oldest makes room: as many as requests are served at once
};

struct miss {
    pid_t thread;
    const char *directory;
    const char *name;
    uint64_t changes; // tree_changes of the directory, from before it was asked for
};

struct misses;
struct misses *misses_new(void);         // NULL on no memory
void misses_free(struct misses *misses); // accepts NULL
// The thread was told now that the name is not there. Out of memory, nothing is kept.
void misses_note(struct misses *misses, const struct miss *miss, int64_t now_ms);
// Whether it was told so lately, under the same changes; it is not believed a second time.
bool misses_take(struct misses *misses, const struct miss *miss, int64_t now_ms);
