// reader.h - the bytes of one version of an object, for one open file: sequential reads run ahead.
//
// The kernel asks in pieces of up to 128 KiB, several at once and not quite in order. What is
// asked for and not there yet is fetched by ranged GETs on a few threads that all readers of the
// mount share, bound to the version's ETag, so that bytes of two versions never mix. A first or
// random read fetches what was asked for and no more; while reads go on in order, a window of
// further GETs runs ahead, as wide as what has been read in order so far, up to
// READER_WINDOW_MAX. All buffers come from memory.h's ceiling: what runs ahead only takes what
// is free and is given up when somebody waits for memory, so that no idle reader starves another.
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
    READER_CHUNK_MIN = 1 << 17,  // bytes of one GET that runs ahead: the kernel's largest piece ...
    READER_CHUNK_MAX = 1 << 22,  // ... up to what makes a request's own cost vanish
    READER_WINDOW_MAX = 1 << 24, // bytes ahead of one reader
    READER_NEAR = 1 << 20,       // a read so close to the one before still counts as in order
};
_Static_assert(READER_CHUNK_MAX <= READER_WINDOW_MAX, "a window holds at least one chunk");

struct readers; // what all readers of a mount share

int readers_new(struct s3_client *client, struct memory *memory, const struct clock *clock,
                struct readers **ret_readers, struct err *err);
// Every reader must have been closed; waits for what is still under way.
void readers_free(struct readers *readers);

struct reader;
int reader_open(struct readers *readers, const char *key, const char *etag, uint64_t size_bytes,
                struct reader **ret_reader, struct err *err);
// Does not block: what is under way is cancelled, and its end frees the rest.
void reader_close(struct reader *reader); // accepts NULL

// Blocks until the bytes are there, fewer than `size` only at the object's end. ESTALE when the
// object has been replaced or deleted; else s3.h's errors.
int reader_read(struct reader *reader, struct call *call, uint64_t offset, size_t size, void *bytes,
                size_t *ret_size, struct err *err);
