// index.h - index.html: the builds below a directory, the newest first; pure.
//
// For engineers who browse the mount with a file:// address: every link is relative. It holds no
// presigned link, so it is an ordinary file (fmode=), and making it mints nothing.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

enum { INDEX_BUILDS_MAX = 1000 }; // that are shown: a page of 300 kB

int index_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
