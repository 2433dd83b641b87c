// revision.h - whether an image is of the commit that its directory is named after. Pure.
#pragma once

#include "registry.h"

#include <stddef.h>

// The revision that the image states and that is another than `commit`; NULL where it states none
// or the same (either may be cut short), and where `commit` is no commit's name. What its labels
// state goes before what is attested.
const char *revision_misfit(const struct registry_provenance *provenance, const char *commit,
                            size_t commit_size);
// The same by a build's directory, "BRANCH/COMMIT"; under releases/ every revision fits.
const char *revision_misfit_in(const struct registry_provenance *provenance, const char *directory);
