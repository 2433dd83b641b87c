// tsv.h - one field of a tab-separated file; pure.
#pragma once

#include "base/buf.h"

// The text with tab, newline and backslash as \t, \n and \\, so that a row is a line and a field
// is what stands between two tabs; "-" for NULL and "".
int tsv_field(struct buf *text, const char *field);
