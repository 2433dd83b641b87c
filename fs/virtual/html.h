// html.h - text that others wrote, into HTML; pure.
//
// Names come from whoever may write to the bucket. They enter a page through these functions
// alone: nothing in them becomes markup, and what would not be seen is shown as escape.h shows it.
#pragma once

#include "base/buf.h"

#include <stddef.h>

// Fit for element content and for attribute values in double or single quotes.
int html_text(struct buf *page, const char *text);
int html_bytes(struct buf *page, const char *text, size_t size); // the same, of a part of a text

// printf-like with one conversion, %s, whose argument is escaped as html_text does; %% is a '%'.
// The format is the page's own markup and must be a literal.
int html_format(struct buf *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

// One word of a command that people paste (escape.h), escaped for the page.
int html_shell_word(struct buf *page, const char *word);
int html_powershell_word(struct buf *page, const char *word);
