#include "plan.h"

#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// ---- links -------------------------------------------------------------------------------------

static bool is_at_or_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    return size == 0 ||
           (strncmp(path, directory, size) == 0 && (path[size] == '/' || path[size] == '\0'));
}

const struct survey_link *plan_link_to(const struct survey *survey,
                                       const struct survey_build *build)
{
    for (size_t i = 0; i < survey->link_count; i++) {
        const struct survey_link *link = &survey->links[i];
        if (link->target && !is_at_or_below(link->path, build->path) &&
            (is_at_or_below(link->target, build->path) ||
             is_at_or_below(build->path, link->target)))
            return link;
    }
    return NULL;
}

// ---- the newest --------------------------------------------------------------------------------

static int compare_branches(const struct survey_build *a, const struct survey_build *b)
{
    size_t size = a->branch_size < b->branch_size ? a->branch_size : b->branch_size;
    int order = memcmp(a->path, b->path, size);
    return order ? order : (a->branch_size > b->branch_size) - (a->branch_size < b->branch_size);
}

// By branch, the newest first; of builds of one age always in the same order.
static int compare_rows(const void *a, const void *b)
{
    const struct survey_build *left = ((const struct plan_row *)a)->build;
    const struct survey_build *right = ((const struct plan_row *)b)->build;
    int order = compare_branches(left, right);
    if (order == 0)
        order = (left->newest_ms < right->newest_ms) - (left->newest_ms > right->newest_ms);
    return order ? order : strcmp(left->path, right->path);
}

static void keep_newest(struct plan_row *rows, size_t count, size_t keep)
{
    size_t place = 0; // in its branch
    for (size_t i = 0; i < count; i++, place++) {
        if (i > 0 && compare_branches(rows[i - 1].build, rows[i].build) != 0)
            place = 0;
        if (place < keep)
            rows[i].verdict = PLAN_NEWEST;
    }
}

// One image of one build.
struct tarball {
    struct plan_row *row;
    const struct survey_image *image;
};

// By branch and image, the newest first.
static int compare_tarballs(const void *a, const void *b)
{
    const struct tarball *left = a, *right = b;
    int order = compare_branches(left->row->build, right->row->build);
    if (order == 0)
        order = strcmp(left->image->name, right->image->name);
    if (order == 0)
        order = (left->image->modified_ms < right->image->modified_ms) -
                (left->image->modified_ms > right->image->modified_ms);
    return order ? order : compare_rows(left->row, right->row);
}

static int keep_images(struct plan_row *rows, size_t count)
{
    size_t wanted = 0, made = 0;
    for (size_t i = 0; i < count; i++)
        wanted += rows[i].build->image_count;
    auto_free struct tarball *tarballs = calloc(wanted ? wanted : 1, sizeof(*tarballs));
    if (!tarballs)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < rows[i].build->image_count; j++)
            tarballs[made++] = (struct tarball){&rows[i], &rows[i].build->images[j]};
    if (made > 0)
        qsort(tarballs, made, sizeof(*tarballs), compare_tarballs);
    for (size_t i = 0; i < made; i++) {
        const struct tarball *newer = i > 0 ? &tarballs[i - 1] : NULL;
        bool is_newest = !newer || strcmp(newer->image->name, tarballs[i].image->name) != 0 ||
                         compare_branches(newer->row->build, tarballs[i].row->build) != 0;
        if (is_newest && tarballs[i].row->verdict == PLAN_REMOVE) {
            tarballs[i].row->verdict = PLAN_IMAGE;
            tarballs[i].row->because = tarballs[i].image->name;
        }
    }
    return 0;
}

// ---- the whole ---------------------------------------------------------------------------------

static void keep_linked_and_young(const struct survey *survey, const struct plan_rules *rules,
                                  struct plan_row *row)
{
    const struct survey_link *link = plan_link_to(survey, row->build);
    if (row->verdict != PLAN_REMOVE)
        return;
    if (link) {
        row->verdict = PLAN_LINK;
        row->because = link->path;
    } else if (rules->older_than_ms > 0 &&
               rules->now_ms - row->build->newest_ms < rules->older_than_ms) {
        row->verdict = PLAN_YOUNG;
    }
}

int plan_make(const struct survey *survey, const struct plan_rules *rules,
              struct plan_row **ret_rows)
{
    size_t count = survey->build_count;
    auto_free struct plan_row *rows = calloc(count ? count : 1, sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct plan_row){.build = &survey->builds[i]};
    if (count > 0)
        qsort(rows, count, sizeof(*rows), compare_rows);
    keep_newest(rows, count, rules->keep);
    for (size_t i = 0; i < count; i++)
        keep_linked_and_young(survey, rules, &rows[i]);
    if (rules->keep > 0 && keep_images(rows, count) < 0)
        return -ENOMEM;
    *ret_rows = TAKE(rows);
    return 0;
}
