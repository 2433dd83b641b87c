// chunk.h - one ranged GET of a reader: its memory, its bytes as they arrive, who holds it.
//
// Private to reader.c and chunk.c. One lock guards all readers of a mount, their chunks and the
// reads that wait; it is never held while memory is asked for or given back, the store is asked, or
// a read is answered. Inside it: the lock of the workers, and that of memory.h for a look.
#pragma once

#include "reader.h"
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>

enum chunk_state {
    CHUNK_QUEUED,   // next: a thread, to fetch it
    CHUNK_FETCHING, // next: the same thread, as bytes arrive
    CHUNK_READY,    // all there; next: whoever reads it
    CHUNK_DROPPED,  // failed, or of no use any more; next: the last who holds it, to free it
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
    unsigned references; // the reader's list, the task, each read that is being answered
    char *bytes;         // NULL until memory was granted
    size_t filled;
    size_t consumed;
    bool was_alone;   // no other one was fetching when it began to
    int64_t asked_ms; // when the GET began, and its first bytes came; monotonic
    int64_t began_ms;
};

struct reader {
    struct readers *shared;
    char *key;
    char *etag;
    uint64_t size_bytes;

    // Guarded by the readers' lock.
    struct reader *next; // of all open ones
    struct chunk *chunks;
    struct read *reads;  // that wait
    unsigned references; // the opener's, each chunk's, who is answering reads
    size_t held;         // bytes of memory that its chunks hold
    uint64_t start;      // where the first read of those in order ended; 0 before any
    uint64_t position;   // where the farthest of them did
    uint64_t in_order;   // bytes they read after the first
    uint64_t ahead;      // up to here, chunks have been started
};

struct readers {
    struct s3_client *client;
    struct memory *memory;
    const struct clock *clock;
    struct workers *workers;

    pthread_mutex_t lock; // guards what follows, all readers and chunks
    struct reader *first;
    unsigned active;   // readers that have chunks
    size_t held;       // bytes of memory that chunks hold
    size_t worthwhile; // bytes of a GET that takes long enough for its latency not to matter
    unsigned fetching; // chunks, of all readers
    size_t latency_ms; // until the first byte of a GET that runs alone
    size_t rate;       // bytes a millisecond that one brings then, at its best; 0: not known
};

// A chunk in the reader's list, given to the threads. NULL on no memory.
struct chunk *chunk_start_locked(struct reader *reader, uint64_t offset, size_t size);
// The last one frees it. The lock is let go for a moment: nothing found before stands after.
void chunk_unref_locked(struct chunk *chunk);
// Out of the reader's list; a fetch under way ends soon. Whoever waits for it needs another:
// reader_advance_locked.
void chunk_drop_locked(struct chunk *chunk);
// Drops all that `is_useless` picks.
void chunk_drop_all_locked(struct reader *reader, bool (*is_useless)(const struct chunk *chunk));
static inline bool chunk_holds(const struct chunk *chunk, uint64_t offset)
{
    return offset >= chunk->offset && offset - chunk->offset < chunk->size;
}
// The next byte of a read that waits is one of its.
bool chunk_is_awaited(const struct chunk *chunk);
// How much memory the chunks of all readers may hold now without being awaited.
size_t chunks_limit(const struct readers *readers);
// The same of one reader: its share.
size_t chunks_share_locked(const struct readers *readers);
// Somebody waits for memory: gives up what no read has asked for yet, down to the limit.
void chunks_shed(void *readers);

// reader.c: answers the reads that can be, starts what the others need. The lock is let go while a
// read is answered.
void reader_advance_locked(struct reader *reader);
// Answers those that wait for a chunk that nobody finds any more. The lock is let go meanwhile.
void reader_fail_locked(struct reader *reader, const struct chunk *chunk, const struct err *err);
void reader_unref_locked(struct reader *reader);
