// Digests in the file's order, whatever the order in which parts arrive.
#include "pump_private.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

// Bytes that both digests are fed in one go, small enough to stay in a core's cache in between.
enum { HASH_CHUNK = 64 * 1024 };

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

static int check_blob(struct pump *pump, const struct part *part, size_t blob_index,
                      struct err *err)
{
    const struct registry_descriptor *blob = &pump->options.archive->blobs[blob_index].descriptor;
    char hex[SHA256_HEX_SIZE];
    sha256_final_hex(&pump->hashes.blob, hex);
    if (strcmp(hex, blob->digest + strlen("sha256:")) == 0)
        return 0;
    return err_set(err, EBADMSG, "%s sent bytes for layer %s of %s that hash to sha256:%s",
                   part_is_read_only(part) ? "the store" : "the registry", blob->digest,
                   pump->options.image->reference.text, hex);
}

// What a copied part holds besides blobs must be what the file is to hold there.
static int check_copied(const struct part *part, size_t extent_index, uint64_t offset,
                        uint64_t size, const uint8_t *bytes, struct err *err)
{
    const struct archive *archive = part->pump->options.archive;
    if (archive->extents[extent_index].kind == ARCHIVE_BLOB)
        return 0;
    uint8_t expected[4096];
    while (size) {
        size_t chunk = size < sizeof(expected) ? size : sizeof(expected);
        archive_render(archive, extent_index, offset, chunk, 0, expected);
        if (memcmp(bytes, expected, chunk) != 0)
            return err_set(err, EBADMSG, "%s does not hold what its record says",
                           part->plan->run->source_key);
        offset += chunk;
        bytes += chunk;
        size -= chunk;
    }
    return 0;
}

// Layers begin and end at literals: a hash that is known there lets the next file begin there.
static void save_midstate(struct pump *pump, size_t extent_index)
{
    const struct archive *archive = pump->options.archive;
    struct record_midstate *end = &pump->midstates[archive->blob_count];
    size_t last_blob =
        archive->blob_count ? archive->blobs[archive->blob_count - 1].extent_index : 0;
    struct record_midstate *midstate = NULL;
    if (extent_index + 1 < archive->extent_count &&
        archive->extents[extent_index + 1].kind == ARCHIVE_BLOB)
        midstate = &pump->midstates[archive->extents[extent_index + 1].blob_index];
    else if (extent_index > last_blob && !end->sha256.size_bytes)
        midstate = end;
    if (!midstate)
        return;
    sha256_save(&pump->hashes.file, &midstate->sha256);
    midstate->crc32 = pump->hashes.crc32;
}

static int hash_extent(struct part *part, size_t extent_index, const struct hashes *part_start,
                       struct err *err)
{
    struct pump *pump = part->pump;
    const struct archive_extent *extent = &pump->options.archive->extents[extent_index];
    uint64_t offset, size;
    part_window(part, extent, &offset, &size);
    uint8_t *bytes = part->bytes + (offset - part->offset);
    bool begins = offset == extent->offset;
    if (begins && extent->kind == ARCHIVE_BLOB) {
        sha256_init(&pump->hashes.blob);
        pump->blob_start = *part_start;
        pump->blob_start_part = part->index;
    }
    if (begins && extent->kind == ARCHIVE_LITERAL)
        save_midstate(pump, extent_index);
    if (extent->kind == ARCHIVE_GZIP_TRAILER)
        archive_render(pump->options.archive, extent_index, offset, size, pump->hashes.crc32,
                       bytes);
    if (part_is_read_only(part) && check_copied(part, extent_index, offset, size, bytes, err) < 0)
        return -err->errnum;
    hash_window(pump, extent_index, offset, size, bytes);
    if (extent->kind == ARCHIVE_BLOB && offset + size == extent->offset + extent->size)
        return check_blob(pump, part, extent->blob_index, err);
    return 0;
}

// 0; -EBADMSG with *ret_extent_index where bytes are not what they should be.
static int hash_part(struct part *part, size_t *ret_extent_index, struct err *err)
{
    const struct archive *archive = part->pump->options.archive;
    const struct hashes part_start = part->pump->hashes;
    for (size_t i = archive_find(archive, part->offset);
         i < archive->extent_count && archive->extents[i].offset < part->offset + part->size; i++)
        if (hash_extent(part, i, &part_start, err) < 0) {
            *ret_extent_index = i;
            return -err->errnum;
        }
    return 0;
}

// A blob came out wrong: once, everything from its beginning on is moved again. Where copies are
// involved, the copies go first.
static void redo_or_fail(struct pump *pump, size_t extent_index, struct err *err)
{
    size_t blob_index = pump->options.archive->extents[extent_index].blob_index;
    if (pump->copy_count) {
        pump_fail_copy(pump, err);
        return;
    }
    if (blob_index < pump->blobs_redone) {
        err_wrap(err, "twice");
        pump_fail(pump, err);
        return;
    }
    pump->blobs_redone = blob_index + 1;
    status_row_set_detail(pump->options.status, err->text);
    pump->hashes = pump->blob_start;
    pthread_mutex_lock(&pump->lock);
    pump->rewind_to = pump->blob_start_part;
    pthread_mutex_unlock(&pump->lock);
}

static bool can_hash_locked(const struct pump *pump)
{
    return !pump_has_failed_locked(pump) && pump->rewind_to == NO_REWIND &&
           pump->next_to_hash < pump->part_count && pump->parts[pump->next_to_hash].is_full;
}

void pump_start_hashing(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    bool starts = !pump->is_hashing && can_hash_locked(pump);
    pump->is_hashing |= starts;
    pump->running += starts;
    pthread_mutex_unlock(&pump->lock);
    if (starts)
        workers_add(pump->options.hashers, NULL, &pump->hash_task);
}

static struct part *next_full_part(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    struct part *part = can_hash_locked(pump) ? &pump->parts[pump->next_to_hash] : NULL;
    pump->is_hashing = part != NULL;
    pthread_mutex_unlock(&pump->lock);
    return part;
}

static void part_is_hashed(struct part *part)
{
    struct pump *pump = part->pump;
    if (!part_is_read_only(part) && part_must_be_hashed_first(part))
        part_start_upload(part);
    pthread_mutex_lock(&pump->lock);
    part->is_hashed = true;
    pump->next_to_hash++;
    pthread_mutex_unlock(&pump->lock);
    part_release_if_done(part);
}

void pump_run_hash(struct task *task)
{
    struct pump *pump = CONTAINER_OF(task, struct pump, hash_task);
    struct part *part = next_full_part(pump);
    struct err err;
    size_t extent_index;
    if (!part) {
        pump_leave(pump);
        return;
    }
    if (hash_part(part, &extent_index, &err) < 0)
        redo_or_fail(pump, extent_index, &err);
    else
        part_is_hashed(part);
    workers_add(pump->options.hashers, NULL, task); // others' turn
}
