// The bytes of a published object: what its extents hold, in any window of the file.
#include "registry.h"
#include "registry/gzip.h"

#include <errno.h>
#include <string.h>

// What stands at an offset of an extent of tar bytes, up to where something else begins: bytes of
// the tar, or of a block header.
static struct gzip_place place_at(const struct archive *archive,
                                  const struct archive_extent *extent, uint64_t offset)
{
    uint64_t in_extent = offset - extent->offset;
    if (archive->format == ARCHIVE_FORMAT_TAR_GZ)
        return gzip_run_place(extent->content_size, in_extent);
    return (struct gzip_place){
        .size = extent->size - in_extent,
        .content_offset = in_extent,
        .header_offset = GZIP_BLOCK_HEADER_SIZE,
    };
}

static bool is_header(const struct gzip_place *place)
{
    return place->header_offset < GZIP_BLOCK_HEADER_SIZE;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Tar bytes before a place of an extent; `offset` may be its end.
static uint64_t content_before(const struct archive *archive, const struct archive_extent *extent,
                               uint64_t offset)
{
    uint64_t in_extent = offset - extent->offset;
    bool is_gzip = archive->format == ARCHIVE_FORMAT_TAR_GZ;
    return is_gzip ? gzip_run_content_before(in_extent) : in_extent;
}

static void render_content(const struct archive_extent *extent, uint64_t content_offset,
                           uint64_t size, uint8_t *bytes)
{
    if (extent->kind == ARCHIVE_LITERAL)
        memcpy(bytes, extent->literal + content_offset, (size_t)size);
    else
        memset(bytes, 0, (size_t)size);
}

void archive_render(const struct archive *archive, size_t extent_index, uint64_t offset,
                    uint64_t size, uint32_t crc32, uint8_t *bytes)
{
    const struct archive_extent *extent = &archive->extents[extent_index];
    if (extent->kind == ARCHIVE_GZIP_HEADER) {
        uint8_t header[GZIP_HEADER_SIZE];
        gzip_header_write(header);
        memcpy(bytes, header + (offset - extent->offset), (size_t)size);
        return;
    }
    if (extent->kind == ARCHIVE_GZIP_TRAILER) {
        uint8_t trailer[GZIP_TRAILER_SIZE];
        gzip_trailer_write(crc32, archive->tar_size_bytes, trailer);
        memcpy(bytes, trailer + (offset - extent->offset), (size_t)size);
        return;
    }
    while (size > 0) {
        struct gzip_place place = place_at(archive, extent, offset);
        uint64_t count = smaller(place.size, size);
        if (is_header(&place))
            memcpy(bytes, place.header + place.header_offset, (size_t)count);
        else
            render_content(extent, place.content_offset, count, bytes);
        offset += count;
        bytes += count;
        size -= count;
    }
}

void archive_blob_range(const struct archive *archive, size_t extent_index, uint64_t offset,
                        uint64_t size, uint64_t *ret_blob_offset, uint64_t *ret_blob_size)
{
    const struct archive_extent *extent = &archive->extents[extent_index];
    uint64_t begin = content_before(archive, extent, offset);
    uint64_t end = content_before(archive, extent, offset + size);
    *ret_blob_offset = begin;
    *ret_blob_size = end - begin;
}

static void write_headers(struct archive_writer *writer)
{
    const struct archive_extent *extent = &writer->archive->extents[writer->extent_index];
    while (writer->offset < writer->end) {
        struct gzip_place place = place_at(writer->archive, extent, writer->offset);
        if (!is_header(&place))
            return;
        uint64_t count = smaller(place.size, writer->end - writer->offset);
        memcpy(writer->next, place.header + place.header_offset, (size_t)count);
        writer->next += count;
        writer->offset += count;
    }
}

void archive_writer_init(struct archive_writer *writer, const struct archive *archive,
                         size_t extent_index, uint64_t offset, uint64_t size, uint8_t *bytes)
{
    writer->archive = archive;
    writer->extent_index = extent_index;
    writer->offset = offset;
    writer->end = offset + size;
    writer->next = bytes;
    write_headers(writer);
}

int archive_writer_take(struct archive_writer *writer, const void *bytes, size_t size)
{
    const struct archive_extent *extent = &writer->archive->extents[writer->extent_index];
    const uint8_t *from = bytes;
    uint64_t blob_offset = 0;
    uint64_t blob_size = 0;
    archive_blob_range(writer->archive, writer->extent_index, writer->offset,
                       writer->end - writer->offset, &blob_offset, &blob_size);
    if (size > blob_size)
        return -ERANGE;
    while (size > 0) {
        struct gzip_place place = place_at(writer->archive, extent, writer->offset);
        size_t count = (size_t)smaller(place.size, size);
        memcpy(writer->next, from, count);
        writer->next += count;
        writer->offset += count;
        from += count;
        size -= count;
        write_headers(writer);
    }
    return 0;
}

void archive_content(const struct archive *archive, size_t extent_index, uint64_t offset,
                     uint64_t size, const uint8_t *bytes,
                     void (*content)(void *context, const uint8_t *bytes, size_t size),
                     void *context)
{
    const struct archive_extent *extent = &archive->extents[extent_index];
    if (extent->kind == ARCHIVE_GZIP_HEADER || extent->kind == ARCHIVE_GZIP_TRAILER)
        return;
    while (size > 0) {
        struct gzip_place place = place_at(archive, extent, offset);
        uint64_t count = smaller(place.size, size);
        if (!is_header(&place))
            content(context, bytes, (size_t)count);
        offset += count;
        bytes += count;
        size -= count;
    }
}

uint32_t archive_crc32(uint32_t crc32, const void *bytes, size_t size)
{
    return gzip_crc32(crc32, bytes, size);
}
