#include "sweeper.h"

#include "base/call.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    // Freed bytes that the allocator may keep: looking through its arenas for pages to give back
    // takes milliseconds.
    UNUSED_MAX = 4 * 1024 * 1024,
};

struct sweeper {
    struct tree *tree;
    struct virtuals *virtuals;
    struct memory *memory;
    pthread_t thread;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t ends;
    bool is_ending;
};

static struct timespec next_round(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += SWEEPER_EVERY_MS / 1000;
    return at;
}

static void *sweep(void *context)
{
    struct sweeper *sweeper = context;

    pthread_setname_np(pthread_self(), "sweeper");
    pthread_mutex_lock(&sweeper->lock);
    for (struct timespec at = next_round(); !sweeper->is_ending;) {
        if (pthread_cond_timedwait(&sweeper->ends, &sweeper->lock, &at) == 0)
            continue;
        pthread_mutex_unlock(&sweeper->lock);
        tree_sweep(sweeper->tree);
        virtuals_sweep(sweeper->virtuals);
        (void)memory_sweep(sweeper->memory);
        if (mallinfo2().fordblks > UNUSED_MAX)
            malloc_trim(0);
        pthread_mutex_lock(&sweeper->lock);
        at = next_round();
    }
    pthread_mutex_unlock(&sweeper->lock);
    return NULL;
}

int sweeper_new(struct tree *tree, struct virtuals *virtuals, struct memory *memory,
                struct sweeper **ret_sweeper, struct err *err)
{
    struct sweeper *sweeper = calloc(1, sizeof(*sweeper));

    if (!sweeper)
        return err_no_memory(err);
    sweeper->tree = tree;
    sweeper->virtuals = virtuals;
    sweeper->memory = memory;
    pthread_mutex_init(&sweeper->lock, NULL);
    call_wait_init(&sweeper->ends); // on the monotonic clock
    int error = pthread_create(&sweeper->thread, NULL, sweep, sweeper);
    if (error) {
        pthread_cond_destroy(&sweeper->ends);
        pthread_mutex_destroy(&sweeper->lock);
        free(sweeper);
        return err_set(err, error, "no thread can be started: %s", strerrordesc_np(error));
    }
    *ret_sweeper = sweeper;
    return 0;
}

void sweeper_free(struct sweeper *sweeper)
{
    if (!sweeper)
        return;
    pthread_mutex_lock(&sweeper->lock);
    sweeper->is_ending = true;
    pthread_cond_signal(&sweeper->ends);
    pthread_mutex_unlock(&sweeper->lock);
    pthread_join(sweeper->thread, NULL);
    pthread_cond_destroy(&sweeper->ends);
    pthread_mutex_destroy(&sweeper->lock);
    free(sweeper);
}
