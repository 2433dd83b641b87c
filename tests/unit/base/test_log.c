#include "test.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

void __wrap_syslog(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int syslog_priority;
static char syslog_line[10000];

static void keep_syslog(int priority, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void keep_syslog(int priority, const char *format, va_list args)
{
    syslog_priority = priority;
    vsnprintf(syslog_line, sizeof(syslog_line), format, args);
}

void __wrap_syslog(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_syslog(priority, format, args);
    va_end(args);
}

void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)flag;
    va_list args;
    va_start(args, format);
    keep_syslog(priority, format, args);
    va_end(args);
}

static int real_stderr = -1;
static char captured[4 * 1024 * 1024];

static void capture_begin(void)
{
    fflush(stderr);
    int file = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(file >= 0);
    real_stderr = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
    close(file);
}

static const char *capture_end(void)
{
    ssize_t size = pread(STDERR_FILENO, captured, sizeof(captured) - 1, 0);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    assert_true(size >= 0);
    captured[size] = '\0';
    return captured;
}

// What stands behind the time.
static const char *without_time(const char *line)
{
    unsigned year, month, day, hour, minute, second;
    int size = 0;
    int fields = sscanf(line, "%4u-%2u-%2uT%2u:%2u:%2uZ %n", &year, &month, &day, &hour, &minute,
                        &second, &size);
    assert_int_equal(fields, 6);
    assert_int_equal(size, sizeof("2026-01-31T12:34:56Z"));
    return line + size;
}

static void events(void **state)
{
    (void)state;
    capture_begin();
    errno = ENOENT;
    log_event(LOG_LEVEL_INFO, "published", "file", "a.tar", "bytes", "123", NULL);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(without_time(capture_end()), "INFO published file=a.tar bytes=123\n");
    capture_begin();
    log_event(LOG_LEVEL_ERROR, "nothing to add", NULL);
    assert_string_equal(without_time(capture_end()), "ERROR nothing to add\n");
}

// JOURNAL_STREAM counts where it names what stderr is just now.
static void the_journal_gets_priorities_and_no_time(void **state)
{
    (void)state;
    struct stat is;
    char stream[64];
    capture_begin();
    assert_int_equal(fstat(STDERR_FILENO, &is), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)is.st_dev, (uintmax_t)is.st_ino);
    setenv("JOURNAL_STREAM", stream, 1); // NOLINT(concurrency-mt-unsafe): no other thread reads it
    log_open(LOG_SINK_STDERR, LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_ERROR, "e", NULL);
    log_event(LOG_LEVEL_WARN, "w", NULL);
    log_event(LOG_LEVEL_INFO, "i", NULL);
    log_event(LOG_LEVEL_DEBUG, "d", "key", "a\n<0>b", NULL);
    assert_string_equal(capture_end(),
                        "<3>ERROR e\n<4>WARN w\n<6>INFO i\n<7>DEBUG d key=\"a\\n<0>b\"\n");
    setenv("JOURNAL_STREAM", "1:1", 1); // NOLINT(concurrency-mt-unsafe)
    capture_begin();
    log_open(LOG_SINK_STDERR, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "i", NULL);
    assert_string_equal(without_time(capture_end()), "INFO i\n");
    unsetenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe)
    log_open(LOG_SINK_STDERR, LOG_LEVEL_INFO);
}

static void values_cannot_forge(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *shown;
    } cases[] = {
        {NULL, "-"},
        {"-", "\"-\""},
        {"", "\"\""},
        {"plain/value:1@[]{}<>%", "plain/value:1@[]{}<>%"},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nERROR forged", "\"a\\nERROR forged\""},
        {"a\r\tb", "\"a\\x0d\\tb\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\x7f", "\"\\x7f\""},
        {"gr\xC3\xBCn", "\"gr\\xc3\\xbcn\""},
        {"\xff", "\"\\xff\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char expected[200];
        snprintf(expected, sizeof(expected), "WARN x key=%s\n", cases[i].shown);
        capture_begin();
        log_event(LOG_LEVEL_WARN, "x", "key", cases[i].value, NULL);
        assert_string_equal(without_time(capture_end()), expected);
    }
    capture_begin();
    log_event(LOG_LEVEL_WARN, "a\nb\xC3", NULL);
    assert_string_equal(without_time(capture_end()), "WARN a?b?\n");
}

static void errors(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ENOENT, "no \"thing\"");
    capture_begin();
    log_err(LOG_LEVEL_ERROR, "failed", &err, "file", "a", NULL);
    assert_string_equal(without_time(capture_end()),
                        "ERROR failed cause=\"no \\\"thing\\\"\" errno=ENOENT file=a\n");
    err_set(&err, 99999, "odd");
    capture_begin();
    log_err(LOG_LEVEL_ERROR, "failed", &err, NULL);
    assert_string_equal(without_time(capture_end()), "ERROR failed cause=\"odd\" errno=99999\n");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    static char value[100000];
    memset(value, '\n', sizeof(value) - 1);
    capture_begin();
    log_event(LOG_LEVEL_ERROR, "long", "value", value, "next", "x", NULL);
    const char *line = capture_end();
    assert_in_range(strlen(line), 8000, 8192);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void levels(void **state)
{
    (void)state;
    assert_true(log_is_on(LOG_LEVEL_INFO));
    assert_false(log_is_on(LOG_LEVEL_DEBUG));
    capture_begin();
    log_event(LOG_LEVEL_DEBUG, "unseen", NULL);
    log_err(LOG_LEVEL_DEBUG, "unseen", &(struct err){.text = "x"}, NULL);
    assert_string_equal(capture_end(), "");
    log_open(LOG_SINK_STDERR, LOG_LEVEL_ERROR);
    assert_false(log_is_on(LOG_LEVEL_WARN));
    log_open(LOG_SINK_STDERR, LOG_LEVEL_DEBUG);
    assert_true(log_is_on(LOG_LEVEL_DEBUG));
    log_open(LOG_SINK_STDERR, LOG_LEVEL_INFO);

    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++) {
        enum log_level level;
        assert_int_equal(log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
    }
    static const char *const bad[] = {"", "ERROR", "warning", "info ", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        enum log_level level = LOG_LEVEL_WARN;
        assert_int_equal(log_level_parse(bad[i], &level), -EINVAL);
        assert_int_equal(level, LOG_LEVEL_WARN);
    }
}

static void always(void **state)
{
    (void)state;
    log_open(LOG_SINK_STDERR, LOG_LEVEL_ERROR);
    capture_begin();
    const struct log_pair pairs[] = {{"a", "1"}, {"b", NULL}, {"c", "x c=2"}};
    log_always(LOG_LEVEL_INFO, "done", pairs, ARRAY_SIZE(pairs));
    assert_string_equal(without_time(capture_end()), "INFO done a=1 c=\"x c=2\"\n");
    log_open(LOG_SINK_STDERR, LOG_LEVEL_INFO);
}

static void to_syslog(void **state)
{
    (void)state;
    log_open(LOG_SINK_SYSLOG, LOG_LEVEL_INFO);
    capture_begin();
    log_event(LOG_LEVEL_WARN, "100%s sure", "k", "%n", NULL);
    assert_string_equal(capture_end(), "");
    assert_int_equal(syslog_priority, LOG_WARNING);
    assert_string_equal(syslog_line, "WARN 100%s sure k=%n");
    log_open(LOG_SINK_STDERR, LOG_LEVEL_INFO);
}

// For good, so the last one.
static void stays_where_it_was(void **state)
{
    (void)state;
    capture_begin();
    log_stay();
    int other = memfd_create("other", MFD_CLOEXEC);
    int lent = dup(STDERR_FILENO);
    dup2(other, STDERR_FILENO);
    log_event(LOG_LEVEL_INFO, "heard", NULL);
    log_stay();
    log_event(LOG_LEVEL_INFO, "heard again", NULL);
    assert_int_equal(lseek(other, 0, SEEK_END), 0);
    dup2(lent, STDERR_FILENO);
    close(lent);
    close(other);
    const char *second = strchr(without_time(capture_end()), '\n') + 1;
    assert_string_equal(without_time(second), "INFO heard again\n");
}

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *context)
{
    for (int i = 0; i < LINES; i++)
        log_event(LOG_LEVEL_INFO, "line", "from", context, "text",
                  "something long enough to be torn apart if it were not one write", NULL);
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    capture_begin();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, write_lines, names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    capture_end();
    int count = 0;
    char *rest = captured;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char from;
        char tail;
        assert_int_equal(sscanf(without_time(line),
                                "INFO line from=%c text=\"something long enough to be torn apart "
                                "if it were not one write\"%c",
                                &from, &tail),
                         1);
        count++;
    }
    assert_int_equal(count, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(values_cannot_forge),
        cmocka_unit_test(errors),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(levels),
        cmocka_unit_test(always),
        cmocka_unit_test(to_syslog),
        cmocka_unit_test(the_journal_gets_priorities_and_no_time),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(stays_where_it_was),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
