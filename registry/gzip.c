#include "registry/gzip.h"

#include <string.h>
#include <zlib.h>

enum { BLOCK_SIZE = GZIP_BLOCK_HEADER_SIZE + GZIP_BLOCK_CONTENT_MAX };

static void little_endian_write(uint8_t *bytes, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
}

static void block_header_write(size_t content_size, uint8_t is_final, uint8_t *bytes)
{
    bytes[0] = is_final; // block type 0, stored, in the next two bits; the rest fills the byte
    little_endian_write(bytes + 1, 2, content_size);
    little_endian_write(bytes + 3, 2, ~(uint64_t)content_size);
}

void gzip_header_write(uint8_t bytes[GZIP_HEADER_SIZE])
{
    static const uint8_t header[GZIP_HEADER_SIZE] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    memcpy(bytes, header, sizeof(header));
}

void gzip_trailer_write(uint32_t crc32, uint64_t content_size, uint8_t bytes[GZIP_TRAILER_SIZE])
{
    block_header_write(0, 1, bytes);
    little_endian_write(bytes + GZIP_BLOCK_HEADER_SIZE, 4, crc32);
    little_endian_write(bytes + GZIP_BLOCK_HEADER_SIZE + 4, 4, content_size);
}

uint64_t gzip_run_size(uint64_t content_size)
{
    uint64_t blocks = content_size / GZIP_BLOCK_CONTENT_MAX;
    blocks += content_size % GZIP_BLOCK_CONTENT_MAX != 0;
    return content_size + blocks * GZIP_BLOCK_HEADER_SIZE;
}

uint64_t gzip_run_content_before(uint64_t offset)
{
    uint64_t in_block = offset % BLOCK_SIZE;
    uint64_t content = in_block > GZIP_BLOCK_HEADER_SIZE ? in_block - GZIP_BLOCK_HEADER_SIZE : 0;
    return offset / BLOCK_SIZE * GZIP_BLOCK_CONTENT_MAX + content;
}

struct gzip_place gzip_run_place(uint64_t content_size, uint64_t offset)
{
    uint64_t block_offset = offset / BLOCK_SIZE * GZIP_BLOCK_CONTENT_MAX; // in the content
    uint64_t in_block = offset % BLOCK_SIZE;
    uint64_t block_content = content_size - block_offset;
    if (block_content > GZIP_BLOCK_CONTENT_MAX)
        block_content = GZIP_BLOCK_CONTENT_MAX;

    struct gzip_place place = {.content_offset = gzip_run_content_before(offset)};
    block_header_write((size_t)block_content, 0, place.header);
    if (in_block < GZIP_BLOCK_HEADER_SIZE) {
        place.header_offset = (size_t)in_block;
        place.size = GZIP_BLOCK_HEADER_SIZE - in_block;
    } else {
        place.header_offset = GZIP_BLOCK_HEADER_SIZE;
        place.size = GZIP_BLOCK_HEADER_SIZE + block_content - in_block;
    }
    return place;
}

uint32_t gzip_crc32(uint32_t crc32, const void *bytes, size_t size)
{
    return size == 0 ? crc32 : (uint32_t)crc32_z(crc32, bytes, size); // a NULL would begin anew
}
