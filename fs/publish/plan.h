// plan.h - cuts a file of known size into the parts of one multipart upload. Pure.
//
// A part is uploaded, or copied inside the store from an object that holds the same bytes (a
// "run"). What S3 asks of the parts (s3.h): at most S3_PARTS_MAX of them, each at most
// S3_PART_SIZE_MAX and each but the last at least S3_PART_SIZE_MIN. So a gap between two copies
// that is too short for parts of its own is widened by uploading the first bytes of the run
// behind it (less than S3_PART_SIZE_MIN of them), and what would be left of a run under
// S3_PART_SIZE_MIN is not copied. So a run of 2 * S3_PART_SIZE_MIN always is, unless there are so
// many that S3_PARTS_MAX does not suffice: then the smaller ones are left out.
//
// An uploaded part is held in memory, whole. Its size is memory / (2 * parallel): each worker
// fills one while its last one may still wait for its turn at the hashers. It grows where
// S3_PARTS_MAX would not suffice, up to the whole of `memory`. A copied part needs no memory; it
// is cut to keep `parallel` requests busy.
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define PLAN_COPY_SIZE_MIN                                                                         \
    (UINT64_C(64) << 20)                         // bytes; smaller copies cost more in requests
                                                 // than they win side by side
#define PLAN_COPY_SIZE_MAX (UINT64_C(256) << 20) // bytes, unless S3_PARTS_MAX asks for more

// Bytes [offset, offset + size) of the file to be made, as they stand in an object that is there.
// Runs may come in any order and overlap. The strings stay the caller's and outlive the plan.
struct plan_run {
    uint64_t offset;
    uint64_t size;
    const char *source_key;
    const char *source_etag;
    uint64_t source_offset;
};

enum plan_part_kind { PLAN_UPLOAD, PLAN_COPY };

struct plan_part {
    enum plan_part_kind kind;
    uint64_t offset; // in the file
    uint64_t size;
    const struct plan_run *run; // COPY: where from, the caller's own; NULL for UPLOAD
    uint64_t source_offset;     // COPY: in run->source_key
};

// Parts in the file's order, without gaps; parts[i] is part number i + 1.
struct plan {
    struct plan_part *parts;
    size_t part_count;
    uint64_t upload_part_size; // no uploaded part is larger
    uint64_t upload_bytes;     // of all uploaded parts
    uint64_t copy_bytes;
};

struct plan_options {
    uint64_t memory_bytes; // ceiling for the bytes in flight: what `memory=` leaves for buffers
    unsigned parallel;     // transfers at once, from 1
};

// runs stay the caller's and outlive the plan; run_count 0 means that all is uploaded. An empty
// file is one empty part. EFBIG: no object is that large, or a part that S3_PARTS_MAX parts need
// does not fit memory_bytes; the sentence says by how much to raise it. EINVAL: a run that is not
// within the file.
int plan_new(uint64_t size_bytes, const struct plan_options *options, const struct plan_run *runs,
             size_t run_count, struct plan **ret_plan, struct err *err);
void plan_free(struct plan *plan); // accepts NULL
