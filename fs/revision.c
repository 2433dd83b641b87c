#include "revision.h"

#include "path.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { SHORTEST = 7 }; // digits to which git cuts a commit's name

static bool is_same(const char *revision, const char *commit, size_t commit_size)
{
    size_t size = strlen(revision);
    // "COMMIT-dirty" begins with it, too.
    if (size >= commit_size)
        return strncasecmp(revision, commit, commit_size) == 0;
    return size >= SHORTEST && strncasecmp(revision, commit, size) == 0;
}

const char *revision_misfit(const struct registry_provenance *provenance, const char *commit,
                            size_t commit_size)
{
    static const enum registry_fact facts[] = {REGISTRY_FACT_REVISION,
                                               REGISTRY_FACT_BUILT_REVISION};
    if (!path_is_commit(commit, commit_size))
        return NULL;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const char *revision = provenance->facts[facts[i]];
        if (revision && !is_same(revision, commit, commit_size))
            return revision;
    }
    return NULL;
}

const char *revision_misfit_in(const struct registry_provenance *provenance, const char *directory)
{
    const char *build = path_last(directory);
    return path_is_under_releases(directory) ? NULL
                                             : revision_misfit(provenance, build, strlen(build));
}
