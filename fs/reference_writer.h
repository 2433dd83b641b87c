// reference_writer.h - one open of a reference file for writing: bytes in, publishes out.
//
// What the shell does decides what happens when:
//   - a write acts on the lines that it completes, and is answered when all of their images are
//     published, or with the errno of the first that failed;
//   - flush acts on a last line without newline; a flush with nothing to do answers at once
//     (shells flush a file before they write it);
//   - an interrupt answers EINTR at once; the same bytes written again at the same offset
//     re-attach to the publish (a stopped and continued cp); a flush or release cancels it;
//   - a handle that has failed stays failed.
#pragma once

#include "audit.h"
#include "base/err.h"
#include "publish/publish.h"
#include "writer.h"

#include <stddef.h>
#include <sys/types.h>

struct reference_writer_options {
    struct publish_engine *engine;
    const char *directory;
    const char *name; // "images.ref"
    struct audit_who who;
    // An append: the object's present bytes, which are kept and not acted on. Stays the caller's.
    const char *base;
    size_t base_size;
};
int reference_writer_new(const struct reference_writer_options *options, struct writer **ret_writer,
                         struct err *err);
