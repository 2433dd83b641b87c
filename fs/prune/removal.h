// removal.h - one build is removed, file by file as rm would, after a last look at it.
//
// What was planned may be minutes old. So right before its first file goes, the build is looked at
// once more: is it being published into, by this mount (status.tsv), has anything been stored in it
// since, does a link lead to it by now? Then it is kept.
#pragma once

#include "base/err.h"
#include "survey.h"

#include <stdbool.h>

enum removal_outcome {
    REMOVAL_DONE,
    REMOVAL_KEPT,   // err says why
    REMOVAL_FAILED, // err says why; some of its files may be gone
    REMOVAL_UNSURE, // where links lead cannot be told any more: nothing further may be removed
};

// is_dry: only the look; then REMOVAL_DONE means that it would be tried.
enum removal_outcome removal_run(const struct survey_mount *mount, const struct survey *survey,
                                 const struct survey_build *build, bool is_dry, struct err *err);
