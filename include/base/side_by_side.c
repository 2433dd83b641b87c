#include "base/side_by_side.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { THREADS_MAX = 32 };

struct round {
    void (*run)(void *context, size_t index);
    void *context;
    size_t count;
    atomic_size_t next;
};

static void *take_turns(void *argument)
{
    struct round *round = argument;
    size_t index;
    while ((index = atomic_fetch_add(&round->next, 1)) < round->count)
        round->run(round->context, index);
    return NULL;
}

void side_by_side(size_t count, size_t thread_count, void (*run)(void *context, size_t index),
                  void *context)
{
    struct round round = {.run = run, .context = context, .count = count};
    pthread_t threads[THREADS_MAX];
    size_t started = 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < THREADS_MAX && started + 1 < thread_count && started + 1 < count &&
           pthread_create(&threads[started], NULL, take_turns, &round) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    take_turns(&round);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
