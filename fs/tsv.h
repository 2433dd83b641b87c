// tsv.h - one field of a tab-separated file; pure.
#pragma once

#include "base/buf.h"

// The text with tab, newline and backslash as \t, \n and \\, so that a row is a line and a field
// is what stands between two tabs; "-" for NULL and "". Each byte of what a terminal would act on,
// or show in another order than it stands (utf8.h), and of what is no UTF-8, as \xNN.
int tsv_field(struct buf *text, const char *field);
