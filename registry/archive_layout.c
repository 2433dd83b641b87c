// How an archive is put together: which bytes stand where. What they are is archive_bytes.c's.
#include "registry/archive_layout.h"

#include "base/scope.h"
#include "registry/archive_json.h"
#include "registry/gzip.h"
#include "registry/tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// No reader can count further; far beyond it, nothing overflows.
#define ARCHIVE_SIZE_MAX ((uint64_t)INT64_MAX)

static const char sha256_of_nothing[] =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The archive's literals: a list of allocations.
struct arena {
    struct arena *next;
    char bytes[];
};

static char *arena_take(struct archive *archive, size_t size)
{
    struct arena *arena = malloc(sizeof(*arena) + size);
    if (!arena)
        return NULL;
    arena->next = archive->arena;
    archive->arena = arena;
    return arena->bytes;
}

void archive_free(struct archive *archive)
{
    if (!archive)
        return;
    struct arena *arena = archive->arena;
    while (arena) {
        struct arena *next = arena->next;
        free(arena);
        arena = next;
    }
    free(archive->extents);
    free(archive->blobs);
    free(archive);
}
static void add_extent(struct layout *layout, struct archive_extent extent)
{
    struct archive *archive = layout->archive;
    if (layout->failure != 0)
        return;
    if (extent.content_size > ARCHIVE_SIZE_MAX)
        goto too_large;
    bool is_gzip = archive->format == ARCHIVE_FORMAT_TAR_GZ;
    if (extent.kind == ARCHIVE_GZIP_HEADER)
        extent.size = GZIP_HEADER_SIZE;
    else if (extent.kind == ARCHIVE_GZIP_TRAILER)
        extent.size = GZIP_TRAILER_SIZE;
    else
        extent.size = is_gzip ? gzip_run_size(extent.content_size) : extent.content_size;
    if (extent.size == 0)
        return;

    // Neither sum overflows: all three are at most a little over 2^63.
    extent.offset = archive->size_bytes;
    if (archive->size_bytes + extent.size > ARCHIVE_SIZE_MAX)
        goto too_large;
    archive->size_bytes += extent.size;
    archive->tar_size_bytes += extent.content_size;
    archive->extents[archive->extent_count++] = extent;
    return;

too_large:
    layout->failure = err_set(layout->err, EFBIG,
                              "the image's layers add up to more than any file "
                              "can hold");
}

// The member's header, and for literals its content. Blobs put theirs between this and padding.
static void add_header(struct layout *layout, const char *name, uint64_t content_size)
{
    if (layout->failure != 0)
        return;
    size_t header_size = tar_header_size(content_size);
    char *header = arena_take(layout->archive, header_size);
    if (!header) {
        layout->failure = err_no_memory(layout->err);
        return;
    }
    int r = tar_header_write(name, content_size, (uint8_t *)header);
    if (r != 0) {
        layout->failure = err_set(layout->err, -r, "'%s' is no name for a member of a tar", name);
        return;
    }
    add_extent(layout, (struct archive_extent){.kind = ARCHIVE_LITERAL,
                                               .content_size = header_size,
                                               .literal = header});
}

static void add_zeros(struct layout *layout, uint64_t size)
{
    add_extent(layout, (struct archive_extent){.kind = ARCHIVE_ZEROS, .content_size = size});
}

void archive_layout_literal(struct layout *layout, const char *name, const char *bytes,
                            uint64_t size)
{
    add_header(layout, name, size);
    add_extent(layout, (struct archive_extent){
                           .kind = ARCHIVE_LITERAL, .content_size = size, .literal = bytes});
    add_zeros(layout, tar_padding_size(size));
}

void archive_layout_json(struct layout *layout, const char *name, char *text)
{
    size_t size = text ? strlen(text) : 0;
    char *literal = text ? arena_take(layout->archive, size + 1) : NULL;
    if (literal) {
        memcpy(literal, text, size + 1);
        archive_layout_literal(layout, name, literal, size);
    } else if (layout->failure == 0) {
        layout->failure = err_no_memory(layout->err);
    }
    free(text);
}

// Whether the blob stands in the archive already; from now on it does. Two sizes of one digest are
// a failure.
static bool is_known(struct layout *layout, const struct registry_descriptor *descriptor)
{
    for (size_t i = 0; i < layout->known_count; i++) {
        const struct registry_descriptor *known = layout->known[i];
        if (strcmp(known->digest, descriptor->digest) != 0)
            continue;
        if (known->size_bytes != descriptor->size_bytes && layout->failure == 0)
            layout->failure =
                err_set(layout->err, EBADMSG,
                        "the manifest gives blob %s two sizes, %" PRIu64 " and %" PRIu64,
                        known->digest, known->size_bytes, descriptor->size_bytes);
        return true;
    }
    layout->known[layout->known_count++] = descriptor;
    return false;
}

static void add_blob(struct layout *layout, const struct registry_descriptor *blob)
{
    struct archive *archive = layout->archive;
    size_t blob_index = archive->blob_count++;
    archive->blobs[blob_index] =
        (struct archive_blob){.descriptor = *blob, .extent_index = archive->extent_count};
    add_extent(layout, (struct archive_extent){.kind = ARCHIVE_BLOB,
                                               .content_size = blob->size_bytes,
                                               .blob_index = blob_index});
}

void archive_layout_blob(struct layout *layout, const struct registry_descriptor *layer)
{
    if (is_known(layout, layer))
        return;
    char name[ARCHIVE_BLOB_NAME_SIZE] = "";
    if (layout->failure == 0)
        layout->failure = archive_blob_name(layer->digest, name, layout->err);
    if (layout->failure != 0)
        return;
    add_header(layout, name, layer->size_bytes);
    if (layer->size_bytes == 0) {
        // Nobody will hash it: no byte of the file is its own.
        if (strcmp(layer->digest, sha256_of_nothing) != 0)
            layout->failure = err_set(layout->err, EBADMSG,
                                      "the manifest gives blob %s a size of 0 bytes, which cannot "
                                      "be its",
                                      layer->digest);
        return;
    }
    add_blob(layout, layer);
    add_zeros(layout, tar_padding_size(layer->size_bytes));
}

void archive_layout_payload(struct layout *layout, const struct registry_descriptor *blob)
{
    char name[ARCHIVE_BLOB_NAME_SIZE];
    if (layout->failure == 0)
        layout->failure = archive_blob_name(blob->digest, name, layout->err);
    if (layout->failure == 0)
        add_blob(layout, blob);
}

void archive_layout_known_blob(struct layout *layout, const struct registry_descriptor *descriptor,
                               const char *bytes)
{
    char name[ARCHIVE_BLOB_NAME_SIZE] = "";
    if (layout->failure == 0)
        layout->failure = archive_blob_name(descriptor->digest, name, layout->err);
    if (!is_known(layout, descriptor))
        archive_layout_literal(layout, name, bytes, descriptor->size_bytes);
}

int archive_layout_begin(struct layout *layout, enum archive_format format, size_t blob_max,
                         size_t json_max)
{
    struct archive *archive = layout->archive = calloc(1, sizeof(*archive));
    if (!archive)
        return err_no_memory(layout->err);
    archive->format = format;
    // Blobs and JSON files: each a header, content, padding. Then the end, and what gzip puts
    // around it all.
    archive->extents = calloc((blob_max + json_max) * 3 + 3, sizeof(*archive->extents));
    archive->blobs = calloc(blob_max + 1, sizeof(*archive->blobs));
    layout->known = calloc(blob_max + 1, sizeof(struct registry_descriptor *));
    if (!archive->extents || !archive->blobs || !layout->known)
        return err_no_memory(layout->err);
    if (format == ARCHIVE_FORMAT_TAR_GZ)
        add_extent(layout, (struct archive_extent){.kind = ARCHIVE_GZIP_HEADER});
    return 0;
}

int archive_layout_end(struct layout *layout, struct archive **ret_archive)
{
    if (layout->archive->format != ARCHIVE_FORMAT_PAYLOAD)
        add_zeros(layout, TAR_END_SIZE);
    if (layout->archive->format == ARCHIVE_FORMAT_TAR_GZ)
        add_extent(layout, (struct archive_extent){.kind = ARCHIVE_GZIP_TRAILER});
    if (layout->failure == 0)
        *ret_archive = TAKE(layout->archive);
    return layout->failure;
}

void archive_layout_done(struct layout *layout)
{
    archive_free(layout->archive);
    free(layout->known);
}

size_t archive_find(const struct archive *archive, uint64_t offset)
{
    size_t first = 0;
    size_t count = archive->extent_count;
    while (count > 1) { // the extent is among `count` from `first`
        size_t half = count / 2;
        if (archive->extents[first + half].offset <= offset) {
            first += half;
            count -= half;
        } else {
            count = half;
        }
    }
    return first;
}
