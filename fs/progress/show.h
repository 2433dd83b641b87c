// show.h - one publish in one line for a person; pure.
//
// File names and sentences come from registries, stores and whoever may write there: a terminal
// gets no control character of theirs, nor one that turns the order of the text around.
#pragma once

#include "base/buf.h"
#include "watch.h"

struct show {
    int width;       // columns that a line may take
    int name_width;  // of these, for the names: see show_name_width
    bool is_unicode; // else what is not ASCII becomes '?'
};

// The columns that names take in a table of these rows: the longest's, but no more than a third.
int show_name_width(const struct watch *watch, const struct show *show);

// "app.tar  [#####.....]  50%  10.5 of 21.0 MB  3.2 MB/s  0:04 left", cut at show->width.
void show_bar(struct buf *text, const struct watch_row *row, const struct show *show);
// "app.tar: 50%, 10.5 of 21.0 MB, 3.2 MB/s, 0:04 left", as long as it is.
void show_line(struct buf *text, const struct watch_row *row, const struct show *show);
// "app.tar: published, 21.0 MB", or how else it ended, and why.
void show_end(struct buf *text, const struct watch_row *row, const struct show *show);

// `text` made harmless, up to `columns` of them; shorter ones are filled up with spaces where
// is_padded. wcwidth says how wide a character is: LC_CTYPE must be set.
void show_text(struct buf *ret_text, const char *text, int columns, bool is_padded,
               bool is_unicode);
