#include "watch.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLUMNS = 7,             // of each row, at least: columns are only ever appended
    RATE_WINDOW_MS = 4000,   // what is older than that hardly counts
    RATE_MEASURE_MS = 200,   // the shortest time that says anything
    LEFT_MAX_S = 100 * 3600, // longer is not told
};

static const char header[] = "started\tfile\treference\tstate\tdone\ttotal\tdetail";

static const char *const state_names[] = {
    [WATCH_RUNNING] = "running", [WATCH_PUBLISHED] = "published", [WATCH_UNCHANGED] = "unchanged",
    [WATCH_FAILED] = "failed",   [WATCH_CANCELLED] = "cancelled",
};

void watch_init(struct watch *watch)
{
    *watch = (struct watch){0};
}

static void row_done(struct watch_row *row)
{
    free(row->identity);
    free(row->file);
    free(row->detail);
}

void watch_done(struct watch *watch)
{
    if (!watch)
        return;
    for (size_t i = 0; i < watch->count; i++)
        row_done(&watch->rows[i]);
    free(watch->rows);
    watch_init(watch);
}

// ---- one row -----------------------------------------------------------------------------------

struct field {
    const char *text;
    size_t size;
};

static bool split(const char *line, size_t size, struct field ret_fields[COLUMNS])
{
    const char *end = line + size;
    for (size_t i = 0; i < COLUMNS; i++) {
        const char *tab = line ? memchr(line, '\t', (size_t)(end - line)) : NULL;
        if (!line)
            return false;
        ret_fields[i] = (struct field){line, (size_t)((tab ? tab : end) - line)};
        line = tab ? tab + 1 : NULL;
    }
    return true;
}

static bool field_is(struct field field, const char *text)
{
    return field.size == strlen(text) && memcmp(field.text, text, field.size) == 0;
}

static bool parse_bytes(struct field field, int64_t *ret_bytes)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < field.size; i++) {
        char c = field.text[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(bytes, 10, &bytes) ||
            __builtin_add_overflow(bytes, c - '0', &bytes))
            return false;
    }
    *ret_bytes = bytes;
    return field.size > 0;
}

static bool parse_state(struct field field, enum watch_state *ret_state)
{
    for (size_t i = 0; i < ARRAY_SIZE(state_names); i++) {
        if (field_is(field, state_names[i])) {
            *ret_state = (enum watch_state)i;
            return true;
        }
    }
    return false;
}

// The rate is an average in which what is older than RATE_WINDOW_MS fades.
static void measure(struct watch_row *row, int64_t now_ms)
{
    int64_t took_ms = now_ms - row->measured_ms;
    int64_t moved = row->done_bytes - row->measured_bytes;

    if (took_ms < RATE_MEASURE_MS)
        return;
    row->measured_ms = now_ms;
    row->measured_bytes = row->done_bytes;
    if (moved < 0) // work is done again
        moved = 0;
    double now = (double)moved * 1000 / (double)took_ms;
    double weight =
        row->rate_bytes_s < 0 ? 1 : (double)took_ms / (double)(took_ms + RATE_WINDOW_MS);
    double before = row->rate_bytes_s < 0 ? 0 : (double)row->rate_bytes_s;
    row->rate_bytes_s = (int64_t)(before + (now - before) * weight);
}

static struct watch_row *find(struct watch *watch, const char *identity, size_t size)
{
    for (size_t i = 0; i < watch->count; i++) {
        struct watch_row *row = &watch->rows[i];
        if (row->reading != watch->reading && strlen(row->identity) == size &&
            memcmp(row->identity, identity, size) == 0)
            return row;
    }
    return NULL;
}

static struct watch_row *append(struct watch *watch, const struct field fields[COLUMNS],
                                size_t identity_size)
{
    struct watch_row row = {
        .identity = strndup(fields[0].text, identity_size),
        .file = strndup(fields[1].text, fields[1].size),
        .total_bytes = -1,
        .rate_bytes_s = -1,
    };
    struct watch_row *rows = row.identity && row.file
                                 ? reallocarray(watch->rows, watch->count + 1, sizeof(*rows))
                                 : NULL;
    if (!rows) {
        row_done(&row);
        return NULL;
    }
    watch->rows = rows;
    rows[watch->count] = row;
    return &rows[watch->count++];
}

static int take_line(struct watch *watch, const char *line, size_t size, int64_t now_ms,
                     struct err *err)
{
    struct field fields[COLUMNS] = {{0}};
    enum watch_state state = WATCH_RUNNING;
    int64_t done = 0;
    int64_t total = -1;

    if (!split(line, size, fields) || !parse_state(fields[3], &state) ||
        !parse_bytes(fields[4], &done) ||
        (!field_is(fields[5], "-") && !parse_bytes(fields[5], &total)))
        return err_set(err, EINVAL, "it has a line that is no row of a status.tsv: %.*s",
                       size < 200 ? (int)size : 200, line);

    size_t identity_size = (size_t)(fields[2].text + fields[2].size - fields[0].text);
    struct watch_row *row = find(watch, line, identity_size);
    bool is_new = !row;
    if (!row && !(row = append(watch, fields, identity_size)))
        return err_no_memory(err);
    row->reading = watch->reading;
    row->state = state;
    row->done_bytes = done;
    row->total_bytes = total;
    if (is_new) {
        row->is_old = watch->reading == 1 && state != WATCH_RUNNING;
        row->measured_ms = now_ms;
        row->measured_bytes = done;
    } else {
        measure(row, now_ms);
    }
    free(row->detail);
    row->detail = NULL;
    if (!field_is(fields[6], "-") && !(row->detail = strndup(fields[6].text, fields[6].size)))
        return err_no_memory(err);
    return 0;
}

// ---- readings ----------------------------------------------------------------------------------

int watch_read(struct watch *watch, const char *text, size_t size, int64_t now_ms, struct err *err)
{
    const char *end = text + size;
    const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;

    if (!newline || (size_t)(newline - text) < strlen(header) ||
        memcmp(text, header, strlen(header)) != 0)
        return err_set(err, EINVAL, "it is not a status.tsv of prereleasefs");
    watch->reading++;
    for (const char *line = newline + 1; line < end; line = newline + 1) {
        newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            break;
        if (take_line(watch, line, (size_t)(newline - line), now_ms, err) < 0)
            return -err->errnum;
    }
    for (size_t i = 0; i < watch->count; i++) {
        struct watch_row *row = &watch->rows[i];
        if (row->reading != watch->reading && row->state == WATCH_RUNNING)
            row->state = WATCH_LOST;
    }
    return 0;
}

void watch_read_nothing(struct watch *watch)
{
    watch->reading++;
}

bool watch_is_running(const struct watch *watch)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->rows[i].state == WATCH_RUNNING)
            return true;
    }
    return false;
}

static bool row_is_well(const struct watch_row *row)
{
    return row->state == WATCH_PUBLISHED || row->state == WATCH_UNCHANGED;
}

bool watch_is_well(const struct watch *watch)
{
    bool is_any_watched = false;

    for (size_t i = 0; i < watch->count; i++) {
        const struct watch_row *row = &watch->rows[i];
        if (row->is_old)
            continue;
        is_any_watched = true;
        if (!row_is_well(row))
            return false;
    }
    return is_any_watched || watch->count == 0 || row_is_well(&watch->rows[watch->count - 1]);
}

int64_t watch_left_s(const struct watch_row *row)
{
    if (row->total_bytes < 0 || row->rate_bytes_s <= 0)
        return -1;
    int64_t left = row->total_bytes - row->done_bytes;
    int64_t seconds = left <= 0 ? 0 : left / row->rate_bytes_s + (left % row->rate_bytes_s != 0);
    return seconds > LEFT_MAX_S ? -1 : seconds;
}
