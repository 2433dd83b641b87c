// copy.h - one open of a file into which an object is copied: no byte of it passes through here.
//
// `cp` asks for ranges (copy_file_range), which are collected as long as they follow each other
// from the source's beginning, at the same offsets in both. When the file is closed, or is to be
// durable (fsync), and they are the whole of the source, the object is made inside the store, in
// parallel parts, with the source's content type and metadata (who the image is) and its record. It
// appears under the rules of any upload: whole or not at all, nothing silently replaced, a killed
// process completes nothing (upload/upload.h).
//
// What turns out to be something else, a part of the source or more than it, is poured: read, and
// written into an upload, which then takes what follows.
//
// The source is one version, (key, ETag): ESTALE where it is another before or after it was copied.
// See docs/decisions/copies.md. Holds no FUSE type; replies as writer.h says.
#pragma once

#include "../audit.h"
#include "../publish/record.h"
#include "../publish/store_place.h"
#include "../upload/upload.h"
#include "../writer.h"
#include "base/call.h"
#include "base/err.h"
#include "s3.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The ETag of what an object was copied from: parts are cut anew, so that its own is another.
#define COPY_METADATA_SOURCE "prereleasefs-copied-from"

struct copy_engine; // the copies of one mount

// uploads: into which is poured; the caller's.
int copy_engine_new(struct store_place *place, struct upload_engine *uploads,
                    struct copy_engine **ret_engine, struct err *err);
// Cancels what is under way and waits until it has been undone. Accepts NULL.
void copy_engine_free(struct copy_engine *engine);

struct copy_request {
    const char *directory;
    const char *name;
    struct audit_who who;
    struct writer_source source;
};
int copy_new(struct copy_engine *engine, const struct copy_request *request,
             struct writer **ret_writer, struct err *err);

// Whether two objects hold the same: size, and then the same version, a copy of it, the same image,
// or the same SHA-256 in their records. What cannot be told is not the same. Blocks.
struct copy_side {
    const char *key;
    const struct s3_head *head;
    const struct record *record; // or NULL: then it is looked for where needed
};
bool copy_is_same(const struct store_place *place, struct call *call, const struct copy_side *a,
                  const struct copy_side *b);

// How large the parts are: about as many as run at once, each within bounds, at most S3_PARTS_MAX.
// Pure.
uint64_t copy_part_size(uint64_t size_bytes, unsigned parallel);
