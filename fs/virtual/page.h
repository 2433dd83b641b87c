// page.h - what report.html and index.html have in common; pure.
//
// A page is self-contained: no script, nothing fetched from elsewhere, and a
// Content-Security-Policy of its own that would refuse both.
#pragma once

#include "../publish/record_referrers.h"
#include "base/buf.h"

#include <stdint.h>

// Up to <body>. title: markup, escaped already. -ENOMEM, or what html_format answers.
int page_begin(struct buf *page, const char *title);
void page_end(struct buf *page, int64_t now_ms, const char *program_version);

// "2 signatures, 1 SBOM", "none found".
void page_referrers(struct buf *page, const struct record_referrers *referrers);
void page_time(struct buf *page, int64_t ms);
void page_size(struct buf *page, uint64_t bytes); // in words, and exactly
