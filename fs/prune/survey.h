// survey.h - what a mount holds, as a walk over its directories finds it: builds, and where
// symbolic links lead.
//
// A build is a directory of a branch that is named like a commit (path.h) and holds files and no
// directories. The root is no branch, and nothing under releases/ is a build. Symbolic links are
// looked for in all of the mount, and none is walked through. Paths are from the mount's root,
// without slashes at their ends. Generated files are not looked at: no link is minted.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct survey_image {
    const char *name; // "runtime" of the tarball "runtime:main-abc1234.tar"
    int64_t modified_ms;
};

struct survey_build {
    const char *path;   // "jps/fix-login/abc1234"
    size_t branch_size; // of "jps/fix-login"
    int64_t newest_ms;  // when the newest of its files was stored; links do not count
    size_t file_count;  // what rm removes: links included
    uint64_t size_bytes;
    struct survey_image *images;
    size_t image_count;
};
void survey_build_done(struct survey_build *build); // accepts NULL and zeroed

struct survey_link {
    const char *path;
    const char *target; // what is there in the end, "" for the root; NULL: it leads nowhere
};

struct survey {
    struct survey_build *builds;
    size_t build_count;
    struct survey_link *links;
    size_t link_count;
};
void survey_done(struct survey *survey); // accepts NULL and zeroed

struct survey_mount { // the caller's
    int fd;           // its root
    const char *path; // the same, as realpath(3) has it
};

// All links, and the builds below a directory ("" for all). Fails, with the path in the sentence,
// where a directory cannot be read or where a link leads cannot be told: who removes must know all.
int survey_walk(const struct survey_mount *mount, const char *below, struct survey *ret_survey,
                struct err *err);
// The links alone, in those directories that held one: quick, for a last look.
int survey_look_again(const struct survey_mount *mount, const struct survey *survey,
                      struct survey *ret_links, struct err *err);

// One directory as it is now. ENOENT where there is none, or where it is no build (any more).
int survey_build(const struct survey_mount *mount, const char *path, struct survey_build *ret_build,
                 struct err *err);
