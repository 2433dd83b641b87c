#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_SIZE = 8 * 1024 }; // bytes; a sentence of ERR_TEXT_SIZE, all of it escaped, fits twice
_Static_assert(LINE_SIZE >= 2 * 4 * ERR_TEXT_SIZE, "a cause fits into a line, escaped");

static const struct {
    const char *text;   // in lines
    const char *option; // in log_level=
    int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"ERROR", "error", LOG_ERR},
    [LOG_LEVEL_WARN] = {"WARN", "warn", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"INFO", "info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"DEBUG", "debug", LOG_DEBUG},
};
enum { LEVEL_COUNT = sizeof(levels) / sizeof(levels[0]) };

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_int current_sink = LOG_SINK_STDERR;
static atomic_int stderr_fd = STDERR_FILENO;
static atomic_bool is_journal; // stderr is the journal

// A line under construction, on the stack: logging must work when memory is out. What does not
// fit is cut off, the newline's place is kept.
struct line {
    size_t size;
    char text[LINE_SIZE];
};

static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe): nobody sets any
    struct stat is;
    char text[64];
    if (!stream || fstat(atomic_load(&stderr_fd), &is) < 0)
        return false;
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)is.st_dev, (uintmax_t)is.st_ino);
    return strcmp(stream, text) == 0;
}

void log_open(enum log_sink sink, enum log_level level)
{
    if (sink == LOG_SINK_SYSLOG)
        openlog("prereleasefs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    atomic_store(&is_journal, sink == LOG_SINK_STDERR && stderr_is_journal());
    atomic_store(&current_level, (int)level);
    atomic_store(&current_sink, (int)sink);
}

void log_stay(void)
{
    // Who goes into the background has nothing to say there, and whoever waits for its end (a
    // shell's
    // $(...), ssh, cron) waits for every copy of it to be closed.
    if (atomic_load(&current_sink) != LOG_SINK_STDERR || atomic_load(&stderr_fd) != STDERR_FILENO)
        return;
    int own_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (own_fd >= 0)
        atomic_store(&stderr_fd, own_fd);
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load(&current_level);
}

static void add_char(struct line *line, char c)
{
    if (line->size < LINE_SIZE - 2) // the newline and the NUL
        line->text[line->size++] = c;
}

static void add_text(struct line *line, const char *text)
{
    for (; *text; text++)
        add_char(line, *text);
}

static bool is_plain(const char *value)
{
    if (*value == '\0')
        return false;
    for (; *value; value++)
        if (*value <= ' ' || *value > '~' || strchr("\"\\='`", *value))
            return false;
    return true;
}

static void add_quoted(struct line *line, const char *value)
{
    static const char digits[] = "0123456789abcdef";
    add_char(line, '"');
    for (; *value; value++) {
        unsigned char byte = (unsigned char)*value;
        if (*value == '"' || *value == '\\') {
            add_char(line, '\\');
            add_char(line, *value);
        } else if (*value == '\n') {
            add_text(line, "\\n");
        } else if (*value == '\t') {
            add_text(line, "\\t");
        } else if (byte < ' ' || byte > '~') {
            add_text(line, "\\x");
            add_char(line, digits[byte >> 4]);
            add_char(line, digits[byte & 0x0F]);
        } else {
            add_char(line, *value);
        }
    }
    add_char(line, '"');
}

static void add_pair(struct line *line, const char *key, const char *value)
{
    add_char(line, ' ');
    add_text(line, key);
    add_char(line, '=');
    if (!value)
        add_char(line, '-');
    else if (is_plain(value) && strcmp(value, "-") != 0)
        add_text(line, value);
    else
        add_quoted(line, value);
}

static void add_pairs(struct line *line, va_list args)
{
    for (const char *key = va_arg(args, const char *); key; key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        add_pair(line, key, value);
    }
}

static void begin(struct line *line, enum log_level level, const char *sentence)
{
    line->size = 0;
    if (atomic_load(&is_journal)) {
        add_char(line, '<');
        add_char(line, (char)('0' + levels[level].priority));
        add_char(line, '>');
    } else if (atomic_load(&current_sink) == LOG_SINK_STDERR) { // syslog puts its own time
        char now[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(clock_now_ms(clock_system()), now);
        add_text(line, now);
        add_char(line, ' ');
    }
    add_text(line, levels[level].text);
    add_char(line, ' ');
    for (; *sentence; sentence++)
        add_char(line, *sentence < ' ' || *sentence > '~' ? '?' : *sentence);
}

static void end(struct line *line, enum log_level level)
{
    if (atomic_load(&current_sink) == LOG_SINK_SYSLOG) {
        line->text[line->size] = '\0';
        syslog(levels[level].priority, "%s", line->text);
        return;
    }
    line->text[line->size++] = '\n';
    ssize_t written;
    do {
        written = write(atomic_load(&stderr_fd), line->text, line->size);
    } while (written < 0 && errno == EINTR);
}

void log_event(enum log_level level, const char *sentence, ...)
{
    if (!log_is_on(level))
        return;
    int saved_errno = errno;
    struct line line;
    begin(&line, level, sentence);
    va_list args;
    va_start(args, sentence);
    add_pairs(&line, args);
    va_end(args);
    end(&line, level);
    errno = saved_errno;
}

void log_err(enum log_level level, const char *sentence, const struct err *err, ...)
{
    if (!log_is_on(level))
        return;
    int saved_errno = errno;
    struct line line;
    begin(&line, level, sentence);
    add_text(&line, " cause=");
    add_quoted(&line, err->text);
    const char *name = strerrorname_np(err->errnum);
    char number[16];
    snprintf(number, sizeof(number), "%d", err->errnum);
    add_pair(&line, "errno", name ? name : number);
    va_list args;
    va_start(args, err);
    add_pairs(&line, args);
    va_end(args);
    end(&line, level);
    errno = saved_errno;
}

void log_always(enum log_level level, const char *sentence, const struct log_pair *pairs,
                size_t pair_count)
{
    int saved_errno = errno;
    struct line line;
    begin(&line, level, sentence);
    for (size_t i = 0; i < pair_count; i++) {
        if (pairs[i].value)
            add_pair(&line, pairs[i].key, pairs[i].value);
    }
    end(&line, level);
    errno = saved_errno;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(text, levels[i].option) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}
