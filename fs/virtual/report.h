// report.h - report.html: the one page that a customer gets; pure.
//
// Self-contained: no script, nothing fetched from elsewhere, a Content-Security-Policy of its own
// that would refuse both. It holds links, so whoever holds it can download: it says so.
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int report_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
