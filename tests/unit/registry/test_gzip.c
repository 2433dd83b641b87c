#include "base/scope.h"
#include "registry/gzip.h"
#include "tests/unit/base/test.h"

#include <string.h>

enum { FULL = 65535, BLOCK = 65540 };

static void test_run_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t content;
        uint64_t size;
    } rows[] = {
        {0, 0},
        {1, 6},
        {FULL - 1, BLOCK - 1},
        {FULL, BLOCK},
        {FULL + 1, BLOCK + 6},
        {2 * FULL, 2 * BLOCK},
        {UINT64_C(20000000000000), UINT64_C(20000000000000) + 5 * UINT64_C(305180438)},
        {INT64_MAX, (uint64_t)INT64_MAX + 5 * UINT64_C(140739635871745)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(gzip_run_size(rows[i].content), rows[i].size);
}

static void test_content_before(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint64_t content;
    } rows[] = {
        {0, 0},
        {1, 0},
        {5, 0},
        {6, 1},
        {BLOCK - 1, FULL - 1},
        {BLOCK, FULL},
        {BLOCK + 4, FULL},
        {BLOCK + 5, FULL},
        {BLOCK + 6, FULL + 1},
        {3 * (uint64_t)BLOCK, 3 * (uint64_t)FULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(gzip_run_content_before(rows[i].offset), rows[i].content);
    assert_int_equal(gzip_run_content_before(gzip_run_size(INT64_MAX)), INT64_MAX);
}

static void test_places(void **state)
{
    (void)state;
    static const uint8_t full_header[] = {0, 0xff, 0xff, 0, 0};
    static const uint8_t seven_header[] = {0, 7, 0, 0xf8, 0xff};
    static const struct {
        uint64_t content, offset;
        uint64_t size, content_offset;
        size_t header_offset;
        const uint8_t *header;
    } rows[] = {
        {7, 0, 5, 0, 0, seven_header},
        {7, 4, 1, 0, 4, seven_header},
        {7, 5, 7, 0, 5, seven_header},
        {7, 11, 1, 6, 5, seven_header},
        {FULL, 2, 3, 0, 2, full_header},
        {FULL, 5, FULL, 0, 5, full_header},
        {FULL, BLOCK - 1, 1, FULL - 1, 5, full_header},
        {FULL + 7, BLOCK - 2, 2, FULL - 2, 5, full_header},
        {FULL + 7, BLOCK, 5, FULL, 0, seven_header},
        {FULL + 7, BLOCK + 11, 1, FULL + 6, 5, seven_header},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct gzip_place place = gzip_run_place(rows[i].content, rows[i].offset);
        assert_int_equal(place.size, rows[i].size);
        assert_int_equal(place.content_offset, rows[i].content_offset);
        assert_int_equal(place.header_offset, rows[i].header_offset);
        assert_memory_equal(place.header, rows[i].header, GZIP_BLOCK_HEADER_SIZE);
    }
}

static void test_ends(void **state)
{
    (void)state;
    uint8_t header[GZIP_HEADER_SIZE];
    gzip_header_write(header);
    assert_memory_equal(header, "\x1f\x8b\x08\0\0\0\0\0\0\xff", GZIP_HEADER_SIZE);

    uint8_t trailer[GZIP_TRAILER_SIZE];
    gzip_trailer_write(0x12345678, (UINT64_C(7) << 32) + 0x0a0b0c0d, trailer);
    assert_memory_equal(trailer, "\x01\0\0\xff\xff\x78\x56\x34\x12\x0d\x0c\x0b\x0a",
                        GZIP_TRAILER_SIZE);
}

static void test_crc32(void **state)
{
    (void)state;
    assert_int_equal(gzip_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(gzip_crc32(gzip_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(gzip_crc32(0xcbf43926, NULL, 0), 0xcbf43926);
    assert_int_equal(gzip_crc32(0, NULL, 0), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_size), cmocka_unit_test(test_content_before),
        cmocka_unit_test(test_places),   cmocka_unit_test(test_ends),
        cmocka_unit_test(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
