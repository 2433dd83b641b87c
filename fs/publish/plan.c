#include "fs/publish/plan.h"

#include "base/scope.h"
#include "fs/memory.h"
#include "s3.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

_Static_assert(S3_OBJECT_SIZE_MAX / S3_PARTS_MAX <= S3_PART_SIZE_MAX, "copies alone always fit");
_Static_assert(PLAN_COPY_SIZE_MIN >= 2 * S3_PART_SIZE_MIN, "halves of a copy are still parts");
_Static_assert(PLAN_COPY_SIZE_MAX <= S3_PART_SIZE_MAX, "a copied part must be allowed");

// What becomes of a stretch of the file: copied from `run`, or uploaded where that is NULL.
struct span {
    const struct plan_run *run;
    uint64_t offset;
    uint64_t size;
};

// A plan in the making: the file in alternating spans, and how they are to be cut into parts.
struct cutting {
    uint64_t size_bytes;
    const struct plan_run **runs; // by offset
    size_t run_count;
    uint64_t copy_min; // a span that would be smaller is not copied
    uint64_t upload_part_size;
    uint64_t copy_part_size;

    struct span *spans; // room for one upload before each run, and one at the end
    size_t span_count;
    uint64_t upload_bytes;
    uint64_t copy_bytes;
};

static void cutting_done(struct cutting *cutting)
{
    free(cutting->runs);
    free(cutting->spans);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t run_end(const struct plan_run *run)
{
    return run->offset + run->size;
}

static int run_compare(const void *a, const void *b)
{
    const struct plan_run *left = *(const struct plan_run *const *)a;
    const struct plan_run *right = *(const struct plan_run *const *)b;
    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return left < right ? -1 : left > right; // the caller's order
}

// cutting_done is due also where this fails.
static int cutting_init(struct cutting *cutting, uint64_t size_bytes, const struct plan_run *runs,
                        size_t run_count, struct err *err)
{
    *cutting = (struct cutting){.size_bytes = size_bytes};
    cutting->runs = calloc(run_count + 1, sizeof(struct plan_run *));
    cutting->spans = calloc(run_count + 1, 2 * sizeof(*cutting->spans));
    if (!cutting->runs || !cutting->spans)
        return err_no_memory(err);
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].offset > size_bytes || runs[i].size > size_bytes - runs[i].offset)
            return err_set(err, EINVAL,
                           "a run of %" PRIu64 " bytes at %" PRIu64
                           " is not within a file of %" PRIu64 " bytes",
                           runs[i].size, runs[i].offset, size_bytes);
        cutting->runs[i] = &runs[i];
    }
    cutting->run_count = run_count;
    qsort(cutting->runs, run_count, sizeof(struct plan_run *), run_compare);
    return 0;
}

static void add_span(struct cutting *cutting, const struct plan_run *run, uint64_t offset,
                     uint64_t end)
{
    if (offset == end && cutting->size_bytes != 0)
        return;
    cutting->spans[cutting->span_count++] =
        (struct span){.run = run, .offset = offset, .size = end - offset};
    *(run ? &cutting->copy_bytes : &cutting->upload_bytes) += end - offset;
}

// The least size from `gap` upwards that can be cut into parts that are neither too small nor
// larger than upload_part_size. Grows by less than S3_PART_SIZE_MIN.
static uint64_t widened(const struct cutting *cutting, uint64_t gap)
{
    return larger(gap, S3_PART_SIZE_MIN * divide_up(gap, cutting->upload_part_size));
}

// Where the span before ends is where run begins to count, but what run lacks to be a part of its
// own may be taken back from that span, if it is copied and both hold these bytes.
static bool take_back(struct cutting *cutting, const struct plan_run *run, uint64_t *done)
{
    struct span *before = cutting->span_count ? &cutting->spans[cutting->span_count - 1] : NULL;
    uint64_t want = cutting->copy_min - smaller(cutting->copy_min, run_end(run) - *done);
    if (!before || !before->run || run->offset > *done || want > *done - run->offset ||
        before->size < cutting->copy_min + want)
        return false;
    before->size -= want;
    cutting->copy_bytes -= want;
    *done -= want;
    return true;
}

// Copies what run holds behind *done (all before is in spans), and uploads what is between;
// or does nothing where too little would be left to copy.
static void use_run(struct cutting *cutting, const struct plan_run *run, uint64_t *done)
{
    uint64_t begin = larger(*done, run->offset);
    begin = *done + widened(cutting, begin - *done);
    if (begin > run_end(run) || run_end(run) - begin < cutting->copy_min) {
        if (!take_back(cutting, run, done))
            return;
        begin = *done;
    }
    add_span(cutting, NULL, *done, begin);
    add_span(cutting, run, begin, run_end(run));
    *done = run_end(run);
}

// From left to right, of the runs that go on where the last one ends always the one that reaches
// furthest: no choice copies more bytes, none in fewer pieces.
static void make_spans(struct cutting *cutting)
{
    cutting->span_count = 0;
    cutting->upload_bytes = 0;
    cutting->copy_bytes = 0;
    uint64_t done = 0; // all before is in spans
    uint64_t seen = 0; // all before was held against the runs
    size_t next = 0;
    while (next < cutting->run_count) {
        const struct plan_run *best = NULL;
        seen = larger(seen, cutting->runs[next]->offset);
        for (; next < cutting->run_count && cutting->runs[next]->offset <= seen; next++) {
            if (!best || run_end(cutting->runs[next]) > run_end(best))
                best = cutting->runs[next];
        }
        assert(best); // the run at `next` begins where `seen` is
        if (run_end(best) > seen) {
            use_run(cutting, best, &done);
            seen = run_end(best);
        }
    }
    add_span(cutting, NULL, done, cutting->size_bytes);
}

// How many parts a span is cut into. The last span of the file may end in a short part; the
// others are cut evenly, so that no part is too small.
static uint64_t span_part_count(const struct cutting *cutting, const struct span *span)
{
    if (span->size == 0)
        return 1; // an empty file
    return divide_up(span->size, span->run ? cutting->copy_part_size : cutting->upload_part_size);
}

static uint64_t count_parts(const struct cutting *cutting)
{
    uint64_t count = 0;
    for (size_t i = 0; i < cutting->span_count; i++)
        count += span_part_count(cutting, &cutting->spans[i]);
    return count;
}

// Larger copies until S3_PARTS_MAX parts suffice: they cost no memory.
static bool fit_copies(struct cutting *cutting, unsigned parallel)
{
    uint64_t even = divide_up(cutting->copy_bytes, parallel);
    cutting->copy_part_size = larger(PLAN_COPY_SIZE_MIN, smaller(even, PLAN_COPY_SIZE_MAX));
    while (count_parts(cutting) > S3_PARTS_MAX) {
        if (cutting->copy_part_size == S3_PART_SIZE_MAX)
            return false;
        cutting->copy_part_size = smaller(2 * cutting->copy_part_size, S3_PART_SIZE_MAX);
    }
    return true;
}

// Spans for runs of copy_min and more, with larger and larger uploads until S3_PARTS_MAX parts
// suffice; false where parts of part_max do not.
static bool fit_uploads(struct cutting *cutting, uint64_t part_size, uint64_t part_max,
                        unsigned parallel)
{
    cutting->upload_part_size = part_size;
    for (;;) {
        make_spans(cutting);
        if (fit_copies(cutting, parallel))
            return true;
        if (cutting->upload_part_size == part_max || cutting->span_count > S3_PARTS_MAX)
            return false;
        uint64_t least = divide_up(cutting->upload_bytes, S3_PARTS_MAX);
        part_size = cutting->upload_part_size + cutting->upload_part_size / 16;
        part_size = divide_up(larger(part_size, least), MIB) * MIB;
        cutting->upload_part_size = smaller(part_size, part_max);
    }
}

static int too_large(const struct cutting *cutting, const struct plan_options *options,
                     struct err *err)
{
    uint64_t least = divide_up(cutting->size_bytes, S3_PARTS_MAX);
    least = smaller(larger(least, S3_PART_SIZE_MIN), S3_PART_SIZE_MAX);
    uint64_t given = memory_with_buffers(options->memory_bytes, options->parallel);
    uint64_t enough = memory_with_buffers(divide_up(least, MIB) * MIB, options->parallel);
    uint64_t better = memory_with_buffers(4 * least, options->parallel);
    return err_set(err, EFBIG,
                   "a file of %" PRIu64 " bytes has to be uploaded in parts of %" PRIu64
                   " MiB, which do not fit memory=%" PRIu64 "M: raise it to %" PRIu64
                   "M at the least, better to %" PRIu64 "M",
                   cutting->size_bytes, divide_up(least, MIB), given / MIB, divide_up(enough, MIB),
                   divide_up(better, MIB));
}

static int fit(struct cutting *cutting, const struct plan_options *options, struct err *err)
{
    if (cutting->size_bytes > S3_OBJECT_SIZE_MAX)
        return err_set(err, EFBIG,
                       "a file of %" PRIu64 " bytes is larger than any S3 object, %" PRIu64
                       " bytes at most",
                       cutting->size_bytes, S3_OBJECT_SIZE_MAX);
    unsigned parallel = options->parallel ? options->parallel : 1;
    uint64_t part_max = smaller(options->memory_bytes, S3_PART_SIZE_MAX);
    if (part_max < S3_PART_SIZE_MIN && cutting->size_bytes > part_max)
        return too_large(cutting, options, err);
    uint64_t part_size = options->memory_bytes / (2 * (uint64_t)parallel) / MIB * MIB;
    part_size = smaller(larger(part_size, S3_PART_SIZE_MIN), part_max);

    // Too many small copies: leave out the smaller ones.
    cutting->copy_min = S3_PART_SIZE_MIN;
    while (!fit_uploads(cutting, part_size, part_max, parallel)) {
        if (cutting->copy_bytes == 0)
            return too_large(cutting, options, err);
        cutting->copy_min *= 2;
    }
    return 0;
}

// Writes the span's parts.
static struct plan_part *cut_span(const struct cutting *cutting, const struct span *span,
                                  struct plan_part *next)
{
    uint64_t count = span_part_count(cutting, span);
    bool is_last = span->offset + span->size == cutting->size_bytes;
    uint64_t done = 0;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t rest = span->size - done;
        uint64_t size = rest / (count - i + 1);
        if (is_last && !span->run)
            size = smaller(rest, cutting->upload_part_size);
        *next++ = (struct plan_part){
            .kind = span->run ? PLAN_COPY : PLAN_UPLOAD,
            .offset = span->offset + done,
            .size = size,
            .run = span->run,
            .source_offset =
                span->run ? span->run->source_offset + span->offset + done - span->run->offset : 0,
        };
        done += size;
    }
    return next;
}

static int make_plan(struct cutting *cutting, struct plan **ret_plan, struct err *err)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return err_no_memory(err);
    plan->part_count = (size_t)count_parts(cutting);
    plan->parts = calloc(plan->part_count + 1, sizeof(*plan->parts));
    if (!plan->parts) {
        plan_free(plan);
        return err_no_memory(err);
    }
    plan->upload_part_size = cutting->upload_part_size;
    plan->upload_bytes = cutting->upload_bytes;
    plan->copy_bytes = cutting->copy_bytes;
    struct plan_part *next = plan->parts;
    for (size_t i = 0; i < cutting->span_count; i++)
        next = cut_span(cutting, &cutting->spans[i], next);
    *ret_plan = plan;
    return 0;
}

int plan_new(uint64_t size_bytes, const struct plan_options *options, const struct plan_run *runs,
             size_t run_count, struct plan **ret_plan, struct err *err)
{
    struct cutting cutting = {0};
    int r = cutting_init(&cutting, size_bytes, runs, run_count, err);
    if (r == 0)
        r = fit(&cutting, options, err);
    if (r == 0)
        r = make_plan(&cutting, ret_plan, err);
    cutting_done(&cutting);
    return r;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    free(plan->parts);
    free(plan);
}
