#include "reader.h"

#include "chunk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_SHARE = 4, // a chunk that runs ahead is at most this part of the window: several run
    // Bytes a millisecond that a stream is to bring. No more GETs run beside each other than it
    // takes: those of a store on the same machine, or of a line that one fills, only take turns.
    STREAM_RATE = 1000 * 1000,
};

int readers_new(struct s3_client *client, struct memory *memory, const struct clock *clock,
                struct readers **ret_readers, struct err *err)
{
    struct readers *readers = calloc(1, sizeof(*readers));
    if (!readers)
        return err_no_memory(err);
    int error = workers_new("reader", READER_THREADS, &readers->workers, err);
    if (error < 0) {
        free(readers);
        return error;
    }
    readers->client = client;
    readers->memory = memory;
    readers->clock = clock;
    readers->worthwhile = READER_CHUNK_MAX; // until something is known
    pthread_mutex_init(&readers->lock, NULL);
    memory_on_shortage(memory, chunks_shed, readers);
    *ret_readers = readers;
    return 0;
}

void readers_free(struct readers *readers)
{
    if (!readers)
        return;
    memory_on_shortage(readers->memory, NULL, NULL);
    workers_free(readers->workers);
    pthread_mutex_destroy(&readers->lock);
    free(readers);
}

int reader_open(struct readers *readers, const char *key, const char *etag, uint64_t size_bytes,
                struct reader **ret_reader, struct err *err)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return err_no_memory(err);
    reader->key = strdup(key);
    reader->etag = strdup(etag);
    if (!reader->key || !reader->etag) {
        free(reader->key);
        free(reader->etag);
        free(reader);
        return err_no_memory(err);
    }
    reader->shared = readers;
    reader->size_bytes = size_bytes;
    reader->references = 1;

    pthread_mutex_lock(&readers->lock);
    reader->next = readers->first;
    readers->first = reader;
    pthread_mutex_unlock(&readers->lock);
    *ret_reader = reader;
    return 0;
}

static bool is_any(const struct chunk *chunk)
{
    (void)chunk;
    return true;
}

void reader_close(struct reader *reader)
{
    if (!reader)
        return;
    struct readers *readers = reader->shared;
    pthread_mutex_lock(&readers->lock);
    struct reader **at = &readers->first;
    while (*at != reader)
        at = &(*at)->next;
    *at = reader->next;
    chunk_drop_all_locked(reader, is_any);
    reader_unref_locked(reader);
    pthread_mutex_unlock(&readers->lock);
}

// ---- running ahead -----------------------------------------------------------------------------

static size_t window_locked(const struct reader *reader)
{
    size_t most = chunks_share_locked(reader->shared) / 4 * 3; // the rest is being read
    most = most < READER_WINDOW_MAX ? most : READER_WINDOW_MAX;
    return reader->in_order < most ? (size_t)reader->in_order : most;
}

static uint64_t near_locked(const struct reader *reader)
{
    uint64_t near = reader->in_order < READER_NEAR_MAX ? reader->in_order : READER_NEAR_MAX;
    return near > READER_NEAR_MIN ? near : READER_NEAR_MIN;
}

static unsigned under_way_locked(const struct reader *reader)
{
    unsigned count = 0;
    for (const struct chunk *chunk = reader->chunks; chunk; chunk = chunk->next)
        count += chunk->state == CHUNK_QUEUED || chunk->state == CHUNK_FETCHING;
    return count;
}

// A power of two: what makes several run in the window, and a GET's latency a small part of it.
static size_t chunk_size_locked(const struct reader *reader)
{
    size_t most = window_locked(reader) / CHUNK_SHARE;
    if (most > reader->shared->worthwhile)
        most = reader->shared->worthwhile;
    size_t size = READER_CHUNK_MIN;
    while (size < READER_CHUNK_MAX && 2 * size <= most)
        size *= 2;
    return size;
}

// How many GETs of a stream are to be under way beside each other: one that begins, and as many as
// bring what they should by how long one takes alone.
static unsigned width_locked(const struct reader *reader, size_t size)
{
    const struct readers *shared = reader->shared;
    if (shared->rate == 0)
        return READER_THREADS;
    uint64_t meanwhile = (uint64_t)STREAM_RATE * (shared->latency_ms + size / shared->rate);
    uint64_t width = 1 + (meanwhile + size / 2) / size;
    return width < 2 ? 2 : width > READER_THREADS ? READER_THREADS : (unsigned)width;
}

// Ends at a multiple of its size: stores keep objects in such pieces, and the buffers of a stream
// come out alike, so that their memory is used again.
static size_t aligned(uint64_t offset, size_t size)
{
    size_t end = size - (size_t)(offset % size);
    return end < size / 4 ? end + size : end;
}

static struct chunk *find_locked(const struct reader *reader, uint64_t offset)
{
    struct chunk *chunk = reader->chunks;
    while (chunk && !chunk_holds(chunk, offset))
        chunk = chunk->next;
    return chunk;
}

// Where a chunk that begins at `offset` has to end: at the object's end, or where another begins.
static size_t room_locked(const struct reader *reader, uint64_t offset, size_t size)
{
    uint64_t end = reader->size_bytes;
    for (const struct chunk *chunk = reader->chunks; chunk; chunk = chunk->next) {
        if (chunk->offset >= offset && chunk->offset < end)
            end = chunk->offset;
    }
    return end - offset < size ? (size_t)(end - offset) : size;
}

static void run_ahead_locked(struct reader *reader)
{
    uint64_t limit = reader->position + window_locked(reader);
    if (limit > reader->size_bytes)
        limit = reader->size_bytes;
    size_t size = chunk_size_locked(reader);
    unsigned width = width_locked(reader, size);
    while (reader->ahead < limit && under_way_locked(reader) < width) {
        // The last one of the window waits until it is worth a request.
        size_t wanted = aligned(reader->ahead, size);
        if (limit - reader->ahead < wanted && limit < reader->size_bytes)
            return;
        size_t room =
            find_locked(reader, reader->ahead) ? 0 : room_locked(reader, reader->ahead, wanted);
        if (room > 0 && !chunk_start_locked(reader, reader->ahead, room))
            return; // no memory to run ahead: reads will start their own
        struct chunk *there = find_locked(reader, reader->ahead);
        assert(there); // it stood there, or has just been started
        reader->ahead = there->offset + there->size;
    }
}

// Whether this read goes on where the ones before it were: close by, as the pieces of one stream
// may overtake each other, but not by leaps that leave most out (tar t).
static bool goes_on_locked(struct reader *reader, uint64_t offset, size_t size)
{
    uint64_t end = offset + size;
    uint64_t near = near_locked(reader);
    bool is_near = reader->start > 0 && offset <= reader->position + near &&
                   end + near >= reader->position && end >= reader->start;
    if (!is_near || (end - reader->start) / 2 > reader->in_order + size) {
        reader->in_order = 0;
        reader->start = reader->position = reader->ahead = end;
        return false;
    }
    reader->in_order += size;
    if (end > reader->position)
        reader->position = end;
    return true;
}

// Behind the stream, or read to its end: the kernel's page cache has it.
static bool is_behind(const struct chunk *chunk)
{
    const struct reader *reader = chunk->reader;
    if (chunk_is_awaited(chunk) || (chunk->state == CHUNK_FETCHING && chunk->consumed > 0))
        return false;
    return chunk->consumed >= chunk->size ||
           chunk->offset + chunk->size + near_locked(reader) < reader->position;
}

// Ran ahead of a stream that has gone elsewhere.
static bool is_elsewhere(const struct chunk *chunk)
{
    return chunk->offset >= chunk->reader->ahead && !chunk_is_awaited(chunk);
}

// ---- answering ---------------------------------------------------------------------------------

static uint64_t next_byte(const struct read *read)
{
    return read->offset + read->copied;
}

// While reads go on in order, a piece of a larger chunk costs no request of its own.
static struct chunk *start_for_locked(struct reader *reader, const struct read *read)
{
    size_t left = read->size - read->copied;
    size_t wanted =
        reader->in_order > 0 ? aligned(next_byte(read), chunk_size_locked(reader)) : left;
    struct chunk *chunk =
        chunk_start_locked(reader, next_byte(read),
                           room_locked(reader, next_byte(read), wanted > left ? wanted : left));
    if (chunk && reader->ahead < chunk->offset + chunk->size)
        reader->ahead = chunk->offset + chunk->size;
    return chunk;
}

// Out of the list, and answered without the lock.
static void answer_locked(struct reader *reader, struct read **at, const char *bytes,
                          const struct err *err)
{
    struct read *read = *at;
    char *gathered = read->gathered;
    *at = read->next;
    pthread_mutex_unlock(&reader->shared->lock);
    read->answer(read, bytes, err);
    free(gathered);
    pthread_mutex_lock(&reader->shared->lock);
}

static void out_of_memory_locked(struct reader *reader, struct read **at)
{
    struct err err = {0};
    err_no_memory(&err);
    answer_locked(reader, at, NULL, &err);
}

void reader_fail_locked(struct reader *reader, const struct chunk *chunk, const struct err *err)
{
    struct read *failed = NULL;
    for (struct read **at = &reader->reads, **last = &failed; *at;) {
        struct read *read = *at;
        if (!chunk_holds(chunk, next_byte(read))) {
            at = &read->next;
            continue;
        }
        *at = read->next;
        read->next = NULL;
        *last = read;
        last = &read->next;
    }
    while (failed)
        answer_locked(reader, &failed, NULL, err);
}

// What is filled is not written again, and the reference keeps it.
static void answer_from_locked(struct reader *reader, struct read **at, struct chunk *chunk)
{
    chunk->references++;
    chunk->consumed += (*at)->size;
    answer_locked(reader, at, chunk->bytes + ((*at)->offset - chunk->offset), NULL);
    chunk_unref_locked(chunk);
}

// A read that goes on behind the chunk does not hold it until the next one is there: waiting for
// memory and holding some would be a way for all to wait for each other.
static int gather(struct read *read, struct chunk *chunk, size_t size)
{
    if (!read->gathered && !(read->gathered = malloc(read->size)))
        return -ENOMEM;
    memcpy(read->gathered + read->copied, chunk->bytes + (next_byte(read) - chunk->offset), size);
    read->copied += size;
    chunk->consumed += size;
    return 0;
}

// true if the read was answered; the lock was let go meanwhile.
static bool try_to_answer_locked(struct reader *reader, struct read **at)
{
    struct read *read = *at;
    while (read->copied < read->size) {
        struct chunk *chunk = find_locked(reader, next_byte(read));
        if (!chunk)
            chunk = start_for_locked(reader, read);
        if (!chunk) {
            out_of_memory_locked(reader, at);
            return true;
        }
        size_t skip = (size_t)(next_byte(read) - chunk->offset);
        size_t there = chunk->filled > skip ? chunk->filled - skip : 0;
        size_t left = read->size - read->copied;
        if (there >= left && read->copied == 0) {
            answer_from_locked(reader, at, chunk);
            return true;
        }
        if (there < left && chunk->filled < chunk->size)
            return false;
        if (gather(read, chunk, there < left ? there : left) < 0) {
            out_of_memory_locked(reader, at);
            return true;
        }
    }
    answer_locked(reader, at, read->gathered, NULL);
    return true;
}

void reader_advance_locked(struct reader *reader)
{
    reader->references++;
    for (struct read **at = &reader->reads; *at;)
        at = try_to_answer_locked(reader, at) ? &reader->reads : &(*at)->next;
    chunk_drop_all_locked(reader, is_behind);
    reader_unref_locked(reader);
}

void reader_read(struct reader *reader, struct read *read)
{
    if (read->offset >= reader->size_bytes)
        read->size = 0;
    else if (read->size > reader->size_bytes - read->offset)
        read->size = (size_t)(reader->size_bytes - read->offset);
    read->gathered = NULL;
    read->copied = 0;
    if (read->size == 0) {
        read->answer(read, NULL, NULL);
        return;
    }
    struct readers *readers = reader->shared; // the answer may let the reader be closed
    pthread_mutex_lock(&readers->lock);
    struct read **last = &reader->reads;
    while (*last)
        last = &(*last)->next;
    read->next = NULL;
    *last = read;
    if (goes_on_locked(reader, read->offset, read->size))
        run_ahead_locked(reader);
    else
        chunk_drop_all_locked(reader, is_elsewhere);
    reader_advance_locked(reader);
    pthread_mutex_unlock(&readers->lock);
}

bool reader_abandon(struct reader *reader, struct read *read)
{
    pthread_mutex_lock(&reader->shared->lock);
    struct read **at = &reader->reads;
    while (*at && *at != read)
        at = &(*at)->next;
    bool was_waiting = *at;
    if (was_waiting) {
        *at = read->next;
        free(read->gathered);
    }
    pthread_mutex_unlock(&reader->shared->lock);
    return was_waiting;
}
