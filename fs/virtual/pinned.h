// pinned.ref - a reference file that publishes exactly the images that are here, also when their
// tags have moved since; pure.
//
//     cp build/pinned.ref releases/v1.2.3/release.ref
//
// A line per tarball, "HOST/REPOSITORY:TAG@DIGEST NAME platform=... tag=...": the digest is the one
// that its own reference named. Nothing moves: the bucket holds the layers. What was not published
// from a registry, or has a name that no line can hold, is a comment; `cp` copies that.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int pinned_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
