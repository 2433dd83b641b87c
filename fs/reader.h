// reader.h - the bytes of one version of an object, for one open file: sequential reads run ahead.
//
// The kernel asks in pieces of up to 1 MiB, several at once and not quite in order. What is
// asked for and not there yet is fetched by ranged GETs on a few threads that all readers of the
// mount share, bound to the version's ETag, so that bytes of two versions never mix. A read that
// waits holds no thread: whoever receives its last byte answers it, out of the GET's own buffer. A
// first or random read fetches what was asked for and no more; while reads go on in order, a window
// of further GETs runs ahead, as wide as what has been read in order so far, up to
// READER_WINDOW_MAX and this reader's share of the memory. All these buffers come from memory.h's
// ceiling: what runs ahead only takes what is free, and is given up when somebody waits for memory.
// Thread-safe.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "memory.h"
#include "s3.h"

#include <stddef.h>
#include <stdint.h>

enum {
    READER_THREADS = 16,         // GETs at once, over all readers of the mount
    READER_CHUNK_MIN = 1 << 17,  // bytes of one GET that runs ahead ...
    READER_CHUNK_MAX = 1 << 23,  // ... up to what makes a request's own cost vanish
    READER_WINDOW_MAX = 1 << 26, // bytes ahead of one reader
    READER_NEAR_MIN = 1 << 20,   // a read so close to the one before still counts as in order ...
    READER_NEAR_MAX = 1 << 23,   // ... and, where it was preceded by many in order, so close
};
_Static_assert(READER_CHUNK_MAX <= READER_WINDOW_MAX, "a window holds at least one chunk");

struct readers; // what all readers of a mount share

int readers_new(struct s3_client *client, struct memory *memory, const struct clock *clock,
                struct readers **ret_readers, struct err *err);
// Every reader must have been closed, and nobody may ask for memory; waits for what is still under
// way.
void readers_free(struct readers *readers);

struct reader;
int reader_open(struct readers *readers, const char *key, const char *etag, uint64_t size_bytes,
                struct reader **ret_reader, struct err *err);
// No read may wait. Does not block: what is under way is cancelled, and its end frees the rest.
void reader_close(struct reader *reader); // accepts NULL

// One request for bytes, the caller's own, in place until it was answered or abandoned.
struct read {
    uint64_t offset;
    size_t size; // in reader_read cut at the object's end
    // Called once, on any thread, no lock held, maybe before reader_read returns. With err NULL the
    // `size` bytes are at `bytes` as long as the call lasts; else ESTALE when the object has been
    // replaced or deleted, or s3.h's errors.
    void (*answer)(struct read *read, const char *bytes, const struct err *err);

    // The reader's own.
    struct read *next;
    char *gathered; // what came from chunks that end within it; NULL while none did
    size_t copied;  // so many bytes
};
void reader_read(struct reader *reader, struct read *read);
// true: it will not be answered any more. false: it was or is just being.
bool reader_abandon(struct reader *reader, struct read *read);
