// Who moves next: parts, copies, rewinds, the end.
#include "pump_private.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- failing -----------------------------------------------------------------------------------

// true for the first failure. Withdraws what waits for memory.
static bool note_failure(struct pump *pump, const struct err *err, bool is_stale)
{
    pthread_mutex_lock(&pump->lock);
    bool is_first = !pump_has_failed_locked(pump);
    struct memory_ticket *ticket = pump->is_asking ? &pump->parts[pump->next_to_ask].ticket : NULL;
    if (is_first) {
        pump->err = *err;
        pump->is_stale = is_stale;
    }
    pthread_mutex_unlock(&pump->lock);
    if (is_first && ticket && memory_withdraw(pump->options.memory, ticket)) {
        pthread_mutex_lock(&pump->lock);
        pump->is_asking = false;
        pthread_mutex_unlock(&pump->lock);
        pump_leave(pump);
    }
    return is_first;
}

void pump_fail(struct pump *pump, const struct err *err)
{
    if (note_failure(pump, err, false))
        pump->options.failed(pump->options.context, err);
}

// A copy that fails costs a second try without copies, unless nobody wants that any more.
void pump_fail_copy(struct pump *pump, struct err *err)
{
    if (err->errnum == EINTR)
        pump_fail(pump, err);
    else
        note_failure(pump, err, true);
}

// ---- starting ----------------------------------------------------------------------------------

void pump_enter(struct pump *pump, size_t count)
{
    pthread_mutex_lock(&pump->lock);
    pump->running += count;
    pthread_mutex_unlock(&pump->lock);
}

void pump_advance(struct pump *pump)
{
    struct memory_ticket *ticket = NULL;
    pthread_mutex_lock(&pump->lock);
    if (!pump_has_failed_locked(pump) && pump->rewind_to == NO_REWIND && !pump->is_asking &&
        pump->next_to_ask < pump->part_count) {
        pump->is_asking = true;
        pump->running++;
        ticket = &pump->parts[pump->next_to_ask].ticket;
    }
    pthread_mutex_unlock(&pump->lock);
    if (ticket)
        memory_ask(pump->options.memory, ticket);
}

// The ticket's place in `running` goes over to the fill task.
static void memory_granted(struct memory_ticket *ticket, void *bytes)
{
    struct part *part = CONTAINER_OF(ticket, struct part, ticket);
    struct pump *pump = part->pump;
    pthread_mutex_lock(&pump->lock);
    pump->is_asking = false;
    pump->next_to_ask++;
    pthread_mutex_unlock(&pump->lock);
    part->bytes = bytes;
    workers_add(pump->options.fetches, pump->options.fetch_lane, &part->task);
}

void pump_start(struct pump *pump)
{
    pump_enter(pump, pump->copy_count + 1); // this one as well
    for (size_t i = 0; i < pump->copy_count; i++)
        workers_add(pump->options.uploads, pump->options.copy_lane, &pump->copies[i].task);
    pump_advance(pump);
    pump_leave(pump);
}

// ---- parts -------------------------------------------------------------------------------------

bool part_is_wanted(struct part *part)
{
    struct pump *pump = part->pump;
    pthread_mutex_lock(&pump->lock);
    bool is = !pump_has_failed_locked(pump) && part->index < pump->rewind_to;
    pthread_mutex_unlock(&pump->lock);
    return is;
}

bool part_is_read_only(const struct part *part)
{
    return part->plan->kind == PLAN_COPY;
}

void part_window(const struct part *part, const struct archive_extent *extent, uint64_t *ret_offset,
                 uint64_t *ret_size)
{
    uint64_t part_end = part->offset + part->size;
    uint64_t extent_end = extent->offset + extent->size;
    uint64_t offset = extent->offset > part->offset ? extent->offset : part->offset;
    *ret_offset = offset;
    *ret_size = (extent_end < part_end ? extent_end : part_end) - offset;
}

void part_release_if_done(struct part *part)
{
    struct pump *pump = part->pump;
    void *bytes = NULL;
    pthread_mutex_lock(&pump->lock);
    if (part->is_hashed && part->is_uploaded)
        bytes = TAKE(part->bytes);
    pthread_mutex_unlock(&pump->lock);
    memory_give_back(pump->options.memory, bytes, part->size);
}

static void reset_part(struct part *part)
{
    struct pump *pump = part->pump;
    if (part->is_uploaded) {
        status_row_add_done(pump->options.status, -(int64_t)part->size);
        pump->finished_count--;
    }
    memory_give_back(pump->options.memory, part->bytes, part->size);
    free(part->fetches);
    part->bytes = NULL;
    part->fetches = NULL;
    part->task.run = pump_run_fill;
    part->is_full = part->is_hashed = part->is_uploaded = false;
}

// Nothing runs: all parts from rewind_to on go back to the beginning. (There are no copies then.)
static void rewind_parts(struct pump *pump)
{
    size_t first = pump->rewind_to;
    for (size_t i = first; i < pump->next_to_ask; i++)
        reset_part(&pump->parts[i]);
    pthread_mutex_lock(&pump->lock);
    pump->next_to_ask = first;
    pump->next_to_hash = first;
    pump->rewind_to = NO_REWIND;
    pthread_mutex_unlock(&pump->lock);
    pump_advance(pump);
}

// Whoever is the last to leave looks at what comes next: a rewind or the end.
void pump_leave(struct pump *pump)
{
    size_t plan_count = pump->options.plan->part_count;
    pthread_mutex_lock(&pump->lock);
    bool is_last = --pump->running == 0;
    bool has_failed = pump_has_failed_locked(pump);
    bool rewinds = is_last && !has_failed && pump->rewind_to != NO_REWIND;
    if (is_last && !rewinds && !has_failed &&
        (pump->next_to_hash < pump->part_count || pump->finished_count < plan_count))
        err_set(&pump->err, EIO, "only %zu of %zu parts were moved, %zu of %zu verified: a defect",
                pump->finished_count, plan_count, pump->next_to_hash, pump->part_count);
    pthread_mutex_unlock(&pump->lock);
    if (rewinds)
        rewind_parts(pump);
    else if (is_last)
        pump->options.ended(pump->options.context, pump);
}

// ---- laying it out -----------------------------------------------------------------------------

// The last midstate before which everything is copied from one object; NULL where there is none.
static const struct record_midstate *find_known(const struct pump_options *options)
{
    const struct plan *plan = options->plan;
    const struct plan_run *run = plan->parts[0].run;
    if (!run)
        return NULL;
    uint64_t copied = 0;
    for (size_t i = 0; i < plan->part_count && plan->parts[i].run == run; i++)
        copied += plan->parts[i].size;
    for (size_t i = options->archive->blob_count + 1; i > 0; i--) {
        const struct record_midstate *midstate = &options->runs->midstates[i - 1];
        if (midstate->sha256.size_bytes && midstate->sha256.size_bytes <= copied)
            return midstate;
    }
    return NULL;
}

// Hashing begins there; what was known of the bytes before is known of this file, too.
static void begin_at(struct pump *pump, const struct record_midstate *known)
{
    if (!known || !sha256_restore(&pump->hashes.file, &known->sha256))
        return;
    pump->hashes.crc32 = known->crc32;
    pump->hash_from = known->sha256.size_bytes;
}

static void take_midstates(struct pump *pump)
{
    for (size_t i = 0; pump->hash_from && i <= pump->options.archive->blob_count; i++)
        if (pump->options.runs->midstates[i].sha256.size_bytes <= pump->hash_from)
            pump->midstates[i] = pump->options.runs->midstates[i];
}

// Pieces of copied parts that are read are as large as uploaded parts.
static uint64_t piece_size(const struct pump *pump)
{
    uint64_t size = pump->options.plan->upload_part_size;
    return size ? size : S3_PART_SIZE_MIN;
}

static uint64_t read_begin(const struct pump *pump, const struct plan_part *plan)
{
    return plan->offset > pump->hash_from ? plan->offset : pump->hash_from;
}

static size_t count_pieces(const struct pump *pump, const struct plan_part *plan)
{
    uint64_t begin = read_begin(pump, plan), end = plan->offset + plan->size;
    if (plan->kind == PLAN_UPLOAD)
        return 1;
    return end <= begin ? 0 : (end - begin + piece_size(pump) - 1) / piece_size(pump);
}

static void add_part(struct pump *pump, const struct plan_part *plan, uint64_t offset,
                     uint64_t size)
{
    size_t index = pump->part_count++;
    pump->parts[index] = (struct part){
        .task = {.run = pump_run_fill},
        .ticket = {.size = size, .granted = memory_granted},
        .pump = pump,
        .index = index,
        .plan = plan,
        .offset = offset,
        .size = size,
        .is_uploaded = plan->kind == PLAN_COPY,
    };
}

static void add_copy(struct pump *pump, const struct plan_part *plan, void (*run)(struct task *),
                     size_t extent_index)
{
    pump->copies[pump->copy_count++] = (struct copy){
        .task = {.run = run}, .pump = pump, .plan = plan, .extent_index = extent_index};
}

// Headers within bytes that nobody reads.
static void add_header_checks(struct pump *pump)
{
    const struct archive *archive = pump->options.archive;
    const struct plan_part *plan = pump->options.plan->parts;
    if (pump->hash_from && archive->extents[0].kind == ARCHIVE_GZIP_HEADER)
        add_copy(pump, plan, pump_run_header_check, 0);
    for (size_t i = 0; i < archive->blob_count; i++) {
        size_t header = archive_blob_begin(archive, i);
        if (header == archive->blobs[i].extent_index ||
            archive->extents[header].offset >= pump->hash_from)
            return;
        while (archive->extents[header].offset >= plan->offset + plan->size)
            plan++;
        add_copy(pump, plan, pump_run_header_check, header);
    }
}

static int lay_out(struct pump *pump, struct err *err)
{
    const struct plan *plan = pump->options.plan;
    size_t blob_count = pump->options.archive->blob_count;
    size_t part_count = 0;
    for (size_t i = 0; i < plan->part_count; i++)
        part_count += count_pieces(pump, &plan->parts[i]);
    pump->parts = calloc(part_count + 1, sizeof(*pump->parts));
    pump->copies = calloc(plan->part_count + blob_count + 2, sizeof(*pump->copies));
    pump->finished = calloc(plan->part_count + 1, sizeof(*pump->finished));
    pump->midstates = calloc(blob_count + 1, sizeof(*pump->midstates));
    if (!pump->parts || !pump->copies || !pump->finished || !pump->midstates)
        return err_no_memory(err);

    add_header_checks(pump);
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct plan_part *part = &plan->parts[i];
        uint64_t end = part->offset + part->size;
        if (part->kind == PLAN_UPLOAD) {
            add_part(pump, part, part->offset, part->size);
            continue;
        }
        if (pump->options.leaves_copies_out)
            pump->finished_count++;
        else
            add_copy(pump, part, pump_run_copy, 0);
        for (uint64_t at = read_begin(pump, part); at < end; at += piece_size(pump))
            add_part(pump, part, at, end - at < piece_size(pump) ? end - at : piece_size(pump));
    }
    return 0;
}

int pump_new(const struct pump_options *options, struct pump **ret_pump, struct err *err)
{
    struct pump *pump = calloc(1, sizeof(*pump));
    if (!pump)
        return err_no_memory(err);
    pthread_mutex_init(&pump->lock, NULL);
    pump->options = *options;
    pump->rewind_to = NO_REWIND;
    pump->hash_task.run = pump_run_hash;
    sha256_init(&pump->hashes.file);
    begin_at(pump, find_known(options));
    if (lay_out(pump, err) < 0) {
        pump_free(pump);
        return -err->errnum;
    }
    take_midstates(pump);
    *ret_pump = pump;
    return 0;
}

void pump_free(struct pump *pump)
{
    if (!pump)
        return;
    for (size_t i = 0; i < pump->part_count; i++) {
        memory_give_back(pump->options.memory, pump->parts[i].bytes, pump->parts[i].size);
        free(pump->parts[i].fetches);
    }
    free(pump->parts);
    free(pump->copies);
    free(pump->finished);
    free(pump->midstates);
    pthread_mutex_destroy(&pump->lock);
    free(pump);
}

// ---- what came out -----------------------------------------------------------------------------

const struct err *pump_error(const struct pump *pump)
{
    return pump->err.errnum ? &pump->err : NULL;
}

bool pump_is_stale(const struct pump *pump)
{
    return pump->is_stale;
}

const struct s3_part *pump_parts(const struct pump *pump)
{
    return pump->finished;
}

void pump_sha256(const struct pump *pump, char ret_hex[SHA256_HEX_SIZE])
{
    sha256_final_hex(&pump->hashes.file, ret_hex);
}

const struct record_midstate *pump_midstate(const struct pump *pump, size_t blob_index)
{
    const struct record_midstate *midstate = &pump->midstates[blob_index];
    return midstate->sha256.size_bytes ? midstate : NULL;
}
