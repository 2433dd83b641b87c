#include "misses.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct miss miss; // directory and name are its own; NULL: empty
    int64_t noted_ms;
};

struct misses {
    pthread_mutex_t lock; // guards what follows
    struct slot slots[MISSES_MAX];
    size_t next; // the oldest
};

struct misses *misses_new(void)
{
    struct misses *misses = calloc(1, sizeof(*misses));
    if (misses)
        pthread_mutex_init(&misses->lock, NULL);
    return misses;
}

static void clear(struct slot *slot)
{
    free((char *)slot->miss.directory);
    free((char *)slot->miss.name);
    *slot = (struct slot){0};
}

void misses_free(struct misses *misses)
{
    if (!misses)
        return;
    for (size_t i = 0; i < MISSES_MAX; i++)
        clear(&misses->slots[i]);
    pthread_mutex_destroy(&misses->lock);
    free(misses);
}

void misses_note(struct misses *misses, const struct miss *miss, int64_t now_ms)
{
    struct slot slot = {.miss = *miss, .noted_ms = now_ms};
    slot.miss.directory = strdup(miss->directory);
    slot.miss.name = strdup(miss->name);
    if (!slot.miss.directory || !slot.miss.name) {
        clear(&slot);
        return;
    }
    pthread_mutex_lock(&misses->lock);
    clear(&misses->slots[misses->next]);
    misses->slots[misses->next] = slot;
    misses->next = (misses->next + 1) % MISSES_MAX;
    pthread_mutex_unlock(&misses->lock);
}

static bool is_same(const struct miss *a, const struct miss *b)
{
    return a->directory && a->thread == b->thread && strcmp(a->name, b->name) == 0 &&
           strcmp(a->directory, b->directory) == 0;
}

bool misses_take(struct misses *misses, const struct miss *miss, int64_t now_ms)
{
    bool is_known = false;
    pthread_mutex_lock(&misses->lock);
    for (size_t i = 0; i < MISSES_MAX; i++) {
        struct slot *slot = &misses->slots[i];
        if (!is_same(&slot->miss, miss))
            continue;
        is_known |= slot->miss.changes == miss->changes && now_ms - slot->noted_ms < MISSES_KEPT_MS;
        clear(slot);
    }
    pthread_mutex_unlock(&misses->lock);
    return is_known;
}
