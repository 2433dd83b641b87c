// watch.h - the publishes of one directory as successive readings of its status.tsv show them;
// pure.
//
// The first reading tells what had ended before anybody looked: that is old news. All else is
// watched: what runs at the first reading, and what a later one shows for the first time. Rows have
// no names of their own: one is known by when it began, its file and its reference, and among equal
// ones by its place. One owner, no locking.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum watch_state {
    WATCH_RUNNING,
    WATCH_PUBLISHED,
    WATCH_UNCHANGED,
    WATCH_FAILED,
    WATCH_CANCELLED,
    WATCH_LOST, // it ran, and a later reading lacks it: its mount has ended
};

struct watch_row {
    char *identity; // the columns started, file and reference as they stand there
    char *file;     // as it stands there: escaped, and whatever bytes others wrote
    char *detail;   // likewise; NULL where there is nothing to say
    enum watch_state state;
    bool is_old;
    bool is_end_told; // the caller's own mark; false at first
    int64_t done_bytes;
    int64_t total_bytes;    // -1 while it is not known
    int64_t rate_bytes_s;   // of the last seconds; -1 while there is none
    int64_t measured_ms;    // when `rate_bytes_s` was brought up to date
    int64_t measured_bytes; // what was done then
    size_t reading;         // the last one that has it
};

struct watch {
    struct watch_row *rows; // in the order in which they began
    size_t count;
    size_t reading; // how many there were
};

void watch_init(struct watch *watch);
void watch_done(struct watch *watch); // accepts NULL

// One reading: all of the file's text, and when it was read (milliseconds that never jump). A last
// line without a newline is left for the next reading. EINVAL: it is no status.tsv.
int watch_read(struct watch *watch, const char *text, size_t size, int64_t now_ms, struct err *err);

// A reading for which there was no file yet: whatever it will show is news.
void watch_read_nothing(struct watch *watch);

bool watch_is_running(const struct watch *watch);
// All that was watched has come to be published; where nothing was watched, what began last has.
bool watch_is_well(const struct watch *watch);

// Seconds until all bytes are moved at this rate; -1 where that cannot be told.
int64_t watch_left_s(const struct watch_row *row);
