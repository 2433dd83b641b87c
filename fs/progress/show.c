#include "show.h"

#include "base/scope.h"
#include "fs/utf8.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <wchar.h>

enum {
    NAME_WIDTH_MIN = 8,
    BAR_WIDTH_MIN = 5, // a shorter bar is left out
    BAR_WIDTH_MAX = 40,
    FIGURES_SIZE = 128,
};

// ---- text of others ----------------------------------------------------------------------------

// How many columns the character takes, or -1 where it is not to be shown.
static int columns_of(uint32_t character, bool is_unicode)
{
    if (utf8_is_control(character) || utf8_is_deceptive(character) || character == UTF8_BROKEN)
        return -1;
    if (character < 0x80)
        return 1;
    return is_unicode ? wcwidth((wchar_t)character) : -1;
}

// Appends what fits; returns the columns that it takes. ret_text NULL: only counts.
static int add_text(struct buf *ret_text, const char *text, int columns, bool is_unicode)
{
    size_t size = strlen(text);
    size_t step;
    int used = 0;

    for (size_t at = 0; at < size; at += step) {
        int takes = columns_of(utf8_decode(text + at, size - at, &step), is_unicode);
        if (used + (takes < 0 ? 1 : takes) > columns)
            break;
        if (ret_text && takes < 0)
            buf_append_char(ret_text, '?');
        else if (ret_text)
            buf_append(ret_text, text + at, step);
        used += takes < 0 ? 1 : takes;
    }
    return used;
}

void show_text(struct buf *ret_text, const char *text, int columns, bool is_padded, bool is_unicode)
{
    int used = add_text(ret_text, text, columns, is_unicode);
    if (is_padded && used < columns)
        buf_printf(ret_text, "%*s", columns - used, "");
}

int show_name_width(const struct watch *watch, const struct show *show)
{
    int most = show->width / 3 < NAME_WIDTH_MIN ? NAME_WIDTH_MIN : show->width / 3;
    int width = 0;

    for (size_t i = 0; i < watch->count; i++) {
        const struct watch_row *row = &watch->rows[i];
        if (row->state != WATCH_RUNNING)
            continue;
        int used = add_text(NULL, row->file, most, show->is_unicode);
        width = used > width ? used : width;
    }
    return width;
}

// ---- figures -----------------------------------------------------------------------------------

struct unit {
    const char *name;
    int64_t bytes;
};

static struct unit unit_of(int64_t bytes)
{
    static const struct unit units[] = {{"TB", INT64_C(1000000000000)},
                                        {"GB", 1000000000},
                                        {"MB", 1000000},
                                        {"kB", 1000},
                                        {"B", 1}};
    size_t i = 0;
    while (i + 1 < ARRAY_SIZE(units) && bytes < units[i].bytes)
        i++;
    return units[i];
}

static void add_bytes(struct buf *text, int64_t bytes, struct unit unit)
{
    if (unit.bytes == 1)
        buf_printf(text, "%" PRId64, bytes);
    else
        buf_printf(text, "%" PRId64 ".%" PRId64, bytes / unit.bytes,
                   bytes % unit.bytes * 10 / unit.bytes);
}

static void add_amount(struct buf *text, int64_t bytes)
{
    struct unit unit = unit_of(bytes);
    add_bytes(text, bytes, unit);
    buf_printf(text, " %s", unit.name);
}

static void add_duration(struct buf *text, int64_t seconds)
{
    if (seconds >= 3600)
        buf_printf(text, "%" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600, seconds / 60 % 60,
                   seconds % 60);
    else
        buf_printf(text, "%" PRId64 ":%02" PRId64, seconds / 60, seconds % 60);
}

// What is done of the total, in [0, most]; a total of nothing is done at once.
static int done_of(const struct watch_row *row, int most)
{
    if (row->total_bytes <= 0 || row->done_bytes >= row->total_bytes)
        return row->total_bytes < 0 ? 0 : most;
    return (int)((double)row->done_bytes / (double)row->total_bytes * most);
}

// "50%, 10.5 of 21.0 MB, 3.2 MB/s, 0:04 left", with `between` for ", ".
static void add_figures(struct buf *text, const struct watch_row *row, const char *between)
{
    if (row->total_bytes < 0) {
        buf_append_text(text, "asking the registry");
        return;
    }
    struct unit unit = unit_of(row->total_bytes);
    buf_printf(text, "%3d%%%s", done_of(row, 100), between);
    add_bytes(text, row->done_bytes, unit);
    buf_append_text(text, " of ");
    add_bytes(text, row->total_bytes, unit);
    buf_printf(text, " %s", unit.name);
    if (row->done_bytes >= row->total_bytes) {
        buf_printf(text, "%sfinishing", between);
        return;
    }
    if (row->rate_bytes_s >= 0) {
        buf_append_text(text, between);
        add_amount(text, row->rate_bytes_s);
        buf_append_text(text, "/s");
    }
    int64_t left_s = watch_left_s(row);
    if (left_s >= 0) {
        buf_append_text(text, between);
        add_duration(text, left_s);
        buf_append_text(text, " left");
    }
}

// ---- lines -------------------------------------------------------------------------------------

void show_bar(struct buf *text, const struct watch_row *row, const struct show *show)
{
    auto_buf struct buf line = BUF_INIT(64 * 1024);
    auto_buf struct buf figures = BUF_INIT(FIGURES_SIZE);
    add_figures(&figures, row, "  ");
    // A bar keeps its length while the figures behind it come and go.
    int bar = show->width - show->name_width - 55;

    show_text(&line, row->file, show->name_width, true, show->is_unicode);
    bar = bar > BAR_WIDTH_MAX ? BAR_WIDTH_MAX : bar;
    if (bar >= BAR_WIDTH_MIN) {
        int full = done_of(row, bar);
        buf_append_text(&line, "  [");
        for (int i = 0; i < bar; i++)
            buf_append_char(&line, i < full ? '#' : '.');
        buf_append_char(&line, ']');
    }
    buf_printf(&line, "  %s", buf_text(&figures));
    if (row->detail) {
        buf_append_text(&line, "  ");
        buf_append_text(&line, row->detail);
    }
    show_text(text, buf_text(&line), show->width, false, show->is_unicode);
}

void show_line(struct buf *text, const struct watch_row *row, const struct show *show)
{
    show_text(text, row->file, INT_MAX, false, show->is_unicode);
    buf_append_text(text, ": ");
    add_figures(text, row, ", ");
    if (row->detail) {
        buf_append_text(text, ", ");
        show_text(text, row->detail, INT_MAX, false, show->is_unicode);
    }
}

void show_end(struct buf *text, const struct watch_row *row, const struct show *show)
{
    static const char *const words[] = {
        [WATCH_RUNNING] = "running",
        [WATCH_PUBLISHED] = "published",
        [WATCH_UNCHANGED] = "unchanged: the same image was there",
        [WATCH_FAILED] = "failed",
        [WATCH_CANCELLED] = "cancelled",
        [WATCH_LOST] = "lost: the mount has ended",
    };
    show_text(text, row->file, INT_MAX, false, show->is_unicode);
    buf_printf(text, ": %s", words[row->state]);
    if (row->total_bytes >= 0 && row->state == WATCH_PUBLISHED) {
        buf_append_text(text, ", ");
        add_amount(text, row->total_bytes);
    }
    if (row->detail) {
        buf_append_text(text, ": ");
        show_text(text, row->detail, INT_MAX, false, show->is_unicode);
    }
}
