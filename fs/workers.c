#include "workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct workers {
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t has_work;
    struct lane *first; // those that have tasks, in the order of their turns
    struct lane **last_next;
    struct lane own;
    bool is_stopping;

    char name[13];
    int thread_count;
    pthread_t threads[];
};

static void line_up_locked(struct workers *workers, struct lane *lane)
{
    lane->next = NULL;
    *workers->last_next = lane;
    workers->last_next = &lane->next;
}

static struct task *take_locked(struct workers *workers)
{
    struct lane *lane = workers->first;
    workers->first = lane->next;
    if (!workers->first)
        workers->last_next = &workers->first;
    struct task *task = lane->first;
    lane->first = task->next;
    if (lane->first)
        line_up_locked(workers, lane);
    task->next = NULL;
    return task;
}

static void *work(void *argument)
{
    struct workers *workers = argument;
    pthread_setname_np(pthread_self(), workers->name);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (!workers->first && !workers->is_stopping)
            pthread_cond_wait(&workers->has_work, &workers->lock);
        if (!workers->first)
            break;
        struct task *task = take_locked(workers);
        pthread_mutex_unlock(&workers->lock);
        task->run(task);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

int workers_new(const char *name, int thread_count, struct workers **ret_workers, struct err *err)
{
    struct workers *workers =
        calloc(1, sizeof(*workers) + (size_t)thread_count * sizeof(workers->threads[0]));
    if (!workers)
        return err_no_memory(err);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->has_work, NULL);
    workers->last_next = &workers->first;
    snprintf(workers->name, sizeof(workers->name), "%s", name);
    for (; workers->thread_count < thread_count; workers->thread_count++) {
        int error = pthread_create(&workers->threads[workers->thread_count], NULL, work, workers);
        if (error) {
            err_set(err, error, "cannot start thread %d of %d for %s: %s",
                    workers->thread_count + 1, thread_count, name, strerrordesc_np(error));
            workers_free(workers);
            return -error;
        }
    }
    *ret_workers = workers;
    return 0;
}

void workers_add(struct workers *workers, struct lane *lane, struct task *task)
{
    if (!lane)
        lane = &workers->own;
    task->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (lane->first) {
        lane->last->next = task;
    } else {
        lane->first = task;
        line_up_locked(workers, lane);
    }
    lane->last = task;
    pthread_cond_signal(&workers->has_work);
    pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    pthread_cond_broadcast(&workers->has_work);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->has_work);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
