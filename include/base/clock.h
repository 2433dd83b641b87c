// clock.h - the time, as an argument.
//
// Whoever needs the time is given a `const struct clock *`; tests hand in their own. The real
// one is corrected by what the servers' Date headers say (clock_correct), because a signature
// that is 15 minutes off is refused. All functions are thread-safe.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*now_ms)(const struct clock *clock);                  // since 1970, UTC, corrected
    int64_t (*monotonic_ms)(const struct clock *clock);            // since some moment; never jumps
    void (*correct)(const struct clock *clock, int64_t offset_ms); // may be NULL
};

const struct clock *clock_system(void);

static inline int64_t clock_now_ms(const struct clock *clock)
{
    return clock->now_ms(clock);
}

static inline int64_t clock_monotonic_ms(const struct clock *clock)
{
    return clock->monotonic_ms(clock);
}

// From now on now_ms answers the machine's time plus offset_ms.
void clock_correct(const struct clock *clock, int64_t offset_ms);

enum {
    CLOCK_RFC3339_SIZE = sizeof("2026-01-31T12:34:56Z"),
    CLOCK_BASIC_SIZE = sizeof("20260131T123456Z"),
    CLOCK_HTTP_SIZE = sizeof("Sat, 31 Jan 2026 12:34:56 GMT"),
};

// Text of a moment (milliseconds since 1970, rounded down to the second).
void clock_format_rfc3339(int64_t ms, char ret_text[CLOCK_RFC3339_SIZE]);
void clock_format_basic(int64_t ms, char ret_text[CLOCK_BASIC_SIZE]); // SigV4's X-Amz-Date

// Parsers are total: 0, or -EINVAL with *ret_ms untouched. Years 1970 to 9999.
// RFC 3339 with 'Z' or an offset and optional fraction, as S3 and STS write it.
int clock_parse_rfc3339(const char *text, int64_t *ret_ms);
// RFC 9110 IMF-fixdate, "Sat, 31 Jan 2026 12:34:56 GMT", in the C locale.
int clock_parse_http(const char *text, int64_t *ret_ms);
