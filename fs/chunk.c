#include "chunk.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    // What the chunks of all readers may hold, as a part of the memory's ceiling: while nobody
    // waits
    // for memory, and while somebody does.
    IDLE_SHARE = 2,
    SHORT_SHARE = 8,
    // How long a GET that runs ahead should take, if that is so many times its latency. Longer ones
    // of a window end together: it is then empty for a while.
    GET_MS = 100,
    LATENCIES = 4,
    SLOWER = 16,            // GETs until a lower rate is believed: they hold each other up
    MEASURED_MIN = 1 << 19, // bytes of a GET that says something about the line
};

// Chunks and readers are counted; gcc's analyzer takes each reference that is given up for the
// last.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-use-after-free"
#endif

// ---- holding on and letting go -----------------------------------------------------------------

void reader_unref_locked(struct reader *reader)
{
    if (--reader->references > 0)
        return;
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
    if (bytes)
        chunk->reader->held -= size;
    reader_unref_locked(chunk->reader);
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
    if (!reader->chunks)
        reader->shared->active--;
    chunk->state = CHUNK_DROPPED;
    call_cancel(&chunk->call);
    chunk_unref_locked(chunk);
}

static bool drop_one_locked(struct reader *reader, bool (*is_useless)(const struct chunk *chunk))
{
    for (struct chunk *chunk = reader->chunks; chunk; chunk = chunk->next) {
        if (!is_useless(chunk))
            continue;
        chunk_drop_locked(chunk);
        return true;
    }
    return false;
}

void chunk_drop_all_locked(struct reader *reader, bool (*is_useless)(const struct chunk *chunk))
{
    while (drop_one_locked(reader, is_useless))
        ; // the lock was let go in between: the walk starts anew after each
}

bool chunk_is_awaited(const struct chunk *chunk)
{
    const struct read *read = chunk->reader->reads;
    while (read && !chunk_holds(chunk, read->offset + read->copied))
        read = read->next;
    return read != NULL;
}

static bool is_idle(const struct chunk *chunk)
{
    return chunk->state == CHUNK_READY && !chunk_is_awaited(chunk);
}

// ---- sharing memory ----------------------------------------------------------------------------

size_t chunks_limit(const struct readers *readers)
{
    uint64_t ceiling = memory_ceiling(readers->memory);
    uint64_t wanted = memory_wanted(readers->memory);
    uint64_t limit = ceiling / (wanted ? SHORT_SHARE : IDLE_SHARE);
    // A part of a publish may be as large as all of the memory.
    return (size_t)(ceiling - wanted < limit ? ceiling - wanted : limit);
}

size_t chunks_share_locked(const struct readers *readers)
{
    return chunks_limit(readers) / (readers->active ? readers->active : 1);
}

static struct chunk *farthest_idle(const struct reader *reader)
{
    struct chunk *farthest = NULL;
    for (struct chunk *chunk = reader->chunks; chunk; chunk = chunk->next) {
        if (is_idle(chunk) && (!farthest || chunk->offset > farthest->offset))
            farthest = chunk;
    }
    return farthest;
}

// Of the reader that holds most, if that is more than `share`, what it needs last.
static bool shed_one_locked(struct readers *readers, size_t share)
{
    struct chunk *shed = NULL;
    size_t most = share;
    for (struct reader *reader = readers->first; reader; reader = reader->next) {
        struct chunk *chunk = reader->held > most ? farthest_idle(reader) : NULL;
        if (!chunk)
            continue;
        shed = chunk;
        most = reader->held;
    }
    if (shed)
        chunk_drop_locked(shed);
    return shed;
}

void chunks_shed(void *context)
{
    struct readers *readers = context;
    pthread_mutex_lock(&readers->lock);
    while (readers->held > chunks_limit(readers) && shed_one_locked(readers, 0))
        ;
    pthread_mutex_unlock(&readers->lock);
}

// Whether there is room to run ahead; those who hold more than their share make some.
static bool has_room_locked(struct readers *readers, size_t size)
{
    size_t limit = chunks_limit(readers);
    while (readers->held + size > limit && shed_one_locked(readers, chunks_share_locked(readers)))
        ;
    return readers->held + size <= limit;
}

// ---- fetching ----------------------------------------------------------------------------------

// Who waits for these bytes is answered here and now, while they are in this CPU's cache.
static int take_bytes(void *context, const void *bytes, size_t size)
{
    struct chunk *chunk = context;
    struct reader *reader = chunk->reader;
    if (size > chunk->size - chunk->filled)
        return -EIO;
    if (chunk->filled == 0)
        chunk->began_ms = clock_monotonic_ms(reader->shared->clock);
    memcpy(chunk->bytes + chunk->filled, bytes, size);
    pthread_mutex_lock(&reader->shared->lock);
    chunk->filled += size;
    if (reader->reads)
        reader_advance_locked(reader);
    pthread_mutex_unlock(&reader->shared->lock);
    return 0;
}

// -ENOMEM only where a read waits for this chunk. Without memory, one that nobody waits for is
// simply not fetched: who needs it later starts it again.
static int get_memory(struct readers *readers, struct chunk *chunk, void **ret_bytes)
{
    pthread_mutex_lock(&readers->lock);
    bool is_wanted = chunk->state == CHUNK_QUEUED;
    bool is_awaited = chunk_is_awaited(chunk);
    bool is_to_be_had = is_awaited || has_room_locked(readers, chunk->size);
    pthread_mutex_unlock(&readers->lock);
    if (!is_wanted || !is_to_be_had)
        return 0;
    *ret_bytes = memory_try(readers->memory, chunk->size);
    if (*ret_bytes || !is_awaited)
        return 0;
    *ret_bytes = memory_wait(readers->memory, &chunk->call, chunk->size);
    return *ret_bytes ? 0 : -ENOMEM;
}

// The bytes of a GET that takes as long as it should, going by this one and those before.
static void learn_locked(struct readers *readers, const struct chunk *chunk)
{
    int64_t latency_ms = chunk->began_ms - chunk->asked_ms;
    int64_t took_ms = clock_monotonic_ms(readers->clock) - chunk->began_ms;
    int64_t wanted_ms = LATENCIES * latency_ms > GET_MS ? LATENCIES * latency_ms : GET_MS;
    uint64_t bytes = chunk->size * (uint64_t)wanted_ms / (uint64_t)(took_ms > 0 ? took_ms : 1);
    if (chunk->was_alone)
        readers->latency_ms = (readers->latency_ms + (size_t)latency_ms) / 2;
    if (chunk->size < MEASURED_MIN)
        return;
    if (bytes > 2 * READER_CHUNK_MAX) // the average is to come up to it
        bytes = 2 * READER_CHUNK_MAX;
    readers->worthwhile = (3 * readers->worthwhile + (size_t)bytes) / 4;
    size_t rate = chunk->size / (size_t)(took_ms > 0 ? took_ms : 1);
    if (rate > readers->rate)
        readers->rate = rate;
    else
        readers->rate -= (readers->rate - rate) / SLOWER;
}

static int fetch(struct chunk *chunk, struct err *err)
{
    struct reader *reader = chunk->reader;
    chunk->asked_ms = clock_monotonic_ms(reader->shared->clock);
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
    if (error < 0) { // it is not remembered: who asks for these bytes from here on tries again
        chunk_drop_locked(chunk);
        reader_fail_locked(chunk->reader, chunk, err);
        return;
    }
    chunk->state = CHUNK_READY;
    reader_advance_locked(chunk->reader);
    if (chunk->consumed >= chunk->size || (is_idle(chunk) && readers->held > chunks_limit(readers)))
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
        chunk->was_alone = readers->fetching++ == 0;
        chunk->bytes = TAKE(bytes);
        readers->held += size;
        chunk->reader->held += size;
        pthread_mutex_unlock(&readers->lock);
        error = fetch(chunk, &err);
        pthread_mutex_lock(&readers->lock);
        readers->fetching--;
        if (error == 0)
            learn_locked(readers, chunk);
        finish_locked(readers, chunk, error, &err);
    } else { // a read may have begun to wait for it since
        chunk_drop_locked(chunk);
        reader_advance_locked(chunk->reader);
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
    if (!reader->chunks)
        reader->shared->active++;
    chunk->next = reader->chunks;
    reader->chunks = chunk;
    reader->references++;
    workers_add(reader->shared->workers, NULL, &chunk->task);
    return chunk;
}
