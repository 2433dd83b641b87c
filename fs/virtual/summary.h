// summary.md - a build as a table of GitHub-flavoured Markdown, for `cat summary.md >>
// "$GITHUB_STEP_SUMMARY"`; pure.
//
// It holds no links: whoever may look at a job may read its summary, in a public repository
// everybody. So it needs no presigner, and making it mints nothing.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int summary_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
