#include "scratch.h"

#include "publish/intent_origin.h"
#include "publish/record.h"
#include "s3.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 512 };

struct file {
    char *key; // NULL: none
    char etag[S3_ETAG_SIZE];
    pid_t process;
    uint64_t started_ticks;
};

struct scratch {
    pthread_mutex_t lock; // guards what follows
    struct file files[FILES_MAX];
    size_t next; // the oldest
};

int scratch_new(struct scratch **ret_scratch, struct err *err)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    if (!scratch)
        return err_no_memory(err);
    pthread_mutex_init(&scratch->lock, NULL);
    *ret_scratch = scratch;
    return 0;
}

void scratch_free(struct scratch *scratch)
{
    if (!scratch)
        return;
    for (size_t i = 0; i < FILES_MAX; i++)
        free(scratch->files[i].key);
    pthread_mutex_destroy(&scratch->lock);
    free(scratch);
}

// Numbers are used again: a process is known by when it began, too. false: it cannot be told.
static bool look(pid_t process, uint64_t *ret_started_ticks)
{
    return intent_process_look(process, ret_started_ticks) == INTENT_PROCESS_RUNS;
}

void scratch_add(struct scratch *scratch, pid_t process, const char *key, const char *etag)
{
    uint64_t started_ticks;
    char *copy = look(process, &started_ticks) ? strdup(key) : NULL;
    if (!copy)
        return;
    pthread_mutex_lock(&scratch->lock);
    struct file *file = &scratch->files[scratch->next];
    scratch->next = (scratch->next + 1) % FILES_MAX;
    free(file->key);
    file->key = copy;
    file->process = process;
    file->started_ticks = started_ticks;
    snprintf(file->etag, sizeof(file->etag), "%s", etag);
    pthread_mutex_unlock(&scratch->lock);
}

bool scratch_is_made_by(struct scratch *scratch, pid_t process, const char *key, const char *etag)
{
    uint64_t started_ticks;
    bool is_made = false;
    if (!look(process, &started_ticks))
        return false;
    pthread_mutex_lock(&scratch->lock);
    for (size_t i = 0; i < FILES_MAX && !is_made; i++) {
        const struct file *file = &scratch->files[i];
        is_made = file->key && file->process == process && file->started_ticks == started_ticks &&
                  strcmp(file->key, key) == 0 && record_etag_equal(file->etag, etag);
    }
    pthread_mutex_unlock(&scratch->lock);
    return is_made;
}
