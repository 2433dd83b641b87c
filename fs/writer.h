// writer.h - one open of a file for writing, whatever becomes of the bytes: lines of a reference
// file are published (reference_writer.h), those of any other file are uploaded
// (upload/upload.h).
//
// Holds no FUSE type: ops hands every request in with a reply function, which is called exactly
// once, from any thread, with no lock held. An implementation embeds `struct writer`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;

typedef void (*writer_reply)(void *context, int error); // 0 or -errno

enum writer_flush {
    WRITER_SYNC,           // fsync
    WRITER_CLOSE,          // by the process that opened the file
    WRITER_CLOSE_BY_OTHER, // by another that has it open as well: a child
    WRITER_CLOSE_KILLED,   // by one that a signal ended
};

struct writer_methods {
    void (*write)(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                  writer_reply reply, void *context);
    void (*flush)(struct writer *writer, enum writer_flush how, writer_reply reply, void *context);
    void (*interrupt)(struct writer *writer, void *context, int error);
    void (*release)(struct writer *writer, bool is_abandoned);
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

// The last word: the writer frees itself when what is under way has ended. is_abandoned: the mount
// ends while somebody may still have wanted to write.
static inline void writer_release(struct writer *writer, bool is_abandoned)
{
    writer->methods->release(writer, is_abandoned);
}
