// How a copy is cut into parts.
#include "fs/copy/copy.h"
#include "fs/publish/plan.h"
#include "tests/unit/base/test.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void test_part_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        unsigned parallel;
        uint64_t part_size;
    } rows[] = {
        {1, 8, PLAN_COPY_SIZE_MIN},
        {64 * MIB, 8, PLAN_COPY_SIZE_MIN},
        {512 * MIB, 8, 64 * MIB},
        {GIB, 8, 128 * MIB},
        {GIB + 1, 8, 128 * MIB + 1},
        {GIB, 1, PLAN_COPY_SIZE_MAX},
        {20 * GIB, 8, PLAN_COPY_SIZE_MAX},
        {S3_PARTS_MAX * PLAN_COPY_SIZE_MAX, 8, PLAN_COPY_SIZE_MAX},
        {S3_PARTS_MAX * PLAN_COPY_SIZE_MAX + 1, 8, 2 * PLAN_COPY_SIZE_MAX},
        {S3_OBJECT_SIZE_MAX, 64, S3_PART_SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t part_size = copy_part_size(rows[i].size, rows[i].parallel);
        assert_int_equal(part_size, rows[i].part_size);
        assert_true(part_size <= S3_PART_SIZE_MAX);
        assert_true((rows[i].size + part_size - 1) / part_size <= S3_PARTS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_part_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
