// chunk.h - one ranged GET of a reader: its memory, its bytes as they arrive, who holds it.
//
// Private to reader.c and chunk.c. One lock guards all readers of a mount and their chunks; it is
// never held while memory is asked for or given back, or the store is asked.
#pragma once

#include "reader.h"
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>

enum chunk_state {
    CHUNK_QUEUED,   // next: a thread, to fetch it
    CHUNK_FETCHING, // next: the same thread, as bytes arrive
    CHUNK_READY,    // all there; next: whoever reads it
    CHUNK_FAILED,   // next: whoever waits, to answer its err
    CHUNK_DROPPED,  // of no use any more; next: the last who holds it, to free it
};

// One ranged GET.
struct chunk {
    struct task task; // first: the two are one address
    struct reader *reader;
    uint64_t offset;
    size_t size;
    struct call call;

    // Guarded by the readers' lock, but for the bytes past `filled`, which the fetcher owns.
    struct chunk *next; // in reader->chunks
    enum chunk_state state;
    unsigned references; // the reader's list, the task, each read that waits or copies
    unsigned readers;    // of these, the last
    char *bytes;         // NULL until memory was granted
    size_t filled;
    size_t consumed;
    struct err *err; // FAILED; NULL on no memory
};

struct reader {
    struct readers *shared;
    char *key;
    char *etag;
    uint64_t size_bytes;

    // Guarded by the readers' lock.
    struct reader *next; // of all open ones
    struct chunk *chunks;
    pthread_cond_t progress;
    bool is_closed;
    unsigned references; // the opener's, and each chunk's
    uint64_t position;   // where the last read in order ended
    uint64_t in_order;   // bytes read in order before that
    uint64_t ahead;      // up to here, chunks have been started
};

struct readers {
    struct s3_client *client;
    struct memory *memory;
    const struct clock *clock;
    struct workers *workers;
    size_t window_max; // bytes that may run ahead of one reader ...
    size_t ahead_max;  // ... and of all, so that idle ones leave enough to those who publish

    pthread_mutex_t lock; // guards what follows, all readers and chunks
    struct reader *first;
    unsigned hungry; // chunks that are waited for and wait for memory
    size_t held;     // bytes of memory that chunks hold
};

// A chunk in the reader's list, given to the threads. NULL on no memory.
struct chunk *chunk_start_locked(struct reader *reader, uint64_t offset, size_t size);
// The last one frees it. The lock is let go for a moment: nothing found before stands after.
void chunk_unref_locked(struct chunk *chunk);
// Out of the reader's list. Whoever waits for it looks for another; a fetch under way ends soon.
void chunk_drop_locked(struct chunk *chunk);
// Drops all that `is_useless` picks.
void chunk_drop_all_locked(struct reader *reader, bool (*is_useless)(const struct reader *reader,
                                                                     const struct chunk *chunk));
// Holds memory and nobody needs it now.
bool chunk_is_idle(const struct reader *reader, const struct chunk *chunk);
void reader_unref_locked(struct reader *reader);
