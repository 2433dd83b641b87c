#include "chunk.h"

#include "base/scope.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

// ---- holding on and letting go -----------------------------------------------------------------

void reader_unref_locked(struct reader *reader)
{
    if (--reader->references > 0)
        return;
    pthread_cond_destroy(&reader->progress);
    free(reader->key);
    free(reader->etag);
    free(reader);
}

// Memory is given back without the lock: that may grant it to somebody, who is then called.
void chunk_unref_locked(struct chunk *chunk)
{
    if (--chunk->references > 0)
        return;
    struct readers *readers = chunk->reader->shared;
    char *bytes = chunk->bytes;
    size_t size = chunk->size;
    reader_unref_locked(chunk->reader);
    free(chunk->err);
    free(chunk);
    if (!bytes)
        return;
    readers->held -= size;
    pthread_mutex_unlock(&readers->lock);
    memory_give_back(readers->memory, bytes, size);
    pthread_mutex_lock(&readers->lock);
}

void chunk_drop_locked(struct chunk *chunk)
{
    struct reader *reader = chunk->reader;
    struct chunk **at = &reader->chunks;
    while (*at && *at != chunk)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = chunk->next;
    if (chunk->state != CHUNK_FAILED) {
        chunk->state = CHUNK_DROPPED;
        call_cancel(&chunk->call);
    }
    pthread_cond_broadcast(&reader->progress);
    chunk_unref_locked(chunk);
}

static bool drop_one_locked(struct reader *reader, bool (*is_useless)(const struct reader *reader,
                                                                      const struct chunk *chunk))
{
    for (struct chunk *chunk = reader->chunks; chunk; chunk = chunk->next) {
        if (!is_useless(reader, chunk))
            continue;
        chunk_drop_locked(chunk);
        return true;
    }
    return false;
}

void chunk_drop_all_locked(struct reader *reader, bool (*is_useless)(const struct reader *reader,
                                                                     const struct chunk *chunk))
{
    while (drop_one_locked(reader, is_useless))
        ; // the lock was let go in between: the walk starts anew after each
}

bool chunk_is_idle(const struct reader *reader, const struct chunk *chunk)
{
    (void)reader;
    return chunk->readers == 0 && chunk->bytes && chunk->state != CHUNK_FETCHING;
}

static bool shed_one_locked(struct readers *readers)
{
    for (struct reader *reader = readers->first; reader; reader = reader->next) {
        if (drop_one_locked(reader, chunk_is_idle))
            return true; // and *reader may be gone by now
    }
    return false;
}

// ---- fetching ----------------------------------------------------------------------------------

static int take_bytes(void *context, const void *bytes, size_t size)
{
    struct chunk *chunk = context;
    struct readers *readers = chunk->reader->shared;
    if (size > chunk->size - chunk->filled)
        return -EIO;
    memcpy(chunk->bytes + chunk->filled, bytes, size);
    pthread_mutex_lock(&readers->lock);
    chunk->filled += size;
    if (chunk->readers > 0)
        pthread_cond_broadcast(&chunk->reader->progress);
    pthread_mutex_unlock(&readers->lock);
    return 0;
}

// A buffer that is granted at once or not asked for any longer.
struct attempt {
    struct memory_ticket ticket; // first: the two are one address
    sem_t is_granted;
    void *bytes;
};

static void attempt_granted(struct memory_ticket *ticket, void *bytes)
{
    struct attempt *attempt = (struct attempt *)ticket;
    attempt->bytes = bytes;
    sem_post(&attempt->is_granted);
}

static void *take_free_memory(struct readers *readers, size_t size)
{
    struct attempt attempt = {.ticket = {.size = size, .granted = attempt_granted}};
    sem_init(&attempt.is_granted, 0, 0);
    memory_ask(readers->memory, &attempt.ticket);
    if (!memory_withdraw(readers->memory, &attempt.ticket)) {
        while (sem_wait(&attempt.is_granted) < 0 && errno == EINTR)
            ;
    }
    sem_destroy(&attempt.is_granted);
    return attempt.bytes;
}

static void *wait_for_memory(struct readers *readers, struct chunk *chunk)
{
    pthread_mutex_lock(&readers->lock);
    readers->hungry++;
    while (shed_one_locked(readers))
        ; // somebody waits for memory that chunks hold which nobody has asked for yet
    pthread_mutex_unlock(&readers->lock);
    void *bytes = memory_wait(readers->memory, &chunk->call, chunk->size);
    pthread_mutex_lock(&readers->lock);
    readers->hungry--;
    pthread_mutex_unlock(&readers->lock);
    return bytes;
}

// -ENOMEM only where a read waits for this chunk. Without memory, one that nobody waits for is
// simply not fetched: who needs it later starts it again.
static int get_memory(struct readers *readers, struct chunk *chunk, void **ret_bytes)
{
    pthread_mutex_lock(&readers->lock);
    bool is_wanted = chunk->state == CHUNK_QUEUED;
    bool is_awaited = chunk->readers > 0;
    // What runs ahead takes the memory that is left over.
    bool is_short = readers->hungry > 0 || readers->held + chunk->size > readers->ahead_max;
    pthread_mutex_unlock(&readers->lock);
    if (!is_wanted || (!is_awaited && is_short))
        return 0;
    *ret_bytes = take_free_memory(readers, chunk->size);
    if (!*ret_bytes && is_awaited)
        *ret_bytes = wait_for_memory(readers, chunk);
    return *ret_bytes || !is_awaited ? 0 : -ENOMEM;
}

static int fetch(struct chunk *chunk, struct err *err)
{
    struct reader *reader = chunk->reader;
    int error = s3_object_read(reader->shared->client, &chunk->call, reader->key, reader->etag,
                               chunk->offset, chunk->size, take_bytes, chunk, err);
    if (error == -ENOENT)
        return err_set(err, ESTALE, "%s was deleted while it was open", reader->key);
    if (error == 0 && chunk->filled < chunk->size)
        return err_set(err, EIO, "%s is shorter than it was listed", reader->key);
    return error;
}

static void finish_locked(struct readers *readers, struct chunk *chunk, int error,
                          const struct err *err)
{
    if (chunk->state == CHUNK_DROPPED)
        return;
    chunk->state = error < 0 ? CHUNK_FAILED : CHUNK_READY;
    if (error < 0 && (chunk->err = malloc(sizeof(*chunk->err))))
        *chunk->err = *err;
    pthread_cond_broadcast(&chunk->reader->progress);
    // A failure that nobody waited for is not news: whoever asks for these bytes tries again.
    if (chunk->readers == 0 && (error < 0 || readers->hungry > 0))
        chunk_drop_locked(chunk);
}

static void run_chunk(struct task *task)
{
    struct chunk *chunk = (struct chunk *)task;
    struct readers *readers = chunk->reader->shared;
    size_t size = chunk->size;
    struct err err = {0};
    void *bytes = NULL;
    int error = get_memory(readers, chunk, &bytes);

    pthread_mutex_lock(&readers->lock);
    if (error < 0) {
        err_no_memory(&err);
        finish_locked(readers, chunk, error, &err);
    } else if (chunk->state == CHUNK_QUEUED && bytes) {
        chunk->state = CHUNK_FETCHING;
        chunk->bytes = TAKE(bytes);
        readers->held += size;
        pthread_mutex_unlock(&readers->lock);
        error = fetch(chunk, &err);
        pthread_mutex_lock(&readers->lock);
        finish_locked(readers, chunk, error, &err);
    } else {
        chunk_drop_locked(chunk);
    }
    chunk_unref_locked(chunk);
    pthread_mutex_unlock(&readers->lock);
    memory_give_back(readers->memory, bytes, size);
}

struct chunk *chunk_start_locked(struct reader *reader, uint64_t offset, size_t size)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    if (!chunk)
        return NULL;
    chunk->task.run = run_chunk;
    chunk->reader = reader;
    chunk->offset = offset;
    chunk->size = size;
    call_init(&chunk->call, reader->shared->clock);
    chunk->references = 2; // the list's and the task's
    chunk->next = reader->chunks;
    reader->chunks = chunk;
    reader->references++;
    workers_add(reader->shared->workers, NULL, &chunk->task);
    return chunk;
}
