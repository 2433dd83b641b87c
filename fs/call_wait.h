// call_wait.h - waiting for what another thread does, for as long as one's own call lives.
//
// A call that is cancelled wakes nobody by itself; who waits looks every CALL_WAIT_POLL_MS.
#pragma once

#include "base/call.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { CALL_WAIT_POLL_MS = 50 };

// A condition for call_wait: on the monotonic clock.
static inline void call_wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

// Waits once, with `lock` held as for pthread_cond_wait; the caller looks again at what it waits
// for. false when the call is cancelled.
static inline bool call_wait(struct call *call, pthread_cond_t *condition, pthread_mutex_t *lock)
{
    struct timespec until;

    if (atomic_load(&call->is_cancelled))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CALL_WAIT_POLL_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(condition, lock, &until);
    return !atomic_load(&call->is_cancelled);
}
