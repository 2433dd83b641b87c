// writer.h - one open of a reference file for writing: bytes in, publishes out.
//
// Holds no FUSE type: ops hands every request in with a reply function, which is called exactly
// once, from any thread, with no lock held. What the shell does decides what happens when:
//   - a write acts on the lines that it completes, and is answered when all of their images are
//     published, or with the errno of the first that failed;
//   - flush acts on a last line without newline; a flush with nothing to do answers at once
//     (shells flush a file before they write it);
//   - an interrupt answers EINTR at once; the same bytes written again at the same offset
//     re-attach to the publish (a stopped and continued cp); a flush or release cancels it;
//   - a handle that has failed stays failed.
#pragma once

#include "base/err.h"
#include "publish/publish.h"
#include "tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct writer;

struct writer_options {
    struct publish_engine *engine;
    const char *directory;
    const char *name; // "images.ref"
    uid_t uid;        // who writes, for the record and the log
    pid_t pid;
    // An append: the object's present bytes, which are kept and not acted on. Stays the caller's.
    const char *base;
    size_t base_size;
};
int writer_new(const struct writer_options *options, struct writer **ret_writer, struct err *err);

typedef void (*writer_reply)(void *context, int error); // 0 or -errno

// Bytes are copied. Offsets that do not continue: -EOPNOTSUPP; past the size limit: -EFBIG.
void writer_write(struct writer *writer, uint64_t offset, const void *bytes, size_t size,
                  writer_reply reply, void *context);
// flush and fsync alike.
void writer_flush(struct writer *writer, bool is_close, writer_reply reply, void *context);
// The request that was handed in with this context is answered `error` if it waits: -EINTR.
void writer_interrupt(struct writer *writer, void *context, int error);
// Bytes so far, for the private inode's size.
uint64_t writer_size(struct writer *writer);
// The last word: cancels what is under way and frees the writer when that has ended.
void writer_release(struct writer *writer);
