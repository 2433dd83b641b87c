#include "words.h"

#include "base/scope.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

int words_size(struct buf *text, uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    uint64_t scale = 1000;

    if (bytes < 1000)
        return buf_printf(text, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
    while (bytes / scale >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
        scale *= 1000;
        unit++;
    }
    // Three digits say enough beside the exact number.
    uint64_t whole = bytes / scale;
    uint64_t hundredths = bytes % scale / (scale / 100);
    if (whole >= 100)
        return buf_printf(text, "%" PRIu64 " %s", whole, units[unit]);
    if (whole >= 10)
        return buf_printf(text, "%" PRIu64 ".%" PRIu64 " %s", whole, hundredths / 10, units[unit]);
    return buf_printf(text, "%" PRIu64 ".%02" PRIu64 " %s", whole, hundredths, units[unit]);
}

int words_number(struct buf *text, uint64_t count)
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    int error = 0;

    for (int i = 0; i < size && error == 0; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            buf_append_char(text, ',');
        error = buf_append_char(text, digits[i]);
    }
    return error;
}

int words_moment(struct buf *text, int64_t ms)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    return buf_printf(text, "%s %d %s %d, %02d:%02d UTC", days[tm.tm_wday], tm.tm_mday,
                      months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min);
}

int words_span(struct buf *text, int64_t span_ms)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    int64_t rest_s = span_ms > 0 ? span_ms / 1000 : 0;
    size_t unit = 0;

    while (unit + 1 < ARRAY_SIZE(units) && rest_s < units[unit].seconds)
        unit++;
    int64_t count = rest_s / units[unit].seconds;
    int error =
        buf_printf(text, "%" PRId64 " %s%s", count, units[unit].name, count == 1 ? "" : "s");
    rest_s %= units[unit].seconds;
    if (unit + 1 >= ARRAY_SIZE(units))
        return error;
    count = rest_s / units[unit + 1].seconds;
    if (count == 0)
        return error;
    return buf_printf(text, " %" PRId64 " %s%s", count, units[unit + 1].name,
                      count == 1 ? "" : "s");
}
