// sums.h - SHA256SUMS: for `sha256sum -c` where the customer saved the files; pure.
//
// A line "HEX  DOWNLOAD-NAME" per file whose sha256 is known, in the order of names; the others
// as comments, which sha256sum and shasum pass over. Download names hold nothing that these
// programs would want escaped.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int sums_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
