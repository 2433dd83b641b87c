// pump_private.h - what the pump's own files share: pump.c (who moves next), pump_move.c (bytes
// between registry, memory and store), pump_hash.c (digests in the file's order).
#pragma once

#include "pump.h"

#include <pthread.h>

#define NO_REWIND SIZE_MAX

// One ranged read that fills some of a part.
struct fetch {
    struct task task;
    struct part *part;
    size_t extent_index;
    uint64_t offset; // in the file
    uint64_t size;
};

// A stretch of the file that passes through memory: an uploaded part of the plan, or a piece of a
// copied one that is read for its hash.
struct part {
    struct task task; // fills it; later uploads it
    struct memory_ticket ticket;
    struct pump *pump;
    size_t index;
    const struct plan_part *plan; // it is this, or lies within this
    uint64_t offset;              // in the file
    uint64_t size;
    uint8_t *bytes; // NULL while it has no buffer
    struct fetch *fetches;

    // Guarded by the pump's lock:
    size_t fetches_left;
    bool is_full;
    bool is_hashed;
    bool is_uploaded; // from the beginning where it is only read
};

// A copied part of the plan, or a tar header (or a gzip header) to be compared within one.
struct copy {
    struct task task;
    struct pump *pump;
    const struct plan_part *plan;
    size_t extent_index; // of the header
};

// What goes through the file in order; saved where a blob begins, to come back to.
struct hashes {
    struct sha256 file;
    struct sha256 blob; // the one under way
    uint32_t crc32;     // of the tar, in a .tar.gz
};

struct pump {
    struct pump_options options;
    struct part *parts;
    size_t part_count;
    struct copy *copies;
    size_t copy_count;
    struct s3_part *finished; // of the plan; each written by whoever uploads or copies it
    uint64_t hash_from;       // before this byte the hash is known and nothing is read

    // The hasher's alone; there is one at a time (is_hashing).
    struct task hash_task;
    struct record_midstate *midstates; // one a blob, one where the layers end
    struct hashes hashes;
    struct hashes blob_start; // as they were at the beginning of part blob_start_part,
    size_t blob_start_part;   // in which the blob under way begins
    size_t blobs_redone;      // blobs below this index have had their second try

    pthread_mutex_t lock; // guards what follows and the parts' states
    size_t running;       // tasks and tickets that will still report
    bool is_asking;       // parts[next_to_ask] waits for memory
    size_t next_to_ask;
    size_t next_to_hash;
    bool is_hashing;
    size_t finished_count; // parts of the plan that the store has
    size_t rewind_to;      // everything from this part on is to be moved again, once all is quiet
    struct err err;        // the first failure
    bool is_stale;         // which was a copy's
};

// pump.c
static inline bool pump_has_failed_locked(const struct pump *pump)
{
    return pump->err.errnum != 0;
}
void pump_fail(struct pump *pump, const struct err *err);
void pump_fail_copy(struct pump *pump, struct err *err);
void pump_advance(struct pump *pump); // asks for memory for the next part, if it is time to
void pump_enter(struct pump *pump, size_t count); // more tasks that will leave
void pump_leave(struct pump *pump); // a task has ended: the caller's last touch of the pump
bool part_is_wanted(struct part *part);
bool part_is_read_only(const struct part *part); // from a copy's source
// The stretch of an extent that lies within the part.
void part_window(const struct part *part, const struct archive_extent *extent, uint64_t *ret_offset,
                 uint64_t *ret_size);
void part_release_if_done(struct part *part);

// pump_move.c
void pump_run_fill(struct task *task);
void pump_run_fetch(struct task *task);
void pump_run_copy(struct task *task);
void pump_run_header_check(struct task *task);
void pump_run_upload(struct task *task);
void part_start_upload(struct part *part);
bool part_must_be_hashed_first(const struct part *part);

// pump_hash.c
void pump_run_hash(struct task *task);
void pump_start_hashing(struct pump *pump);
