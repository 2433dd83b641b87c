// gzip.h - one gzip member (RFC 1952) made of stored blocks (RFC 1951 section 3.2.4): framing
// without compression, so that every byte's place is known beforehand. Pure; the only user of
// zlib, for CRC-32.
//
// A "run" is content that is cut into blocks of its own: full blocks, then a shorter one. No
// block of a run is the final one; that is the empty block of the trailer. Stored blocks begin
// and end on whole bytes, so runs can be joined, and cut out, freely.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    GZIP_HEADER_SIZE = 10,
    GZIP_BLOCK_HEADER_SIZE = 5,
    GZIP_BLOCK_CONTENT_MAX = 65535, // bytes; the length is a 16-bit number
    GZIP_TRAILER_SIZE = GZIP_BLOCK_HEADER_SIZE + 8,
};
#define GZIP_RUN_CONTENT_MAX (UINT64_C(1) << 63) // bytes of content; no overflow up to here

// The member's header: no name, mtime 0, no extra flags, operating system unknown (255).
void gzip_header_write(uint8_t bytes[GZIP_HEADER_SIZE]);

// The final empty block, the content's CRC-32 and its size modulo 2^32.
void gzip_trailer_write(uint32_t crc32, uint64_t content_size, uint8_t bytes[GZIP_TRAILER_SIZE]);

// Bytes of a run that holds content_size bytes; 0 for 0.
uint64_t gzip_run_size(uint64_t content_size);

// How many content bytes stand before byte `offset` of a run.
uint64_t gzip_run_content_before(uint64_t offset);

// What stands at byte `offset` of a run, offset < gzip_run_size(content_size): the rest of a
// block header, or the rest of a block's content.
struct gzip_place {
    uint64_t size;                          // bytes until the header or content ends
    uint64_t content_offset;                // content bytes before it
    uint8_t header[GZIP_BLOCK_HEADER_SIZE]; // the block's
    size_t header_offset; // in header; GZIP_BLOCK_HEADER_SIZE when content stands here
};
struct gzip_place gzip_run_place(uint64_t content_size, uint64_t offset);

// CRC-32 of more bytes, begun with 0.
uint32_t gzip_crc32(uint32_t crc32, const void *bytes, size_t size);
