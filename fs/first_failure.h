// first_failure.h - the first failure of requests that are made side by side, and whether it is of
// any use to make the others.
#pragma once

#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

struct first_failure {
    pthread_mutex_t lock; // guards what follows
    struct err err;       // errnum 0: none
    bool is_final;        // no permission, or cancelled: the others would fare the same
};

static inline void first_failure_init(struct first_failure *failure)
{
    *failure = (struct first_failure){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static inline void first_failure_note(struct first_failure *failure, const struct err *err)
{
    pthread_mutex_lock(&failure->lock);
    if (failure->err.errnum == 0)
        failure->err = *err;
    failure->is_final |= err->errnum == EACCES || err->errnum == EINTR;
    pthread_mutex_unlock(&failure->lock);
}

static inline bool first_failure_is_final(struct first_failure *failure)
{
    pthread_mutex_lock(&failure->lock);
    bool is_final = failure->is_final;
    pthread_mutex_unlock(&failure->lock);
    return is_final;
}

// Nobody notes any more: 0, or -errno with *err filled.
static inline int first_failure_take(struct first_failure *failure, struct err *err)
{
    pthread_mutex_destroy(&failure->lock);
    if (failure->err.errnum == 0)
        return 0;
    *err = failure->err;
    return -err->errnum;
}
