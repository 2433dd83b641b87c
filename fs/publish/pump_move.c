// Bytes between registry, memory and store.
#include "pump_private.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- filling -----------------------------------------------------------------------------------

// Renders what is known already and lists what has to be fetched. The trailer of a .tar.gz is
// rendered by the hasher, who alone knows its CRC.
static int lay_part(struct part *part, struct err *err)
{
    const struct archive *archive = part->pump->options.archive;
    uint64_t end = part->offset + part->size;
    size_t first = archive_find(archive, part->offset);
    size_t blob_count = 0;
    for (size_t i = first; i < archive->extent_count && archive->extents[i].offset < end; i++)
        blob_count += archive->extents[i].kind == ARCHIVE_BLOB;
    part->fetches = calloc(blob_count + 1, sizeof(*part->fetches));
    if (!part->fetches)
        return err_no_memory(err);

    size_t count = 0;
    for (size_t i = first; i < archive->extent_count && archive->extents[i].offset < end; i++) {
        const struct archive_extent *extent = &archive->extents[i];
        uint64_t offset, size;
        part_window(part, extent, &offset, &size);
        if (extent->kind == ARCHIVE_BLOB)
            part->fetches[count++] = (struct fetch){
                .task = {.run = pump_run_fetch},
                .part = part,
                .extent_index = i,
                .offset = offset,
                .size = size,
            };
        else if (extent->kind != ARCHIVE_GZIP_TRAILER)
            archive_render(archive, i, offset, size, 0, part->bytes + (offset - part->offset));
    }
    part->fetches_left = count;
    return 0;
}

// A piece of a copied part comes whole from where it is copied from.
static int lay_read(struct part *part, struct err *err)
{
    part->fetches = calloc(1, sizeof(*part->fetches));
    if (!part->fetches)
        return err_no_memory(err);
    part->fetches[0] = (struct fetch){.part = part, .offset = part->offset, .size = part->size};
    part->fetches_left = 1;
    return 0;
}

static int writer_sink(void *context, const void *bytes, size_t size)
{
    return archive_writer_take(context, bytes, size);
}

static int fetch_blob(struct fetch *fetch, struct err *err)
{
    const struct pump_options *options = &fetch->part->pump->options;
    const struct archive_extent *extent = &options->archive->extents[fetch->extent_index];
    struct archive_writer writer;
    archive_writer_init(&writer, options->archive, fetch->extent_index, fetch->offset, fetch->size,
                        fetch->part->bytes + (fetch->offset - fetch->part->offset));
    uint64_t blob_offset, blob_size;
    archive_blob_range(options->archive, fetch->extent_index, fetch->offset, fetch->size,
                       &blob_offset, &blob_size);
    if (!blob_size)
        return 0; // block headers of a .tar.gz alone
    return registry_blob_read(options->registry, options->call, &options->image->reference,
                              &options->archive->blobs[extent->blob_index].descriptor, blob_offset,
                              blob_size, writer_sink, &writer, err);
}

struct memory_sink {
    uint8_t *next;
    size_t left;
};

static int memory_sink(void *context, const void *bytes, size_t size)
{
    struct memory_sink *sink = context;
    if (size > sink->left)
        return -ERANGE;
    memcpy(sink->next, bytes, size);
    sink->next += size;
    sink->left -= size;
    return 0;
}

static int read_source(const struct pump *pump, const struct plan_part *plan, uint64_t offset,
                       uint64_t size, void *bytes, struct err *err)
{
    struct memory_sink sink = {bytes, size};
    return s3_object_read(pump->options.client, pump->options.call, plan->run->source_key,
                          plan->run->source_etag, plan->source_offset + (offset - plan->offset),
                          size, memory_sink, &sink, err);
}

static void fetch_or_fail(struct fetch *fetch)
{
    struct part *part = fetch->part;
    struct err err;
    if (part_is_read_only(part)) {
        if (read_source(part->pump, part->plan, part->offset, part->size, part->bytes, &err) < 0)
            pump_fail_copy(part->pump, &err);
    } else if (fetch_blob(fetch, &err) < 0) {
        pump_fail(part->pump, &err);
    }
}

// ---- parts that are full -----------------------------------------------------------------------

static void upload(struct part *part)
{
    struct pump *pump = part->pump;
    const struct pump_options *options = &pump->options;
    if (!part_is_wanted(part))
        return;
    size_t plan_index = (size_t)(part->plan - options->plan->parts);
    struct http_piece piece = {part->bytes, part->size};
    struct err err;
    if (s3_multipart_upload_part(options->client, options->call, options->upload,
                                 (int)plan_index + 1, &piece, 1, &pump->finished[plan_index],
                                 &err) < 0) {
        if (err.errnum == ENOENT) // the upload is gone; ENOENT is for images that are not there
            err.errnum = EIO;
        pump_fail(pump, &err);
        return;
    }
    status_row_add_done(options->status, (int64_t)part->size);
    pthread_mutex_lock(&pump->lock);
    part->is_uploaded = true;
    pump->finished_count++;
    pthread_mutex_unlock(&pump->lock);
    part_release_if_done(part);
}

void part_start_upload(struct part *part)
{
    part->task.run = pump_run_upload;
    pump_enter(part->pump, 1);
    workers_add(part->pump->options.uploads, part->pump->options.upload_lane, &part->task);
}

// The trailer of a .tar.gz holds a CRC over everything before it.
bool part_must_be_hashed_first(const struct part *part)
{
    const struct archive *archive = part->pump->options.archive;
    const struct archive_extent *last = &archive->extents[archive->extent_count - 1];
    return last->kind == ARCHIVE_GZIP_TRAILER && part->offset + part->size > last->offset;
}

static void part_is_full(struct part *part)
{
    bool uploads = !part_is_read_only(part) && !part_must_be_hashed_first(part);
    if (uploads)
        part_start_upload(part);
    pthread_mutex_lock(&part->pump->lock);
    part->is_full = true;
    pthread_mutex_unlock(&part->pump->lock);
    pump_start_hashing(part->pump);
}

// ---- tasks -------------------------------------------------------------------------------------

static void run_one_fetch(struct fetch *fetch)
{
    struct part *part = fetch->part;
    struct pump *pump = part->pump;
    if (part_is_wanted(part))
        fetch_or_fail(fetch);
    pthread_mutex_lock(&pump->lock);
    bool is_last = --part->fetches_left == 0;
    pthread_mutex_unlock(&pump->lock);
    if (is_last && part_is_wanted(part))
        part_is_full(part);
}

void pump_run_fetch(struct task *task)
{
    struct fetch *fetch = CONTAINER_OF(task, struct fetch, task);
    struct pump *pump = fetch->part->pump;
    run_one_fetch(fetch);
    pump_leave(pump);
}

// Fetches the first here and now, the others side by side with it.
static void fetch_all(struct part *part)
{
    struct pump *pump = part->pump;
    size_t count = part->fetches_left;
    pump_enter(pump, count - 1);
    for (size_t i = 1; i < count; i++)
        workers_add(pump->options.fetches, pump->options.fetch_lane, &part->fetches[i].task);
    run_one_fetch(&part->fetches[0]);
}

void pump_run_fill(struct task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, task);
    struct pump *pump = part->pump;
    struct err err;
    pump_advance(pump);
    if (!part->bytes) {
        err_no_memory(&err);
        pump_fail(pump, &err);
    } else if (part_is_wanted(part)) {
        int error = part_is_read_only(part) ? lay_read(part, &err) : lay_part(part, &err);
        if (error < 0)
            pump_fail(pump, &err);
        else if (part->fetches_left == 0)
            part_is_full(part);
        else
            fetch_all(part);
    }
    pump_leave(pump);
}

void pump_run_upload(struct task *task)
{
    struct part *part = CONTAINER_OF(task, struct part, task);
    struct pump *pump = part->pump;
    upload(part);
    pump_leave(pump);
}

static bool has_failed(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    bool has = pump_has_failed_locked(pump);
    pthread_mutex_unlock(&pump->lock);
    return has;
}

void pump_run_copy(struct task *task)
{
    struct copy *copy = CONTAINER_OF(task, struct copy, task);
    struct pump *pump = copy->pump;
    const struct plan_part *plan = copy->plan;
    size_t plan_index = (size_t)(plan - pump->options.plan->parts);
    struct err err;
    if (has_failed(pump)) {
        // nothing more is wanted
    } else if (s3_multipart_copy_part(
                   pump->options.client, pump->options.call, pump->options.upload,
                   (int)plan_index + 1, plan->run->source_key, plan->run->source_etag,
                   plan->source_offset, plan->size, &pump->finished[plan_index], &err) < 0) {
        pump_fail_copy(pump, &err);
    } else {
        status_row_add_done(pump->options.status, (int64_t)plan->size);
        pthread_mutex_lock(&pump->lock);
        pump->finished_count++;
        pthread_mutex_unlock(&pump->lock);
    }
    pump_leave(pump);
}

// The source must hold, where the header will stand, just that header.
static int check_header(const struct copy *copy, struct err *err)
{
    const struct archive *archive = copy->pump->options.archive;
    const struct archive_extent *header = &archive->extents[copy->extent_index];
    auto_free uint8_t *bytes = malloc(header->size);
    auto_free uint8_t *expected = malloc(header->size);
    if (!bytes || !expected)
        return err_no_memory(err);
    archive_render(archive, copy->extent_index, header->offset, header->size, 0, expected);
    if (read_source(copy->pump, copy->plan, header->offset, header->size, bytes, err) < 0)
        return -err->errnum;
    if (memcmp(bytes, expected, header->size) != 0)
        return err_set(
            err, ESTALE, "%s does not hold the layer that its record names at byte %llu",
            copy->plan->run->source_key,
            (unsigned long long)(copy->plan->source_offset + header->offset - copy->plan->offset));
    return 0;
}

void pump_run_header_check(struct task *task)
{
    struct copy *copy = CONTAINER_OF(task, struct copy, task);
    struct pump *pump = copy->pump;
    struct err err;
    if (!has_failed(pump) && check_header(copy, &err) < 0)
        pump_fail_copy(pump, &err);
    pump_leave(pump);
}
