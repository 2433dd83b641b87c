// Plans by tables, and by random files and runs against what must hold of every plan.
#include "base/scope.h"
#include "fs/publish/plan.h"
#include "s3.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/base/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TERABYTE (UINT64_C(1000) * 1000 * 1000 * 1000)

static const struct plan_options usual = {.memory_bytes = 128 * MIB, .parallel = 8};

static bool is_run_of(const struct plan_part *part, const struct plan_run *runs, size_t run_count)
{
    const struct plan_run *run = part->run;
    return run >= runs && run < runs + run_count && part->offset >= run->offset &&
           part->offset + part->size <= run->offset + run->size &&
           part->source_offset - run->source_offset == part->offset - run->offset;
}

// What must hold of every plan, whatever the runs.
static void check_plan(const struct plan *plan, uint64_t size_bytes,
                       const struct plan_options *options, const struct plan_run *runs,
                       size_t run_count)
{
    uint64_t done = 0;
    uint64_t bytes[] = {[PLAN_UPLOAD] = 0, [PLAN_COPY] = 0};
    assert_in_range(plan->part_count, 1, S3_PARTS_MAX);
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct plan_part *part = &plan->parts[i];
        bool is_last = i + 1 == plan->part_count;
        assert_int_equal(part->offset, done);
        assert_true(part->size <= S3_PART_SIZE_MAX);
        assert_true(part->size >= S3_PART_SIZE_MIN || is_last);
        assert_true(part->size > 0 || size_bytes == 0);
        if (part->kind == PLAN_COPY) {
            assert_true(is_run_of(part, runs, run_count));
            assert_true(part->size >= S3_PART_SIZE_MIN);
        } else {
            assert_null(part->run);
            assert_true(part->size <= plan->upload_part_size);
            assert_true(part->size <= options->memory_bytes);
        }
        done += part->size;
        bytes[part->kind] += part->size;
    }
    assert_int_equal(done, size_bytes);
    assert_int_equal(bytes[PLAN_UPLOAD], plan->upload_bytes);
    assert_int_equal(bytes[PLAN_COPY], plan->copy_bytes);
}

static struct plan *make_plan(uint64_t size_bytes, const struct plan_options *options,
                              const struct plan_run *runs, size_t run_count)
{
    struct plan *plan = NULL;
    struct err err = {0};
    assert_int_equal(plan_new(size_bytes, options, runs, run_count, &plan, &err), 0);
    check_plan(plan, size_bytes, options, runs, run_count);
    return plan;
}

// ---- uploads only -----------------------------------------------------------------------------

static void test_uploads(void **state)
{
    (void)state;
    static const struct {
        uint64_t memory, size;
        unsigned parallel;
        uint64_t part_size; // of all but the last
        uint64_t part_count, last_size;
    } rows[] = {
        {128 * MIB, 0, 8, 8 * MIB, 1, 0},
        {128 * MIB, 1, 8, 8 * MIB, 1, 1},
        {128 * MIB, 8 * MIB, 8, 8 * MIB, 1, 8 * MIB},
        {128 * MIB, 8 * MIB + 1, 8, 8 * MIB, 2, 1},
        {128 * MIB, 1000 * MIB, 8, 8 * MIB, 125, 8 * MIB},
        {128 * MIB, 80000 * MIB, 8, 8 * MIB, 10000, 8 * MIB},
        {128 * MIB, 80000 * MIB + 1, 8, 9 * MIB, 8889, 8 * MIB + 1},
        {128 * MIB, 200 * GIB, 8, 21 * MIB, 9753, 8 * MIB},
        {128 * MIB, 1280000 * MIB, 8, 128 * MIB, 10000, 128 * MIB},
        {32 * MIB, 100 * MIB, 8, 5 * MIB, 20, 5 * MIB},
        {32 * MIB, 100 * MIB, 1, 16 * MIB, 7, 4 * MIB},
        {32 * MIB, 100 * MIB, 0, 16 * MIB, 7, 4 * MIB},
        {100 * MIB, 100 * MIB, 8, 6 * MIB, 17, 4 * MIB},
        {1 * GIB, 1 * GIB, 16, 32 * MIB, 32, 32 * MIB},
        {64 * GIB, 20 * TERABYTE, 8, 4096 * MIB, 4657, 2632269824},
        {3 * GIB, 20 * TERABYTE, 8, 1908 * MIB, 9997, 1172652032},
        {6 * GIB, 50 * TERABYTE, 1, 4769 * MIB, 9999, 3411877888},
        {4 * MIB, 4 * MIB, 8, 4 * MIB, 1, 4 * MIB},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct plan_options options = {.memory_bytes = rows[i].memory,
                                       .parallel = rows[i].parallel};
        struct plan *plan = make_plan(rows[i].size, &options, NULL, 0);
        const struct plan_part *parts = plan->parts;
        assert_int_equal(plan->part_count, rows[i].part_count);
        assert_int_equal(plan->upload_part_size, rows[i].part_size);
        assert_int_equal(parts[plan->part_count - 1].size, rows[i].last_size);
        for (size_t k = 0; k + 1 < plan->part_count; k++)
            assert_int_equal(parts[k].size, rows[i].part_size);
        plan_free(plan);
    }
    plan_free(NULL);
}

static void test_too_large(void **state)
{
    (void)state;
    static const struct {
        uint64_t memory, size;
        const char *says;
    } rows[] = {
        {128 * MIB, 1280000 * MIB + 1, "raise it to 137M at the least"},
        {128 * MIB, 20 * TERABYTE, "raise it to 1916M at the least"},
        {4 * MIB, 5 * MIB, "raise it to 7M at the least"},
        {0, 1, "raise it to 7M at the least"},
        {64 * GIB, 50 * TERABYTE + 1, "larger than any S3 object"},
        {64 * GIB, UINT64_MAX, "larger than any S3 object"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct plan_options options = {.memory_bytes = rows[i].memory, .parallel = 8};
        struct plan *plan = NULL;
        struct err err = {0};
        assert_int_equal(plan_new(rows[i].size, &options, NULL, 0, &plan, &err), -EFBIG);
        assert_int_equal(err.errnum, EFBIG);
        assert_non_null(strstr(err.text, rows[i].says));
        assert_null(plan);
    }
}

// ---- copies -----------------------------------------------------------------------------------

struct shape { // consecutive parts of one kind
    enum plan_part_kind kind;
    uint64_t size;
    size_t part_count;
};

static size_t shapes_of(const struct plan *plan, struct shape *shapes, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct plan_part *part = &plan->parts[i];
        bool goes_on = i > 0 && part[-1].kind == part->kind && part[-1].run == part->run;
        if (!goes_on) {
            assert_true(count < max);
            shapes[count++] = (struct shape){.kind = part->kind};
        }
        shapes[count - 1].size += part->size;
        shapes[count - 1].part_count++;
    }
    return count;
}

static struct plan_run run_at(uint64_t offset, uint64_t size)
{
    return (struct plan_run){.offset = offset,
                             .size = size,
                             .source_key = "build/app.tar",
                             .source_etag = "\"e\"",
                             .source_offset = offset + 512};
}

static void test_copies(void **state)
{
    (void)state;
#define U PLAN_UPLOAD
#define C PLAN_COPY
    static const struct {
        const char *what;
        uint64_t size;
        uint64_t runs[4][2]; // in MiB: offset, size
        struct shape shapes[8];
    } rows[] = {
        {"four of five layers", 1000, {{0, 800}}, {{C, 800, 8}, {U, 200, 25}}},
        {"the whole file", 300, {{0, 300}}, {{C, 300, 5}}},
        {"a short tail is the last part", 41, {{0, 40}}, {{C, 40, 1}, {U, 1, 1}}},
        {"the least run, at the front", 6, {{0, 5}}, {{C, 5, 1}, {U, 1, 1}}},
        {"a run that is too short", 6, {{0, 4}}, {{U, 6, 1}}},
        {"a gap widened by the run behind it",
         100,
         {{0, 40}, {42, 58}},
         {{C, 40, 1}, {U, 5, 1}, {C, 55, 1}}},
        {"10 MiB, after a gap of one",
         100,
         {{0, 40}, {41, 10}},
         {{C, 40, 1}, {U, 5, 1}, {C, 6, 1}, {U, 49, 7}}},
        {"9 MiB, after a gap of none",
         100,
         {{0, 40}, {40, 9}},
         {{C, 40, 1}, {C, 9, 1}, {U, 51, 7}}},
        {"8 MiB, after a gap of one", 100, {{0, 40}, {41, 8}}, {{C, 40, 1}, {U, 60, 8}}},
        {"a gap of 9 MiB, cut in two",
         100,
         {{0, 40}, {49, 51}},
         {{C, 40, 1}, {U, 10, 2}, {C, 50, 1}}},
        {"a gap of 16 MiB, cut in two",
         100,
         {{0, 40}, {56, 44}},
         {{C, 40, 1}, {U, 16, 2}, {C, 44, 1}}},
        {"a gap of 17 MiB, cut in three",
         100,
         {{0, 40}, {57, 43}},
         {{C, 40, 1}, {U, 17, 3}, {C, 43, 1}}},
        {"new bytes at the front", 100, {{1, 99}}, {{U, 5, 1}, {C, 95, 2}}},
        {"unsorted, one within the other",
         100,
         {{50, 10}, {20, 60}, {10, 50}},
         {{U, 10, 2}, {C, 50, 1}, {C, 20, 1}, {U, 20, 3}}},
        {"the rest of an overlap is too short: the border moves",
         100,
         {{0, 50}, {30, 23}},
         {{C, 48, 1}, {C, 5, 1}, {U, 47, 6}}},
        {"where it can", 100, {{0, 50}, {49, 3}}, {{C, 50, 1}, {U, 50, 7}}},
        {"behind a run that was left out",
         100,
         {{0, 40}, {40, 4}, {42, 20}},
         {{C, 40, 1}, {U, 5, 1}, {C, 17, 1}, {U, 38, 5}}},
        {"the same twice", 100, {{0, 40}, {0, 40}}, {{C, 40, 1}, {U, 60, 8}}},
        {"a large copy side by side", 20000, {{0, 20000}}, {{C, 20000, 79}}},
    };
#undef U
#undef C
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct plan_run runs[4];
        size_t run_count = 0;
        while (run_count < 4 && rows[i].runs[run_count][1]) {
            const uint64_t *run = rows[i].runs[run_count];
            runs[run_count++] = run_at(run[0] * MIB, run[1] * MIB);
        }
        struct plan *plan = make_plan(rows[i].size * MIB, &usual, runs, run_count);
        struct shape shapes[8] = {0};
        size_t count = shapes_of(plan, shapes, 8);
        for (size_t k = 0; k < 8 && rows[i].shapes[k].size; k++) {
            const struct shape *wanted = &rows[i].shapes[k];
            if (k >= count || shapes[k].kind != wanted->kind ||
                shapes[k].size != wanted->size * MIB || shapes[k].part_count != wanted->part_count)
                fail_msg("%s: shape %zu is %llu bytes in %zu parts", rows[i].what, k,
                         (unsigned long long)shapes[k].size, shapes[k].part_count);
        }
        assert_true(count == 8 || rows[i].shapes[count].size == 0);
        plan_free(plan);
    }
}

// What the program's promises come to: an image whose last layer of five changed, and the same
// image under a second name.
static void test_promises(void **state)
{
    (void)state;
    uint64_t tail = 20 * KIB;
    uint64_t layer = 200 * MIB + 12345;
    struct plan_run four = run_at(0, 4 * layer);
    struct plan *plan = make_plan(5 * layer + tail, &usual, &four, 1);
    assert_true(plan->upload_bytes <= layer + MIB);
    plan_free(plan);

    struct plan_run five = run_at(0, 5 * layer);
    plan = make_plan(5 * layer + tail, &usual, &five, 1);
    assert_int_equal(plan->upload_bytes, tail);
    plan_free(plan);

    // Layers in another order, headers and all between them new.
    struct plan_run moved[40];
    uint64_t offset = 0;
    for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
        offset += 512;
        moved[i] = run_at(offset, 10 * MIB);
        offset += 10 * MIB;
    }
    plan = make_plan(offset, &usual, moved, ARRAY_SIZE(moved));
    assert_int_equal(plan->upload_bytes, ARRAY_SIZE(moved) * 5 * MIB);
    plan_free(plan);
}

// Layers that no part can hold, and one whose size needs a pax header, as an archive lays them out:
// new, and copied but for the last.
static void test_large_layers(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {5 * GIB + 1, 9 * GIB, 40 * GIB + 7, 6 * GIB};
    uint64_t offset = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        last = offset;
        offset += (sizes[i] < 8 * GIB ? 512 : 1536) + (sizes[i] + 511) / 512 * 512;
    }
    uint64_t size = offset + 20 * KIB;
    assert_true(size > 50 * 1000 * MIB);
    struct plan *plan = make_plan(size, &usual, NULL, 0);
    assert_int_equal(plan->upload_part_size, 8 * MIB);
    assert_int_equal(plan->part_count, size / (8 * MIB) + 1);
    plan_free(plan);

    struct plan_run run = run_at(0, last);
    plan = make_plan(size, &usual, &run, 1);
    assert_int_equal(plan->copy_bytes, last);
    assert_int_equal(plan->upload_part_size, 8 * MIB);
    for (size_t i = 0; i < plan->part_count && plan->parts[i].kind == PLAN_COPY; i++)
        assert_true(plan->parts[i].size <= PLAN_COPY_SIZE_MAX);
    plan_free(plan);

    // With little memory the parts are as small as they may be, and still not too many.
    struct plan_options little = {.memory_bytes = 8 * MIB, .parallel = 8};
    plan = make_plan(size, &little, NULL, 0);
    assert_in_range(plan->upload_part_size, 6 * MIB, 8 * MIB);
    plan_free(plan);
}

static void test_many_runs(void **state)
{
    (void)state;
    // 9,000 copies with a gap before each: 18,000 parts; the smaller runs are left out.
    size_t count = 9000;
    auto_free struct plan_run *runs = calloc(count, sizeof(*runs));
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        offset += 512;
        runs[i] = run_at(offset, i % 3 ? 11 * MIB : 40 * MIB);
        offset += runs[i].size;
    }
    struct plan *plan = make_plan(offset, &usual, runs, count);
    assert_true(plan->copy_bytes >= count / 3 * 35 * MIB);
    plan_free(plan);

    // 50 TB that one object holds: no memory is needed.
    struct plan_run all = run_at(0, S3_OBJECT_SIZE_MAX);
    plan = make_plan(S3_OBJECT_SIZE_MAX, &usual, &all, 1);
    assert_int_equal(plan->upload_bytes, 0);
    plan_free(plan);

    // 20 TB of which one object holds the first 19.9.
    struct plan_run most = run_at(0, 19900 * (TERABYTE / 1000));
    plan = make_plan(20 * TERABYTE, &usual, &most, 1);
    assert_int_equal(plan->copy_bytes, most.size);
    assert_true(plan->upload_part_size <= 32 * MIB);
    plan_free(plan);

    // A terabyte of new bytes beside it does not fit 128 MiB parts ...
    struct plan_run less = run_at(0, 18 * TERABYTE);
    plan = NULL;
    struct err err = {0};
    assert_int_equal(plan_new(20 * TERABYTE, &usual, &less, 1, &plan, &err), -EFBIG);
    // ... but does with more memory.
    struct plan_options more = {.memory_bytes = 512 * MIB, .parallel = 8};
    plan = make_plan(20 * TERABYTE, &more, &less, 1);
    assert_int_equal(plan->copy_bytes, less.size);
    plan_free(plan);
}

static void test_bad_runs(void **state)
{
    (void)state;
    static const uint64_t runs[][2] = {
        {0, 101 * MIB},           {100 * MIB, 1},  {101 * MIB, 0},
        {UINT64_MAX, UINT64_MAX}, {1, UINT64_MAX}, {50 * MIB, 50 * MIB + 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        struct plan_run run = run_at(runs[i][0], runs[i][1]);
        struct plan *plan = NULL;
        struct err err = {0};
        assert_int_equal(plan_new(100 * MIB, &usual, &run, 1, &plan, &err), -EINVAL);
        assert_null(plan);
    }
    struct plan_run empty = run_at(100 * MIB, 0);
    plan_free(make_plan(100 * MIB, &usual, &empty, 1));
    empty = run_at(0, 0);
    plan_free(make_plan(0, &usual, &empty, 1));
}

static void test_no_memory(void **state)
{
    (void)state;
    struct plan_run run = run_at(0, 20 * MIB);
    for (int nth = 1; nth <= 5; nth++) {
        struct plan *plan = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int r = plan_new(50 * MIB, &usual, &run, 1, &plan, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(has_failed, nth < 5);
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        assert_int_equal(plan == NULL, has_failed);
        plan_free(plan);
    }
}

// ---- random -----------------------------------------------------------------------------------

static uint64_t random_below(uint64_t limit)
{
    static uint64_t seed = 88172645463325252; // xorshift; every run is the same
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % limit;
}

// Sizes from bytes to gibibytes, the small ones as likely as the large.
static uint64_t random_size(void)
{
    return random_below(UINT64_C(2) << random_below(31));
}

static bool is_in_runs(uint64_t offset, uint64_t end, const struct plan_run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (runs[i].offset < end && offset < runs[i].offset + runs[i].size)
            return true;
    }
    return false;
}

// Runs anywhere, overlapping or not: whatever they are, the plan must be allowed and complete.
static void test_random_runs(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct plan_options options = {.memory_bytes = (5 + random_below(300)) * MIB,
                                       .parallel = 1 + (unsigned)random_below(20)};
        uint64_t size = 1 + random_size() + random_size();
        struct plan_run runs[20];
        size_t count = random_below(ARRAY_SIZE(runs) + 1);
        for (size_t i = 0; i < count; i++) {
            uint64_t offset = random_below(size);
            uint64_t run_size = random_size();
            if (run_size > size - offset)
                run_size = size - offset;
            runs[i] = run_at(offset, run_size);
        }
        struct plan *plan = make_plan(size, &options, runs, count);
        if (!is_in_runs(0, size, runs, count))
            assert_int_equal(plan->copy_bytes, 0);
        plan_free(plan);
    }
}

// Files of up to 50 TB, few parts' worth of memory: a plan is made exactly where memory allows one,
// and never has more than S3_PARTS_MAX parts (check_plan).
static void test_random_huge(void **state)
{
    (void)state;
    int made = 0;
    for (int round = 0; round < 3000; round++) {
        struct plan_options options = {.memory_bytes = (5 + random_below(20000)) * MIB,
                                       .parallel = 1 + (unsigned)random_below(64)};
        uint64_t size = 1 + random_below(S3_OBJECT_SIZE_MAX >> random_below(14));
        struct plan_run runs[20];
        size_t count = random_below(ARRAY_SIZE(runs) + 1);
        for (size_t i = 0; i < count; i++) {
            uint64_t offset = random_below(size);
            runs[i] = run_at(offset, random_below(size - offset + 1));
        }
        struct plan *plan = NULL;
        struct err err = {0};
        int error = plan_new(size, &options, runs, count, &plan, &err);
        uint64_t part_max =
            options.memory_bytes < S3_PART_SIZE_MAX ? options.memory_bytes : S3_PART_SIZE_MAX;
        if (error < 0) {
            assert_int_equal(error, -EFBIG);
            assert_true(size > part_max * S3_PARTS_MAX);
            continue;
        }
        check_plan(plan, size, &options, runs, count);
        plan_free(plan);
        made++;
    }
    assert_in_range(made, 1500, 2999);
}

// Runs side by side, as layers are: no byte more is uploaded than gaps ask for.
static void test_random_layers(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct plan_run runs[20];
        size_t count = 1 + random_below(ARRAY_SIZE(runs));
        uint64_t offset = 0;
        uint64_t allowed = 0; // to be uploaded
        for (size_t i = 0; i < count; i++) {
            uint64_t gap = random_below(3) ? random_size() : 0;
            runs[i] = run_at(offset + gap, random_size());
            if (runs[i].size < 2 * S3_PART_SIZE_MIN)
                allowed += runs[i].size;
            allowed += gap + (gap ? S3_PART_SIZE_MIN - 1 : 0);
            // Runs that are left out make gaps, too.
            allowed += runs[i].size < 2 * S3_PART_SIZE_MIN ? S3_PART_SIZE_MIN - 1 : 0;
            offset = runs[i].offset + runs[i].size;
        }
        uint64_t tail = random_size();
        struct plan *plan = make_plan(offset + tail, &usual, runs, count);
        assert_true(plan->upload_bytes <= allowed + tail);
        // Every long one is copied, but for what the gap before it takes.
        for (size_t i = 0; i < count; i++) {
            uint64_t copied = 0;
            for (size_t k = 0; k < plan->part_count; k++)
                copied += plan->parts[k].run == &runs[i] ? plan->parts[k].size : 0;
            if (runs[i].size >= 2 * S3_PART_SIZE_MIN)
                assert_true(copied + S3_PART_SIZE_MIN > runs[i].size);
        }
        plan_free(plan);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uploads),       cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_copies),        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_many_runs),     cmocka_unit_test(test_bad_runs),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_random_runs),
        cmocka_unit_test(test_random_layers), cmocka_unit_test(test_random_huge),
        cmocka_unit_test(test_large_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
