#include "base/scope.h"
#include "registry/tar.h"
#include "tests/unit/base/test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB (UINT64_C(1) << 30)

static unsigned checksum_of(const uint8_t *block)
{
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    return sum;
}

// What every header of ours looks like.
static void check_header(const uint8_t *block, const char *name, char type, uint64_t size)
{
    assert_string_equal((const char *)block, name);
    assert_string_equal((const char *)block + 100, "0000644");
    assert_string_equal((const char *)block + 108, "0000000");
    assert_string_equal((const char *)block + 116, "0000000");
    assert_int_equal(block[135], 0);
    assert_int_equal(strlen((const char *)block + 124), 11);
    assert_int_equal(strtoull((const char *)block + 124, NULL, 8), size);
    assert_string_equal((const char *)block + 136, "00000000000");
    assert_int_equal(strlen((const char *)block + 148), 6);
    assert_int_equal(strtoul((const char *)block + 148, NULL, 8), checksum_of(block));
    assert_int_equal(block[155], ' ');
    assert_int_equal(block[156], type);
    assert_string_equal((const char *)block + 157, "");
    assert_memory_equal(block + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_string_equal((const char *)block + 265, ""); // owner
    assert_string_equal((const char *)block + 297, ""); // group
    assert_string_equal((const char *)block + 345, ""); // prefix
}

static void test_ustar(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 511, 512, 513, GIB, 8 * GIB - 1};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t bytes[TAR_HEADER_SIZE_MAX];
        memset(bytes, 0xee, sizeof(bytes));
        assert_int_equal(tar_header_size(sizes[i]), 512);
        assert_int_equal(tar_header_write("index.json", sizes[i], bytes), 0);
        check_header(bytes, "index.json", '0', sizes[i]);
        assert_int_equal(bytes[512], 0xee);
    }
}

static void test_pax(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *record;
    } rows[] = {
        {8 * GIB, "19 size=8589934592\n"},
        {9 * GIB, "19 size=9663676416\n"},
        {10000000000, "20 size=10000000000\n"},
        {20000000000000, "23 size=20000000000000\n"},
        {INT64_MAX, "28 size=9223372036854775807\n"},
    };
    const char *name =
        "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t bytes[TAR_HEADER_SIZE_MAX];
        uint8_t zeros[TAR_BLOCK_SIZE] = {0};
        memset(bytes, 0xee, sizeof(bytes));
        size_t record_size = strlen(rows[i].record);
        assert_int_equal(tar_header_size(rows[i].size), 1536);
        assert_int_equal(tar_header_write(name, rows[i].size, bytes), 0);
        check_header(bytes,
                     "blobs/sha256/PaxHeaders.0/"
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                     'x', record_size);
        assert_memory_equal(bytes + 512, rows[i].record, record_size);
        assert_memory_equal(bytes + 512 + record_size, zeros, 512 - record_size);
        check_header(bytes + 1024, name, '0', 0);
    }
}

static void test_padding(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        size_t padding;
    } rows[] = {
        {0, 0}, {1, 511}, {511, 1}, {512, 0}, {513, 511}, {9 * GIB + 1, 511}, {UINT64_MAX, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(tar_padding_size(rows[i].size), rows[i].padding);
}

static void test_names(void **state)
{
    (void)state;
    uint8_t bytes[TAR_HEADER_SIZE_MAX];
    char name[102];
    memset(name, 'n', sizeof(name));
    name[101] = '\0';
    assert_int_equal(tar_header_write(name, 0, bytes), -ENAMETOOLONG);
    assert_int_equal(tar_header_write("", 0, bytes), -ENAMETOOLONG);
    name[100] = '\0'; // a name may fill its field; then no NUL ends it
    assert_int_equal(tar_header_write(name, 0, bytes), 0);
    assert_memory_equal(bytes, name, 100);
    assert_string_equal((const char *)bytes + 100, "0000644");
    assert_int_equal(tar_header_write(name, 9 * GIB, bytes), 0);
    assert_memory_equal(bytes + 1024, name, 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ustar),
        cmocka_unit_test(test_pax),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
