// log.h - one line an event: a sentence and key=value pairs, to stderr or syslog.
//
// Values that hold spaces, quotes, control or non-ASCII bytes are quoted and escaped, so that
// no value can forge a line. Values never hold secrets; URLs are given without their query.
// Thread-safe; a line is written with one write(2).
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG };

// Before log_open, lines go to stderr at LOG_LEVEL_INFO. Where stderr is systemd's journal
// (JOURNAL_STREAM, systemd.exec(5)) lines begin with their priority, <4>, as sd-daemon(3) has it,
// instead of the time, which the journal has.
void log_open(enum log_sink sink, enum log_level level);
// From now on lines for stderr stay with the file that it is at this moment, so that a thread's
// line is not lost where descriptor 2 is lent to what a library has to say. The first call
// counts, and one while lines go to syslog does nothing.
void log_stay(void);
bool log_is_on(enum log_level level);

// log_event(LOG_LEVEL_INFO, "published", "file", name, "bytes", text, NULL): pairs of strings,
// closed by NULL. A NULL value is written as "-".
void log_event(enum log_level level, const char *sentence, ...) __attribute__((sentinel));

// The sentence, then cause="..." errno=NAME, then the pairs.
void log_err(enum log_level level, const char *sentence, const struct err *err, ...)
    __attribute__((sentinel));

// A value that is NULL is left out, with its key.
struct log_pair {
    const char *key;
    const char *value;
};
// Whatever log_level= says: what somebody may have to answer for is not left out of the log.
void log_always(enum log_level level, const char *sentence, const struct log_pair *pairs,
                size_t pair_count);

int log_level_parse(const char *text, enum log_level *ret_level); // 0 or -EINVAL
