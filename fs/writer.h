// writer.h - one open of a file for writing, whatever becomes of the bytes: lines of a reference
// file are published (reference_writer.h), those of any other file are uploaded
// (upload/upload.h), or copied inside the store where they are another object's (copy/copy.h).
//
// Holds no FUSE type: ops hands every request in with a reply function, which is called exactly
// once, from any thread, with no lock held. An implementation embeds `struct writer`.
#pragma once

#include "base/call.h"
#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;

typedef void (*writer_reply)(void *context, int error); // 0 or -errno

enum writer_flush {
    WRITER_SYNC,          // fsync
    WRITER_CLOSE,         // by the process that opened the file
    WRITER_CLOSE_OF_COPY, // by another that has it open as well (a child), or of one of several
                          // copies
    WRITER_CLOSE_KILLED,  // by one that a signal ended
};

struct writer_source { // one version of an object
    const char *key;
    const char *etag;
    uint64_t size_bytes;
};

struct writer_methods {
    void (*write)(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                  writer_reply reply, void *context);
    void (*flush)(struct writer *writer, enum writer_flush how, writer_reply reply, void *context);
    void (*interrupt)(struct writer *writer, void *context, int error);
    void (*release)(struct writer *writer, bool is_abandoned);
    // NULL: bytes are all it takes.
    int (*copy)(struct writer *writer, const struct writer_source *source, uint64_t from_offset,
                uint64_t to_offset, uint64_t size);
    // NULL: its size cannot be set.
    int (*resize)(struct writer *writer, uint64_t size);
    // NULL: nothing to be done.
    int (*prepare)(struct writer *writer, struct call *call, bool is_write, struct err *err);
};

struct writer {
    const struct writer_methods *methods;
};

// Bytes are copied. Offsets that do not continue: -EOPNOTSUPP; past the size limit: -EFBIG.
static inline void writer_write(struct writer *writer, uint64_t offset, const void *bytes,
                                size_t size, writer_reply reply, void *context)
{
    writer->methods->write(writer, offset, bytes, size, reply, context);
}

static inline void writer_flush(struct writer *writer, enum writer_flush how, writer_reply reply,
                                void *context)
{
    writer->methods->flush(writer, how, reply, context);
}

// The request that was handed in with this context is answered `error` if it waits: -EINTR.
static inline void writer_interrupt(struct writer *writer, void *context, int error)
{
    writer->methods->interrupt(writer, context, error);
}

// Bytes [from_offset, from_offset + size) of an object are what is written at to_offset; at once.
// EOPNOTSUPP where the caller has to read and write them instead, EIO where the file is closed.
static inline int writer_copy(struct writer *writer, const struct writer_source *source,
                              uint64_t from_offset, uint64_t to_offset, uint64_t size)
{
    return writer->methods->copy
               ? writer->methods->copy(writer, source, from_offset, to_offset, size)
               : -EOPNOTSUPP;
}

// ftruncate of what has been written: EOPNOTSUPP, and the file is not stored, unless it only grows
// by a hole.
static inline int writer_resize(struct writer *writer, uint64_t size)
{
    return writer->methods->resize ? writer->methods->resize(writer, size) : -EOPNOTSUPP;
}

// Before a write, or before a flush that completes what is there: what blocks and has to be done
// first. EINTR where the call was cancelled: nothing has changed then.
static inline int writer_prepare(struct writer *writer, struct call *call, bool is_write,
                                 struct err *err)
{
    return writer->methods->prepare ? writer->methods->prepare(writer, call, is_write, err) : 0;
}

// The last word: the writer frees itself when what is under way has ended. is_abandoned: the mount
// ends while somebody may still have wanted to write.
static inline void writer_release(struct writer *writer, bool is_abandoned)
{
    writer->methods->release(writer, is_abandoned);
}
