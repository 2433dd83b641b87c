// plan.h - which builds are removed, and why the others are kept; pure.
//
// Of each branch the newest `keep` builds stay, and of each of its images the newest build that has
// one, since the branch's own pages are made of those (virtual/newest.h); so does what a symbolic
// link leads to, or to something in it or above it, unless the link lies in that very build. What
// is younger than `older_than_ms` stays. With keep 0 nothing stays for being the newest.
#pragma once

#include "base/err.h"
#include "survey.h"

#include <stddef.h>
#include <stdint.h>

enum plan_verdict {
    PLAN_REMOVE,
    PLAN_NEWEST,
    PLAN_LINK,
    PLAN_IMAGE,
    PLAN_YOUNG,
};

struct plan_rules {
    size_t keep;
    int64_t older_than_ms; // 0: of any age
    int64_t now_ms;
};

struct plan_row {
    const struct survey_build *build;
    enum plan_verdict verdict;
    const char *because; // the link's path, the image's name; else NULL
};

// A row for each build, by branch, the newest first; *ret_rows is malloc'ed and points into the
// survey. -ENOMEM.
int plan_make(const struct survey *survey, const struct plan_rules *rules,
              struct plan_row **ret_rows);

// The first link that keeps the build, or NULL.
const struct survey_link *plan_link_to(const struct survey *survey,
                                       const struct survey_build *build);
