#include "registry/tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Offsets and sizes of ustar's fields.
enum {
    NAME = 0,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    MTIME = 136,
    CHECKSUM = 148,
    TYPE = 156,
    MAGIC = 257,
    DEVICE_MAJOR = 329,
    DEVICE_MINOR = 337,

    ID_SIZE = 8,
    NUMBER_SIZE = 12,
};

_Static_assert(TAR_USTAR_SIZE_MAX == 077777777777, "eleven octal digits");

size_t tar_header_size(uint64_t content_size)
{
    return content_size <= TAR_USTAR_SIZE_MAX ? TAR_BLOCK_SIZE : TAR_HEADER_SIZE_MAX;
}

size_t tar_padding_size(uint64_t content_size)
{
    return (size_t)(-content_size % TAR_BLOCK_SIZE);
}

// field_size - 1 octal digits and a NUL.
static void octal_write(uint8_t *field, size_t field_size, uint64_t number)
{
    field[--field_size] = '\0';
    while (field_size > 0) {
        field[--field_size] = (uint8_t)('0' + (number & 7));
        number >>= 3;
    }
}

static void ustar_write(const char *name, char type, uint64_t content_size, uint8_t *block)
{
    memset(block, 0, TAR_BLOCK_SIZE);
    for (size_t i = 0; i < TAR_NAME_SIZE_MAX && name[i] != '\0'; i++) // a full field has no NUL
        block[NAME + i] = (uint8_t)name[i];
    octal_write(block + MODE, ID_SIZE, 0644);
    octal_write(block + UID, ID_SIZE, 0);
    octal_write(block + GID, ID_SIZE, 0);
    octal_write(block + SIZE, NUMBER_SIZE, content_size);
    octal_write(block + MTIME, NUMBER_SIZE, 0);
    block[TYPE] = (uint8_t)type;
    static const char magic[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};
    memcpy(block + MAGIC, magic, sizeof(magic));
    octal_write(block + DEVICE_MAJOR, ID_SIZE, 0);
    octal_write(block + DEVICE_MINOR, ID_SIZE, 0);

    // The sum is taken with its own field as spaces, and written as six digits, NUL, space.
    memset(block + CHECKSUM, ' ', ID_SIZE);
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += block[i];
    octal_write(block + CHECKSUM, ID_SIZE - 1, sum);
}

// "LENGTH size=NUMBER\n", where LENGTH counts itself.
static size_t size_record_write(uint64_t content_size, char *record, size_t record_size)
{
    int rest = snprintf(NULL, 0, " size=%" PRIu64 "\n", content_size);
    int length = rest + 1;
    while (snprintf(NULL, 0, "%d", length) + rest != length)
        length++;
    snprintf(record, record_size, "%d size=%" PRIu64 "\n", length, content_size);
    return (size_t)length;
}

// The extended header's own name is never used by a reader that knows it; one that does not
// unpacks the record under it.
static void extended_write(const char *name, uint64_t content_size, uint8_t *blocks)
{
    const char *slash = strrchr(name, '/');
    int directory_size = slash ? (int)(slash - name) + 1 : 0;
    char extended_name[2 * TAR_NAME_SIZE_MAX];
    snprintf(extended_name, sizeof(extended_name), "%.*sPaxHeaders.0/%s", directory_size, name,
             name + directory_size);

    memset(blocks + TAR_BLOCK_SIZE, 0, TAR_BLOCK_SIZE);
    size_t size = size_record_write(content_size, (char *)blocks + TAR_BLOCK_SIZE, TAR_BLOCK_SIZE);
    ustar_write(extended_name, 'x', size, blocks);
}

int tar_header_write(const char *name, uint64_t content_size, uint8_t *bytes)
{
    size_t name_size = strlen(name);
    if (name_size == 0 || name_size > TAR_NAME_SIZE_MAX)
        return -ENAMETOOLONG;
    if (content_size <= TAR_USTAR_SIZE_MAX) {
        ustar_write(name, '0', content_size, bytes);
        return 0;
    }
    extended_write(name, content_size, bytes);
    // 0 where the number does not fit, as Go and GNU tar write it: the record above it counts.
    ustar_write(name, '0', 0, bytes + TAR_HEADER_SIZE_MAX - TAR_BLOCK_SIZE);
    return 0;
}
