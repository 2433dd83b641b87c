// upload.h - one open of an ordinary file for writing: bytes in, an object out, whole or not at
// all.
//
// Bytes are taken in order, from the beginning to the end (holes in whole blocks, as cp leaves them
// out of what it copies, are filled with zeros), into buffers under the mount's memory
// ceiling, and go to the store as the parts of a multipart upload while more are written; a file
// that fits one buffer is put at once in the end. The object appears when
//   - the process that opened the file closes it, or asks for it to be durable (fsync): what the
//     store says is the answer;
//   - nobody of it has the file open any more (a child wrote into it): nobody hears of a failure
//     then but the log and status.tsv.
// A file that a killed process had open is never completed: half of it would look whole.
//
// Its SHA-256 is computed on the way and stored as its record.
//
// No silent replacement: the same bytes again are a success; others under the name of an existing
// object are EEXIST, unless the mount has `overwrite`, and under releases/ even then. O_TRUNC by
// itself destroys nothing.
//
// Holds no FUSE type. Every reply function is called exactly once, from any thread, no lock held.
#pragma once

#include "../audit.h"
#include "../publish/store_place.h"
#include "../writer.h"
#include "base/call.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct upload_engine; // the uploads of one mount

int upload_engine_new(struct store_place *place, struct upload_engine **ret_engine,
                      struct err *err);
// Cancels what is under way and waits until it has been undone. Accepts NULL.
void upload_engine_free(struct upload_engine *engine);
// Waits until no file of that name (NULL: none of the directory's) that nobody has open any more is
// on its way; not longer than that. false: there was none.
bool upload_engine_wait(struct upload_engine *engine, struct call *call, const char *directory,
                        const char *name, int64_t limit_ms);

struct upload_request {
    const char *directory;
    const char *name;
    struct audit_who who;
    // Created by this open, or truncated: it becomes an object even if nothing is written, when
    // nobody has it open any more ...
    bool is_fresh;
    bool is_last;    // nobody has it open any more: it is released next
    bool is_touched; // ... or when it is closed (else a child may write into it later)
    // Nobody had made it before: its maker's scratch if it stays empty, or ...
    bool is_exclusive;
    bool is_read_too; // ... is read as well
};
// Writes answer when the bytes were taken, which waits for memory. EOPNOTSUPP where an offset does
// not continue; EFBIG past what an object can hold. The bytes of an interrupted write were not
// taken; an interrupted flush cancels.
int upload_new(struct upload_engine *engine, const struct upload_request *request,
               struct writer **ret_writer, struct err *err);
