#include "reader.h"

#include "chunk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_SHARE = 8, // one window takes at most this part of the memory's ceiling ...
    AHEAD_SHARE = 4,  // ... and all of them together at most this
    CHUNK_SHARE = 4,  // a chunk that runs ahead is this part of the window, so that several run
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
    uint64_t share = memory_ceiling(memory) / WINDOW_SHARE;
    readers->window_max = share < READER_WINDOW_MAX ? (size_t)share : READER_WINDOW_MAX;
    readers->ahead_max = (size_t)(memory_ceiling(memory) / AHEAD_SHARE);
    pthread_mutex_init(&readers->lock, NULL);
    *ret_readers = readers;
    return 0;
}

void readers_free(struct readers *readers)
{
    if (!readers)
        return;
    workers_free(readers->workers);
    pthread_mutex_destroy(&readers->lock);
    free(readers);
}

static bool is_any(const struct reader *reader, const struct chunk *chunk)
{
    (void)reader;
    (void)chunk;
    return true;
}

// Behind the stream, or read to its end: the kernel's page cache has it.
static bool is_behind(const struct reader *reader, const struct chunk *chunk)
{
    if (chunk->readers > 0)
        return false;
    return chunk->consumed >= chunk->size ||
           chunk->offset + chunk->size + READER_NEAR < reader->position;
}

// Ran ahead of a stream that has gone elsewhere.
static bool is_elsewhere(const struct reader *reader, const struct chunk *chunk)
{
    return chunk->readers == 0 && chunk->offset >= reader->ahead;
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
    call_wait_init(&reader->progress);

    pthread_mutex_lock(&readers->lock);
    reader->next = readers->first;
    readers->first = reader;
    pthread_mutex_unlock(&readers->lock);
    *ret_reader = reader;
    return 0;
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

static struct chunk *find_locked(const struct reader *reader, uint64_t offset)
{
    struct chunk *chunk = reader->chunks;
    while (chunk && (offset < chunk->offset || offset - chunk->offset >= chunk->size))
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

static size_t window_locked(const struct reader *reader)
{
    size_t most = reader->shared->window_max;
    return reader->in_order < most ? (size_t)reader->in_order : most;
}

static size_t chunk_size_locked(const struct reader *reader)
{
    size_t size = window_locked(reader) / CHUNK_SHARE;
    size = size < READER_CHUNK_MAX ? size : READER_CHUNK_MAX;
    return size > READER_CHUNK_MIN ? size : READER_CHUNK_MIN;
}

// Whether this read goes on where the ones before it were; the pieces of one stream may overtake
// each other.
static bool goes_on_locked(struct reader *reader, uint64_t offset, size_t size)
{
    uint64_t end = offset + size;
    bool is_near =
        offset <= reader->position + READER_NEAR && end + READER_NEAR >= reader->position;
    if (!is_near || (reader->position == 0 && offset > 0)) {
        reader->in_order = 0;
        reader->position = end;
        reader->ahead = end;
        return false;
    }
    if (end > reader->position) {
        reader->in_order += reader->position > 0 ? end - reader->position : 0;
        reader->position = end;
    }
    if (reader->ahead < end)
        reader->ahead = end;
    return true;
}

static void run_ahead_locked(struct reader *reader)
{
    uint64_t limit = reader->position + window_locked(reader);
    if (limit > reader->size_bytes)
        limit = reader->size_bytes;
    size_t size = chunk_size_locked(reader);
    while (reader->ahead < limit) {
        // Chunks of one size, so that their memory is used again; the last one of the window
        // waits until it is worth a request.
        if (limit - reader->ahead < size && limit < reader->size_bytes)
            return;
        size_t room =
            find_locked(reader, reader->ahead) ? 0 : room_locked(reader, reader->ahead, size);
        if (room > 0 && !chunk_start_locked(reader, reader->ahead, room))
            return; // no memory to run ahead: reads will start their own
        struct chunk *there = find_locked(reader, reader->ahead);
        reader->ahead = there->offset + there->size;
    }
}

// Up to `size` bytes at `offset` out of a chunk that holds the first of them; waits for it. 0
// bytes when the chunk was dropped. The caller holds a reference.
static int copy_locked(struct reader *reader, struct call *call, struct chunk *chunk,
                       uint64_t offset, size_t size, char *bytes, size_t *ret_size, struct err *err)
{
    size_t skip = (size_t)(offset - chunk->offset);
    while (chunk->filled <= skip) {
        if (chunk->state == CHUNK_DROPPED)
            return 0;
        if (chunk->state == CHUNK_FAILED) {
            if (!chunk->err)
                return err_no_memory(err);
            *err = *chunk->err;
            return -err->errnum;
        }
        if (!call_wait(call, &reader->progress, &reader->shared->lock))
            return err_set(err, EINTR, "cancelled");
    }
    size_t there = chunk->filled - skip;
    *ret_size = there < size ? there : size;
    chunk->consumed += *ret_size;
    // What is filled is not written again, and the reference keeps it.
    pthread_mutex_unlock(&reader->shared->lock);
    memcpy(bytes, chunk->bytes + skip, *ret_size);
    pthread_mutex_lock(&reader->shared->lock);
    return 0;
}

static int read_some_locked(struct reader *reader, struct call *call, uint64_t offset, size_t size,
                            char *bytes, size_t *ret_size, struct err *err)
{
    struct chunk *chunk = find_locked(reader, offset);
    if (!chunk) {
        // While reads go on in order, a piece of a larger chunk costs no request of its own.
        size_t wanted = reader->in_order > 0 ? chunk_size_locked(reader) : size;
        chunk = chunk_start_locked(reader, offset,
                                   room_locked(reader, offset, wanted > size ? wanted : size));
    }
    if (!chunk)
        return err_no_memory(err);
    uint64_t end = chunk->offset + chunk->size;
    if (reader->ahead < end)
        reader->ahead = end;
    chunk->references++;
    chunk->readers++;
    run_ahead_locked(reader);
    int error = copy_locked(reader, call, chunk, offset, size, bytes, ret_size, err);
    chunk->readers--;
    if (chunk->readers == 0 && (chunk->state == CHUNK_FAILED ||
                                (reader->shared->hungry > 0 && chunk_is_idle(reader, chunk))))
        chunk_drop_locked(chunk);
    chunk_unref_locked(chunk);
    return error;
}

int reader_read(struct reader *reader, struct call *call, uint64_t offset, size_t size, void *bytes,
                size_t *ret_size, struct err *err)
{
    if (offset >= reader->size_bytes)
        size = 0;
    else if (size > reader->size_bytes - offset)
        size = (size_t)(reader->size_bytes - offset);
    size_t done = 0;
    int error = 0;
    pthread_mutex_lock(&reader->shared->lock);
    if (size > 0 && !goes_on_locked(reader, offset, size))
        chunk_drop_all_locked(reader, is_elsewhere);
    while (done < size && error == 0) {
        size_t some = 0;
        error = read_some_locked(reader, call, offset + done, size - done, (char *)bytes + done,
                                 &some, err);
        done += some;
    }
    chunk_drop_all_locked(reader, is_behind);
    pthread_mutex_unlock(&reader->shared->lock);
    if (error < 0)
        return error;
    *ret_size = done;
    return 0;
}
