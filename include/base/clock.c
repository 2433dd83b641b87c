#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t latest_ms = 253402300799999; // 9999-12-31T23:59:59.999Z

static _Atomic int64_t system_offset_ms;

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_now_ms(const struct clock *clock)
{
    (void)clock;
    return read_ms(CLOCK_REALTIME) + atomic_load(&system_offset_ms);
}

static int64_t system_monotonic_ms(const struct clock *clock)
{
    (void)clock;
    return read_ms(CLOCK_MONOTONIC);
}

static void system_correct(const struct clock *clock, int64_t offset_ms)
{
    (void)clock;
    atomic_store(&system_offset_ms, offset_ms);
}

const struct clock *clock_system(void)
{
    static const struct clock clock = {system_now_ms, system_monotonic_ms, system_correct};
    return &clock;
}

void clock_correct(const struct clock *clock, int64_t offset_ms)
{
    if (clock->correct)
        clock->correct(clock, offset_ms);
}

// A moment outside the years 1970 to 9999 shows as the nearest one inside: no text here may
// grow past its buffer.
static struct tm broken_down(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    if (ms > latest_ms)
        ms = latest_ms;
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    return tm;
}

void clock_format_rfc3339(int64_t ms, char ret_text[CLOCK_RFC3339_SIZE])
{
    struct tm tm = broken_down(ms);
    strftime(ret_text, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void clock_format_basic(int64_t ms, char ret_text[CLOCK_BASIC_SIZE])
{
    struct tm tm = broken_down(ms);
    strftime(ret_text, CLOCK_BASIC_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

// Reads exactly `digits` digits at **at and steps over them.
static bool take_number(const char **at, int digits, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    *at += digits;
    *ret_number = number;
    return true;
}

static bool take_text(const char **at, const char *text)
{
    size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool take_one_of(const char **at, const char *const *words, int count, int *ret_index)
{
    for (int i = 0; i < count; i++) {
        if (take_text(at, words[i])) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

// "12:34:56"; the sixtieth second is a leap second.
static bool take_time(const char **at, struct tm *tm)
{
    return take_number(at, 2, &tm->tm_hour) && take_text(at, ":") &&
           take_number(at, 2, &tm->tm_min) && take_text(at, ":") &&
           take_number(at, 2, &tm->tm_sec) && tm->tm_hour <= 23 && tm->tm_min <= 59 &&
           tm->tm_sec <= 60;
}

// timegm would quietly turn 30 February into 2 March.
static bool is_calendar_day(const struct tm *tm)
{
    static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year + 1900;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1970 || tm->tm_mon < 0 || tm->tm_mon > 11)
        return false;
    int days = days_of[tm->tm_mon] + (tm->tm_mon == 1 && is_leap ? 1 : 0);
    return tm->tm_mday >= 1 && tm->tm_mday <= days;
}

// ".123", any number of digits, to milliseconds; nothing where there is no dot.
static bool take_fraction(const char **at, int *ret_ms)
{
    *ret_ms = 0;
    if (!take_text(at, "."))
        return true;
    int scale = 100;
    int digit;
    if (!take_number(at, 1, &digit))
        return false;
    do {
        *ret_ms += digit * scale;
        scale /= 10;
    } while (take_number(at, 1, &digit));
    return true;
}

static bool take_zone(const char **at, int *ret_offset_minutes)
{
    *ret_offset_minutes = 0;
    if (take_text(at, "Z") || take_text(at, "z"))
        return true;
    int sign = **at == '-' ? -1 : 1;
    int hours;
    int minutes;
    if (!take_text(at, "+") && !take_text(at, "-"))
        return false;
    if (!take_number(at, 2, &hours) || !take_text(at, ":") || !take_number(at, 2, &minutes))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    *ret_offset_minutes = sign * (hours * 60 + minutes);
    return true;
}

static int finish(struct tm *tm, int fraction_ms, int offset_minutes, int64_t *ret_ms)
{
    if (!is_calendar_day(tm))
        return -EINVAL;
    int64_t seconds = (int64_t)timegm(tm) - (int64_t)offset_minutes * 60;
    int64_t ms = seconds * 1000 + fraction_ms;
    if (ms < 0 || ms > latest_ms)
        return -EINVAL;
    *ret_ms = ms;
    return 0;
}

int clock_parse_rfc3339(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int year;
    int month;
    int fraction_ms;
    int offset_minutes;
    const char *at = text;
    if (!take_number(&at, 4, &year) || !take_text(&at, "-") || !take_number(&at, 2, &month) ||
        !take_text(&at, "-") || !take_number(&at, 2, &tm.tm_mday))
        return -EINVAL;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    if (!take_text(&at, "T") && !take_text(&at, "t"))
        return -EINVAL;
    if (!take_time(&at, &tm) || !take_fraction(&at, &fraction_ms) ||
        !take_zone(&at, &offset_minutes) || *at != '\0')
        return -EINVAL;
    return finish(&tm, fraction_ms, offset_minutes, ret_ms);
}

// Not strptime: its %a and %b follow the locale.
int clock_parse_http(const char *text, int64_t *ret_ms)
{
    static const char *const weekdays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = {0};
    int weekday;
    int year;
    const char *at = text;
    if (!take_one_of(&at, weekdays, 7, &weekday) || !take_text(&at, ", ") ||
        !take_number(&at, 2, &tm.tm_mday) || !take_text(&at, " ") ||
        !take_one_of(&at, months, 12, &tm.tm_mon) || !take_text(&at, " ") ||
        !take_number(&at, 4, &year) || !take_text(&at, " "))
        return -EINVAL;
    tm.tm_year = year - 1900;
    if (!take_time(&at, &tm) || !take_text(&at, " GMT") || *at != '\0')
        return -EINVAL;
    return finish(&tm, 0, 0, ret_ms);
}
