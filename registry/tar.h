// tar.h - the bytes that stand around a tar member's content. Pure.
//
// POSIX.1-2017 pax interchange format, as every engine reads it: a ustar header, and before it an
// extended header with a `size` record where the member is too large for ustar's eleven octal
// digits. Members are regular files of root, mode 0644, mtime 0, without owner names, so that the
// same content makes the same bytes everywhere and for ever.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    TAR_BLOCK_SIZE = 512,
    TAR_NAME_SIZE_MAX = 100,                  // bytes of a member's name, no NUL counted
    TAR_HEADER_SIZE_MAX = 3 * TAR_BLOCK_SIZE, // extended header, its record, ustar header
    TAR_END_SIZE = 2 * TAR_BLOCK_SIZE,        // the zeros that end an archive
};
#define TAR_USTAR_SIZE_MAX ((UINT64_C(8) << 30) - 1) // bytes of content that ustar can tell

// Bytes of the header, TAR_BLOCK_SIZE or TAR_HEADER_SIZE_MAX.
size_t tar_header_size(uint64_t content_size);

// Writes tar_header_size(content_size) bytes. -ENAMETOOLONG when name is empty or too long.
int tar_header_write(const char *name, uint64_t content_size, uint8_t *bytes);

// Zeros from the content's end to the next header.
size_t tar_padding_size(uint64_t content_size);
