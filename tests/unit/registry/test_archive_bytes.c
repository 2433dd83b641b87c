// The bytes of the published object: whole, and in every kind of window.
#include "base/digest.h"
#include "base/scope.h"
#include "tests/unit/registry/archive_fixture.h"

#include <errno.h>
#include <stdlib.h>

static unsigned random_below(unsigned limit)
{
    static uint64_t seed = 88172645463325252; // xorshift; every run is the same
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % limit);
}

static uint8_t blob_byte(const struct archive *archive, size_t blob_index, uint64_t offset)
{
    const char *digest = archive->blobs[blob_index].descriptor.digest;
    return (uint8_t)(offset * 7 + (offset >> 8) * 31 + (unsigned char)digest[70] * 13);
}

static void write_blob(const struct archive *archive, size_t extent_index, uint64_t offset,
                       uint64_t size, unsigned chunk_max, uint8_t *bytes)
{
    uint64_t blob_offset = 0;
    uint64_t blob_size = 0;
    archive_blob_range(archive, extent_index, offset, size, &blob_offset, &blob_size);
    struct archive_writer writer;
    archive_writer_init(&writer, archive, extent_index, offset, size, bytes);
    while (blob_size > 0) {
        uint8_t chunk[4096];
        size_t count = 1 + random_below(chunk_max);
        if (count > blob_size)
            count = blob_size;
        for (size_t i = 0; i < count; i++)
            chunk[i] =
                blob_byte(archive, archive->extents[extent_index].blob_index, blob_offset + i);
        assert_int_equal(archive_writer_take(&writer, chunk, count), 0);
        blob_offset += count;
        blob_size -= count;
    }
    assert_int_equal(writer.offset, writer.end);
    assert_ptr_equal(writer.next, bytes + size);
    assert_int_equal(archive_writer_take(&writer, "x", 1), -ERANGE);
    assert_int_equal(archive_writer_take(&writer, NULL, 0), 0);
}

static void write_window(const struct archive *archive, uint64_t offset, uint64_t size,
                         uint32_t crc32, unsigned chunk_max, uint8_t *bytes)
{
    while (size > 0) {
        size_t index = archive_find(archive, offset);
        const struct archive_extent *extent = &archive->extents[index];
        uint64_t count = extent->offset + extent->size - offset;
        if (count > size)
            count = size;
        if (extent->kind == ARCHIVE_BLOB)
            write_blob(archive, index, offset, count, chunk_max, bytes);
        else
            archive_render(archive, index, offset, count, crc32, bytes);
        offset += count;
        bytes += count;
        size -= count;
    }
}

// The content found in windows, put together.
struct collected {
    uint8_t *bytes;
    size_t size;
    uint32_t crc32;
};

static void collect(void *context, const uint8_t *bytes, size_t size)
{
    struct collected *collected = context;
    memcpy(collected->bytes + collected->size, bytes, size);
    collected->size += size;
    collected->crc32 = archive_crc32(collected->crc32, bytes, size);
}

static void collect_window(const struct archive *archive, uint64_t offset, uint64_t size,
                           const uint8_t *bytes, struct collected *collected)
{
    while (size > 0) {
        size_t index = archive_find(archive, offset);
        const struct archive_extent *extent = &archive->extents[index];
        uint64_t count = extent->offset + extent->size - offset;
        if (count > size)
            count = size;
        archive_content(archive, index, offset, count, bytes, collect, collected);
        offset += count;
        bytes += count;
        size -= count;
    }
}

static void various_layers(struct fixture *fixture)
{
    static const uint64_t sizes[] = {1,     0,     511,    512,    513,   65535 - 512, 65534,
                                     65535, 65536, 131070, 131071, 65540, 70001};
    fixture_init(fixture);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        fixture_add_layer(fixture, i + 1, sizes[i]);
    fixture_add_layer(fixture, 1, 1);
}

// Renders the file in windows of random sizes (seldom small ones, so that many end in block
// headers), in a shuffled order, and compares with the whole.
static void check_windows(const struct archive *archive, const uint8_t *whole, uint32_t crc32,
                          unsigned window_max)
{
    size_t size = archive->size_bytes;
    auto_free uint8_t *bytes = malloc(size);
    auto_free uint8_t *content = malloc(archive->tar_size_bytes);
    struct collected collected = {.bytes = content};
    memset(bytes, 0xee, size);
    for (size_t offset = 0; offset < size;) {
        size_t count = 1 + random_below(window_max);
        if (count > size - offset)
            count = size - offset;
        write_window(archive, offset, count, crc32, 1 + random_below(4096), bytes + offset);
        if (offset + count < size)
            assert_int_equal(bytes[offset + count], 0xee);
        collect_window(archive, offset, count, bytes + offset, &collected);
        offset += count;
    }
    assert_memory_equal(bytes, whole, size);
    assert_int_equal(collected.size, archive->tar_size_bytes);
    assert_int_equal(collected.crc32, crc32);
}

static void test_windows(void **state)
{
    (void)state;
    struct fixture fixture;
    various_layers(&fixture);
    struct archive *tar = lay_out(&fixture, ARCHIVE_FORMAT_TAR);
    struct archive *gzip = lay_out(&fixture, ARCHIVE_FORMAT_TAR_GZ);
    check_layout(tar);
    check_layout(gzip);

    auto_free uint8_t *tar_bytes = malloc(tar->size_bytes);
    write_window(tar, 0, tar->size_bytes, 0, 4096, tar_bytes);
    uint32_t crc32 = archive_crc32(0, tar_bytes, tar->size_bytes);
    auto_free uint8_t *gzip_bytes = malloc(gzip->size_bytes);
    write_window(gzip, 0, gzip->size_bytes, crc32, 4096, gzip_bytes);

    // What the .tar.gz holds is the .tar.
    auto_free uint8_t *content = malloc(gzip->tar_size_bytes);
    struct collected collected = {.bytes = content};
    collect_window(gzip, 0, gzip->size_bytes, gzip_bytes, &collected);
    assert_int_equal(collected.size, tar->size_bytes);
    assert_memory_equal(content, tar_bytes, tar->size_bytes);

    static const unsigned windows[] = {1, 2, 3, 7, 60, 600, 65536, 70000, 300000};
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        check_windows(tar, tar_bytes, crc32, windows[i]);
        check_windows(gzip, gzip_bytes, crc32, windows[i]);
    }
    archive_free(tar);
    archive_free(gzip);
}

// Windows around the second block header of a layer, every one of them.
static void test_header_windows(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 65535 + 20);
    struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR_GZ);
    size_t index = archive->blobs[0].extent_index;
    const struct archive_extent *extent = &archive->extents[index];
    auto_free uint8_t *whole = malloc(extent->size);
    write_blob(archive, index, extent->offset, extent->size, 4096, whole);
    assert_memory_equal(whole + 65540, "\0\x14\0\xeb\xff", 5);

    for (size_t begin = 65530; begin < extent->size; begin++) {
        for (size_t end = begin + 1; end <= extent->size; end++) {
            uint8_t bytes[64];
            memset(bytes, 0xee, sizeof(bytes));
            write_blob(archive, index, extent->offset + begin, end - begin, 3, bytes);
            assert_memory_equal(bytes, whole + begin, end - begin);
            assert_int_equal(bytes[end - begin], 0xee);
            uint64_t blob_offset = 0;
            uint64_t blob_size = 1;
            archive_blob_range(archive, index, extent->offset + begin, end - begin, &blob_offset,
                               &blob_size);
            if (begin >= 65540 && end <= 65545)
                assert_int_equal(blob_size, 0);
        }
    }
    archive_free(archive);
}

// A refused chunk leaves nothing behind.
static void test_writer_range(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_add_layer(&fixture, 1, 100);
    struct archive *archive = lay_out(&fixture, ARCHIVE_FORMAT_TAR_GZ);
    const struct archive_extent *extent = &archive->extents[archive->blobs[0].extent_index];
    uint8_t bytes[32];
    memset(bytes, 0xee, sizeof(bytes));
    struct archive_writer writer;
    archive_writer_init(&writer, archive, archive->blobs[0].extent_index, extent->offset + 2, 13,
                        bytes);
    assert_int_equal(archive_writer_take(&writer, "0123456789A", 11), -ERANGE);
    assert_int_equal(bytes[3], 0xee);
    assert_int_equal(archive_writer_take(&writer, "0123456789", 10), 0);
    assert_int_equal(archive_writer_take(&writer, "A", 1), -ERANGE);
    assert_memory_equal(bytes + 3, "0123456789\xee", 11);
    archive_free(archive);
}

// A layer's bytes, header included, are the same wherever it stands, in both formats.
static void test_layers_move(void **state)
{
    (void)state;
    for (int format = ARCHIVE_FORMAT_TAR; format <= ARCHIVE_FORMAT_TAR_GZ; format++) {
        struct fixture one;
        fixture_init(&one);
        fixture_add_layer(&one, 5, 200000);
        struct fixture two;
        fixture_init(&two);
        fixture_add_layer(&two, 6, 77777);
        fixture_add_layer(&two, 5, 200000);
        struct archive *first = lay_out(&one, format);
        struct archive *second = lay_out(&two, format);
        uint64_t begin = first->extents[first->blobs[0].extent_index - 1].offset;
        uint64_t moved = second->extents[second->blobs[1].extent_index - 1].offset;
        const struct archive_extent *padding = &first->extents[first->blobs[0].extent_index + 1];
        assert_int_equal(padding->kind, ARCHIVE_ZEROS);
        uint64_t size = padding->offset + padding->size - begin;
        auto_free uint8_t *a = malloc(size);
        auto_free uint8_t *b = malloc(size);
        write_window(first, begin, size, 0, 4096, a);
        write_window(second, moved, size, 0, 4096, b);
        assert_memory_equal(a, b, size);
        archive_free(first);
        archive_free(second);
    }
}

// The same bytes for ever: whoever publishes an image again with a later version must get the
// file that the earlier one made. If this fails, the layout has changed; do not adjust the sums.
static void test_same_for_ever(void **state)
{
    (void)state;
    static const char *const sums[] = {
        [ARCHIVE_FORMAT_TAR] = "2834a25d6ca04775d885e3fda2f948ad203922eef1e635810348c9a27228ac0d",
        [ARCHIVE_FORMAT_TAR_GZ] =
            "3b7e154d1e719e265045b7a2759293142a5ba1ae2422e78b1a80fd556dcb8190",
    };
    for (int format = ARCHIVE_FORMAT_TAR; format <= ARCHIVE_FORMAT_TAR_GZ; format++) {
        struct fixture fixture;
        various_layers(&fixture);
        struct archive *archive = lay_out(&fixture, format);
        auto_free uint8_t *bytes = malloc(archive->size_bytes);
        char hex[SHA256_HEX_SIZE];
        write_window(archive, 0, archive->size_bytes, 0x01020304, 4096, bytes);
        sha256_hex_of(bytes, archive->size_bytes, hex);
        assert_string_equal(hex, sums[format]);
        archive_free(archive);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),       cmocka_unit_test(test_header_windows),
        cmocka_unit_test(test_writer_range),  cmocka_unit_test(test_layers_move),
        cmocka_unit_test(test_same_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
