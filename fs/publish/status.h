// status.h - the board of this mount's publishes: state is data, status.tsv only looks.
//
// Thread-safe. Rows are kept until the mount ends, at most STATUS_ROWS_MAX a directory: the
// oldest ended ones go first.
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { STATUS_ROWS_MAX = 1000 };

enum status_state {
    STATUS_RUNNING,
    STATUS_PUBLISHED,
    STATUS_UNCHANGED,
    STATUS_FAILED,
    STATUS_CANCELLED,
};

struct status;
struct status_row;

int status_new(const struct clock *clock, struct status **ret_status, struct err *err);
void status_free(struct status *status);

// A publish begins: a row in state running. `file` is the tarball's name. NULL on no memory.
struct status_row *status_open(struct status *status, const char *directory, const char *file,
                               const char *reference);
void status_row_set_total(struct status_row *row, uint64_t total_bytes);
void status_row_add_done(struct status_row *row, int64_t bytes); // negative where work is redone
void status_row_restart(struct status_row *row);                 // nothing is done yet, after all
void status_row_set_detail(struct status_row *row, const char *sentence);
// The last word about it; the row must not be used by the caller afterwards. All of these accept
// a NULL row. detail NULL: what was set before stays.
void status_close(struct status_row *row, enum status_state state, const char *detail);

// Lines of a file that were refused before anything began: a row in state failed at once. `file`
// is the reference file's name; reference NULL where no line has one.
void status_refused(struct status *status, const char *directory, const char *file,
                    const char *reference, const char *detail);

bool status_has(struct status *status, const char *directory);
bool status_has_below(struct status *status, const char *directory); // there, or further down
// The header line "started file reference state done total detail", then a row each, oldest
// first; bytes in done and total, "-" for a total that is not known yet and an empty detail.
// 0, or -EFBIG where the text is full.
int status_render(struct status *status, const char *directory, struct buf *ret_text);
