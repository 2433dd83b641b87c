// words.h - sizes, moments and spans as people read them; pure, English, no locale. Letters,
// digits, ' ', '.', ',' and ':' only: nothing that any format would want escaped.
#pragma once

#include "base/buf.h"

#include <stdint.h>

int words_size(struct buf *text, uint64_t bytes);   // "1.02 GB" (decimal, as links and disks count)
int words_number(struct buf *text, uint64_t count); // "1,021,313,024"
int words_moment(struct buf *text, int64_t ms);     // "Saturday 21 November 2026, 13:16 UTC"
// The two largest units, rounded down: "6 days 23 hours", "59 minutes", "2 seconds".
int words_span(struct buf *text, int64_t span_ms);
