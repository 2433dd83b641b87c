#include "pump.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// Bytes that both digests are fed in one go, small enough to stay in a core's cache in between.
enum { HASH_CHUNK = 64 * 1024 };

#define NO_REWIND SIZE_MAX

// One ranged read that fills some of a part.
struct fetch {
    struct task task;
    struct part *part;
    size_t extent_index;
    uint64_t offset; // in the file
    uint64_t size;
};

struct part {
    struct task fill_task;
    struct memory_ticket ticket;
    struct pump *pump;
    size_t index;
    const struct plan_part *plan;
    uint8_t *bytes; // NULL while it has no buffer
    struct fetch *fetches;

    // Guarded by the pump's lock:
    size_t fetches_left;
    bool is_full;
    bool is_hashed;
    bool is_uploaded;
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
    struct s3_part *uploaded; // written by the part's uploader alone
    struct sha256_midstate *midstates;
    struct task hash_task;

    // The hasher's alone; there is one at a time (is_hashing).
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
    size_t uploaded_count;
    size_t rewind_to; // everything from this part on is to be moved again, once all is quiet
    struct err err;   // the first failure
};

static void run_fill(struct task *task);
static void run_fetch(struct task *task);
static void run_hash(struct task *task);
static void memory_granted(struct memory_ticket *ticket, void *bytes);
static void advance(struct pump *pump);
static void leave(struct pump *pump);

static bool has_failed_locked(const struct pump *pump)
{
    return pump->err.errnum != 0;
}

static void fail(struct pump *pump, const struct err *err)
{
    pthread_mutex_lock(&pump->lock);
    bool is_first = !has_failed_locked(pump);
    bool was_asking = pump->is_asking;
    struct memory_ticket *ticket = was_asking ? &pump->parts[pump->next_to_ask].ticket : NULL;
    if (is_first)
        pump->err = *err;
    pthread_mutex_unlock(&pump->lock);
    if (!is_first)
        return;
    if (ticket && memory_withdraw(pump->options.memory, ticket)) {
        pthread_mutex_lock(&pump->lock);
        pump->is_asking = false;
        pthread_mutex_unlock(&pump->lock);
        leave(pump);
    }
    pump->options.failed(pump->options.context, err);
}

// ---- filling ---------------------------------------------------------------------------------

// Starts what may start: asks for memory for the next part.
static void advance(struct pump *pump)
{
    struct memory_ticket *ticket = NULL;
    pthread_mutex_lock(&pump->lock);
    if (!has_failed_locked(pump) && pump->rewind_to == NO_REWIND && !pump->is_asking &&
        pump->next_to_ask < pump->options.plan->part_count) {
        pump->is_asking = true;
        pump->running++;
        ticket = &pump->parts[pump->next_to_ask].ticket;
    }
    pthread_mutex_unlock(&pump->lock);
    if (ticket)
        memory_ask(pump->options.memory, ticket);
}

static struct part *part_of_ticket(struct memory_ticket *ticket)
{
    return CONTAINER_OF(ticket, struct part, ticket);
}

// The ticket's place in `running` goes over to the fill task.
static void memory_granted(struct memory_ticket *ticket, void *bytes)
{
    struct part *part = part_of_ticket(ticket);
    struct pump *pump = part->pump;
    pthread_mutex_lock(&pump->lock);
    pump->is_asking = false;
    pump->next_to_ask++;
    pthread_mutex_unlock(&pump->lock);
    part->bytes = bytes;
    workers_add(pump->options.transfers, &part->fill_task);
}

// The part of extent `index` that lies in the part's window.
static void window(const struct part *part, const struct archive_extent *extent,
                   uint64_t *ret_offset, uint64_t *ret_size)
{
    uint64_t part_end = part->plan->offset + part->plan->size;
    uint64_t extent_end = extent->offset + extent->size;
    uint64_t offset = extent->offset > part->plan->offset ? extent->offset : part->plan->offset;
    *ret_offset = offset;
    *ret_size = (extent_end < part_end ? extent_end : part_end) - offset;
}

// Renders what is known already and lists what has to be fetched. The trailer of a .tar.gz is
// rendered by the hasher, who alone knows its CRC.
static int lay_part(struct part *part, struct err *err)
{
    const struct archive *archive = part->pump->options.archive;
    uint64_t end = part->plan->offset + part->plan->size;
    size_t first = archive_find(archive, part->plan->offset);
    size_t blob_count = 0;
    for (size_t i = first; i < archive->extent_count && archive->extents[i].offset < end; i++)
        blob_count += archive->extents[i].kind == ARCHIVE_BLOB;
    part->fetches = calloc(blob_count ? blob_count : 1, sizeof(*part->fetches));
    if (!part->fetches)
        return err_no_memory(err);

    size_t count = 0;
    for (size_t i = first; i < archive->extent_count && archive->extents[i].offset < end; i++) {
        const struct archive_extent *extent = &archive->extents[i];
        uint64_t offset, size;
        window(part, extent, &offset, &size);
        if (extent->kind == ARCHIVE_BLOB && size)
            part->fetches[count++] = (struct fetch){
                .task = {.run = run_fetch},
                .part = part,
                .extent_index = i,
                .offset = offset,
                .size = size,
            };
        else if (extent->kind != ARCHIVE_GZIP_TRAILER && size)
            archive_render(archive, i, offset, size, 0,
                           part->bytes + (offset - part->plan->offset));
    }
    part->fetches_left = count;
    return 0;
}

static int fetch_sink(void *context, const void *bytes, size_t size)
{
    return archive_writer_take(context, bytes, size);
}

static int fetch_bytes(struct fetch *fetch, struct err *err)
{
    const struct pump_options *options = &fetch->part->pump->options;
    const struct archive_extent *extent = &options->archive->extents[fetch->extent_index];
    const struct registry_descriptor *blob =
        &options->archive->blobs[extent->blob_index].descriptor;
    struct archive_writer writer;
    archive_writer_init(&writer, options->archive, fetch->extent_index, fetch->offset, fetch->size,
                        fetch->part->bytes + (fetch->offset - fetch->part->plan->offset));
    uint64_t blob_offset, blob_size;
    archive_blob_range(options->archive, fetch->extent_index, fetch->offset, fetch->size,
                       &blob_offset, &blob_size);
    if (!blob_size)
        return 0; // block headers of a .tar.gz alone
    return registry_blob_read(options->registry, options->call, &options->image->reference, blob,
                              blob_offset, blob_size, fetch_sink, &writer, err);
}

// ---- parts that are full -----------------------------------------------------------------------

static void release_if_done(struct part *part)
{
    struct pump *pump = part->pump;
    void *bytes = NULL;
    pthread_mutex_lock(&pump->lock);
    if (part->is_hashed && part->is_uploaded) {
        bytes = part->bytes;
        part->bytes = NULL;
    }
    pthread_mutex_unlock(&pump->lock);
    memory_give_back(pump->options.memory, bytes, part->plan->size);
}

static void start_hashing(struct pump *pump)
{
    bool starts = false;
    pthread_mutex_lock(&pump->lock);
    if (!pump->is_hashing && !has_failed_locked(pump) && pump->rewind_to == NO_REWIND &&
        pump->next_to_hash < pump->options.plan->part_count &&
        pump->parts[pump->next_to_hash].is_full) {
        pump->is_hashing = true;
        pump->running++;
        starts = true;
    }
    pthread_mutex_unlock(&pump->lock);
    if (starts)
        workers_add(pump->options.hashers, &pump->hash_task);
}

static bool is_wanted(struct part *part)
{
    struct pump *pump = part->pump;
    pthread_mutex_lock(&pump->lock);
    bool is = !has_failed_locked(pump) && part->index < pump->rewind_to;
    pthread_mutex_unlock(&pump->lock);
    return is;
}

static void upload(struct part *part)
{
    struct pump *pump = part->pump;
    const struct pump_options *options = &pump->options;
    if (!is_wanted(part))
        return;
    struct http_piece piece = {part->bytes, part->plan->size};
    struct err err;
    if (s3_multipart_upload_part(options->client, options->call, options->upload,
                                 (int)part->index + 1, &piece, 1, &pump->uploaded[part->index],
                                 &err) < 0) {
        fail(pump, &err);
        return;
    }
    status_row_add_done(options->status, (int64_t)part->plan->size);
    pthread_mutex_lock(&pump->lock);
    part->is_uploaded = true;
    pump->uploaded_count++;
    pthread_mutex_unlock(&pump->lock);
    release_if_done(part);
}

// The trailer of a .tar.gz holds a CRC over everything before it.
static bool must_be_hashed_first(const struct part *part)
{
    const struct archive *archive = part->pump->options.archive;
    const struct archive_extent *last = &archive->extents[archive->extent_count - 1];
    return last->kind == ARCHIVE_GZIP_TRAILER &&
           part->plan->offset + part->plan->size > last->offset;
}

static void part_is_full(struct part *part)
{
    pthread_mutex_lock(&part->pump->lock);
    part->is_full = true;
    pthread_mutex_unlock(&part->pump->lock);
    start_hashing(part->pump);
    if (!must_be_hashed_first(part))
        upload(part);
}

// ---- the transfers' tasks ----------------------------------------------------------------------

static void run_one_fetch(struct fetch *fetch)
{
    struct part *part = fetch->part;
    struct pump *pump = part->pump;
    struct err err;
    if (is_wanted(part) && fetch_bytes(fetch, &err) < 0)
        fail(pump, &err);
    pthread_mutex_lock(&pump->lock);
    bool is_last = --part->fetches_left == 0;
    pthread_mutex_unlock(&pump->lock);
    if (is_last && is_wanted(part))
        part_is_full(part);
}

static void run_fetch(struct task *task)
{
    struct fetch *fetch = CONTAINER_OF(task, struct fetch, task);
    struct pump *pump = fetch->part->pump;
    run_one_fetch(fetch);
    leave(pump);
}

static void run_fill(struct task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, fill_task);
    struct pump *pump = part->pump;
    advance(pump);

    struct err err;
    if (!part->bytes) {
        err_no_memory(&err);
        fail(pump, &err);
    } else if (is_wanted(part)) {
        if (lay_part(part, &err) < 0) {
            fail(pump, &err);
        } else if (part->fetches_left == 0) {
            part_is_full(part);
        } else {
            // The first here and now, the others side by side with it.
            size_t count = part->fetches_left;
            pthread_mutex_lock(&pump->lock);
            pump->running += count - 1;
            pthread_mutex_unlock(&pump->lock);
            for (size_t i = 1; i < count; i++)
                workers_add(pump->options.transfers, &part->fetches[i].task);
            run_one_fetch(&part->fetches[0]);
        }
    }
    leave(pump);
}

// ---- hashing -----------------------------------------------------------------------------------

struct content_sink {
    struct hashes *hashes;
    bool is_blob;
    bool wants_crc;
};

static void take_content(void *context, const uint8_t *bytes, size_t size)
{
    struct content_sink *sink = context;
    if (sink->is_blob)
        sha256_update(&sink->hashes->blob, bytes, size);
    if (sink->wants_crc)
        sink->hashes->crc32 = archive_crc32(sink->hashes->crc32, bytes, size);
}

static int check_blob(struct pump *pump, size_t blob_index, struct err *err)
{
    const struct registry_descriptor *blob =
        &pump->options.archive->blobs[blob_index].descriptor;
    char hex[SHA256_HEX_SIZE];
    sha256_final_hex(&pump->hashes.blob, hex);
    if (strcmp(hex, blob->digest + strlen("sha256:")) == 0)
        return 0;
    return err_set(err, EBADMSG,
                   "the registry sent bytes for layer %s of %s that hash to sha256:%s", blob->digest,
                   pump->options.image->reference.text, hex);
}

static void hash_window(struct pump *pump, size_t extent_index, uint64_t offset, uint64_t size,
                        uint8_t *bytes)
{
    const struct archive *archive = pump->options.archive;
    const struct archive_extent *extent = &archive->extents[extent_index];
    struct content_sink sink = {
        .hashes = &pump->hashes,
        .is_blob = extent->kind == ARCHIVE_BLOB,
        .wants_crc = archive->format == ARCHIVE_FORMAT_TAR_GZ,
    };
    bool has_content = extent->content_size && (sink.is_blob || sink.wants_crc);
    while (size) {
        size_t chunk = size < HASH_CHUNK ? size : HASH_CHUNK;
        sha256_update(&pump->hashes.file, bytes, chunk);
        if (has_content)
            archive_content(archive, extent_index, offset, chunk, bytes, take_content, &sink);
        offset += chunk;
        bytes += chunk;
        size -= chunk;
    }
}

// A tar header's place is worth remembering: the next image with this layer may begin there.
static void save_midstate(struct pump *pump, size_t extent_index)
{
    const struct archive *archive = pump->options.archive;
    if (extent_index + 1 < archive->extent_count &&
        archive->extents[extent_index + 1].kind == ARCHIVE_BLOB)
        sha256_save(&pump->hashes.file,
                    &pump->midstates[archive->extents[extent_index + 1].blob_index]);
}

// 0; -EBADMSG with *ret_blob_index where a blob's bytes are not its digest's.
static int hash_part(struct part *part, size_t *ret_blob_index, struct err *err)
{
    struct pump *pump = part->pump;
    const struct archive *archive = pump->options.archive;
    uint64_t end = part->plan->offset + part->plan->size;
    const struct hashes part_start = pump->hashes;
    for (size_t i = archive_find(archive, part->plan->offset);
         i < archive->extent_count && archive->extents[i].offset < end; i++) {
        const struct archive_extent *extent = &archive->extents[i];
        uint64_t offset, size;
        window(part, extent, &offset, &size);
        uint8_t *bytes = part->bytes + (offset - part->plan->offset);
        bool is_blob = extent->kind == ARCHIVE_BLOB;
        if (is_blob && offset == extent->offset) {
            sha256_init(&pump->hashes.blob);
            pump->blob_start = part_start;
            pump->blob_start_part = part->index;
        }
        if (extent->kind == ARCHIVE_LITERAL && offset == extent->offset)
            save_midstate(pump, i);
        if (extent->kind == ARCHIVE_GZIP_TRAILER)
            archive_render(archive, i, offset, size, pump->hashes.crc32, bytes);
        hash_window(pump, i, offset, size, bytes);
        if (is_blob && offset + size == extent->offset + extent->size &&
            check_blob(pump, extent->blob_index, err) < 0) {
            *ret_blob_index = extent->blob_index;
            return -EBADMSG;
        }
    }
    return 0;
}

// A blob came out wrong: once, everything from its beginning on is moved again.
static void redo_or_fail(struct pump *pump, size_t blob_index, struct err *err)
{
    if (blob_index < pump->blobs_redone) {
        err_wrap(err, "twice");
        fail(pump, err);
        return;
    }
    pump->blobs_redone = blob_index + 1;
    status_row_set_detail(pump->options.status, err->text);
    pump->hashes = pump->blob_start;
    pthread_mutex_lock(&pump->lock);
    pump->rewind_to = pump->blob_start_part;
    pthread_mutex_unlock(&pump->lock);
}

static struct part *next_full_part(struct pump *pump)
{
    struct part *part = NULL;
    pthread_mutex_lock(&pump->lock);
    if (!has_failed_locked(pump) && pump->rewind_to == NO_REWIND &&
        pump->next_to_hash < pump->options.plan->part_count &&
        pump->parts[pump->next_to_hash].is_full)
        part = &pump->parts[pump->next_to_hash];
    else
        pump->is_hashing = false;
    pthread_mutex_unlock(&pump->lock);
    return part;
}

static void run_upload_after_hash(struct task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, fill_task);
    struct pump *pump = part->pump;
    upload(part);
    leave(pump);
}

static void run_hash(struct task *task)
{
    struct pump *pump = CONTAINER_OF(task, struct pump, hash_task);
    struct part *part;
    while ((part = next_full_part(pump))) {
        struct err err;
        size_t blob_index;
        if (hash_part(part, &blob_index, &err) < 0) {
            redo_or_fail(pump, blob_index, &err);
            continue;
        }
        bool uploads = must_be_hashed_first(part);
        pthread_mutex_lock(&pump->lock);
        part->is_hashed = true;
        pump->next_to_hash++;
        pump->running += uploads;
        pthread_mutex_unlock(&pump->lock);
        if (uploads) {
            part->fill_task.run = run_upload_after_hash;
            workers_add(pump->options.transfers, &part->fill_task);
        } else {
            release_if_done(part);
        }
    }
    leave(pump);
}

// ---- the end -----------------------------------------------------------------------------------

static void reset_part(struct part *part)
{
    struct pump *pump = part->pump;
    if (part->is_uploaded) {
        status_row_add_done(pump->options.status, -(int64_t)part->plan->size);
        pump->uploaded_count--;
    }
    memory_give_back(pump->options.memory, part->bytes, part->plan->size);
    free(part->fetches);
    part->bytes = NULL;
    part->fetches = NULL;
    part->fill_task.run = run_fill;
    part->is_full = part->is_hashed = part->is_uploaded = false;
}

// Nothing runs: all parts from rewind_to on go back to the beginning.
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
    advance(pump);
}

// One of `running` has reported. Whoever is the last looks at what comes next: a rewind or the end.
static void leave(struct pump *pump)
{
    size_t part_count = pump->options.plan->part_count;
    pthread_mutex_lock(&pump->lock);
    bool is_last = --pump->running == 0;
    bool rewinds = is_last && !has_failed_locked(pump) && pump->rewind_to != NO_REWIND;
    if (is_last && !rewinds && !has_failed_locked(pump) &&
        (pump->next_to_hash < part_count || pump->uploaded_count < part_count))
        err_set(&pump->err, EIO, "only %zu of %zu parts were moved, %zu of them verified: a defect",
                pump->uploaded_count, part_count, pump->next_to_hash);
    pthread_mutex_unlock(&pump->lock);
    if (rewinds)
        rewind_parts(pump);
    else if (is_last)
        pump->options.ended(pump->options.context, pump);
}

int pump_new(const struct pump_options *options, struct pump **ret_pump, struct err *err)
{
    size_t part_count = options->plan->part_count;
    size_t blob_count = options->archive->blob_count;
    struct pump *pump = calloc(1, sizeof(*pump));
    if (!pump)
        return err_no_memory(err);
    pthread_mutex_init(&pump->lock, NULL);
    pump->options = *options;
    pump->rewind_to = NO_REWIND;
    pump->hash_task.run = run_hash;
    sha256_init(&pump->hashes.file);
    pump->parts = calloc(part_count, sizeof(*pump->parts));
    pump->uploaded = calloc(part_count, sizeof(*pump->uploaded));
    pump->midstates = calloc(blob_count ? blob_count : 1, sizeof(*pump->midstates));
    if (!pump->parts || !pump->uploaded || !pump->midstates) {
        pump_free(pump);
        return err_no_memory(err);
    }
    for (size_t i = 0; i < part_count; i++)
        pump->parts[i] = (struct part){
            .fill_task = {.run = run_fill},
            .ticket = {.size = options->plan->parts[i].size, .granted = memory_granted},
            .pump = pump,
            .index = i,
            .plan = &options->plan->parts[i],
        };
    *ret_pump = pump;
    return 0;
}

void pump_start(struct pump *pump)
{
    advance(pump);
}

void pump_free(struct pump *pump)
{
    if (!pump)
        return;
    for (size_t i = 0; pump->parts && i < pump->options.plan->part_count; i++) {
        memory_give_back(pump->options.memory, pump->parts[i].bytes, pump->parts[i].plan->size);
        free(pump->parts[i].fetches);
    }
    free(pump->parts);
    free(pump->uploaded);
    free(pump->midstates);
    pthread_mutex_destroy(&pump->lock);
    free(pump);
}

const struct err *pump_error(const struct pump *pump)
{
    return pump->err.errnum ? &pump->err : NULL;
}

const struct s3_part *pump_parts(const struct pump *pump)
{
    return pump->uploaded;
}

void pump_sha256(const struct pump *pump, char ret_hex[SHA256_HEX_SIZE])
{
    sha256_final_hex(&pump->hashes.file, ret_hex);
}

const struct sha256_midstate *pump_midstate(const struct pump *pump, size_t blob_index)
{
    bool has = pump->options.archive->format == ARCHIVE_FORMAT_TAR;
    return has ? &pump->midstates[blob_index] : NULL;
}
