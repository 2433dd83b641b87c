// Programs that are started: what they get, what comes back, and how they are ended.

#include "base/child.h"

#include "base/buf.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct call call;

static int run(const char *script, const char *input, int timeout_ms, struct child_result *result,
               struct err *err)
{
    const char *const arguments[] = {"sh", "-c", script, "first argument", NULL};
    struct child child = {.arguments = arguments, .input = input, .timeout_ms = timeout_ms};
    call_init(&call, clock_system());
    return child_run(&child, &call, result, err);
}

static void a_program_gets_arguments_and_input(void **state)
{
    (void)state;
    auto_child_result struct child_result result = {0};
    struct err err = {0};
    assert_int_equal(run("echo \"$0\"; cat; echo gone >&2; exit 3", "in\n", 30000, &result, &err),
                     0);
    assert_string_equal(result.output, "first argument\nin\n");
    assert_int_equal(result.exit_status, 3);
}

static void nothing_else_is_open_and_there_is_no_terminal(void **state)
{
    (void)state;
    auto_child_result struct child_result result = {0};
    struct err err = {0};
    auto_fd int leaked = dup2(1, 57); // as a library would that forgets O_CLOEXEC
    assert_int_equal(leaked, 57);
    assert_int_equal(run("cat; for f in /proc/self/fd/*; do echo ${f##*/}; done; "
                         "(: </dev/tty) 2>/dev/null || echo no terminal",
                         NULL, 30000, &result, &err),
                     0);
    assert_null(strstr(result.output, "57"));
    assert_non_null(strstr(result.output, "no terminal"));
}

static void a_program_that_takes_too_long_is_killed_with_all_it_started(void **state)
{
    (void)state;
    struct child_result result = {0};
    struct err err = {0};
    char path[] = "/tmp/prereleasefs-child-XXXXXX";
    auto_fd int fd = mkstemp(path);
    auto_free char *script = NULL;
    assert_true(asprintf(&script, "sleep 600 & echo $! > %s; sleep 600", path) > 0);
    assert_int_equal(run(script, NULL, 1000, &result, &err), -ETIMEDOUT);
    assert_string_equal(err.text, "sh: it does not answer within 1 s");
    assert_null(result.output);
    char text[16] = "";
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    auto_free char *status = NULL;
    assert_true(asprintf(&status, "/proc/%ld/status", strtol(text, NULL, 10)) > 0);
    // Dead, or already buried by whoever inherits it.
    for (int i = 0; i < 3000 && access(status, F_OK) == 0; i++) {
        char line[256] = "";
        auto_fd int look = open(status, O_RDONLY | O_CLOEXEC);
        if (look < 0 || read(look, line, sizeof(line) - 1) <= 0 || strstr(line, "State:\tZ"))
            break;
        usleep(10 * 1000);
        assert_true(i < 2999);
    }
    unlink(path);
}

static void a_daemon_that_a_program_leaves_behind_is_not_waited_for(void **state)
{
    (void)state;
    auto_child_result struct child_result result = {0};
    struct err err = {0};
    assert_int_equal(run("sleep 3 & echo done", NULL, 60000, &result, &err), 0);
    assert_string_equal(result.output, "done\n");
}

static void what_becomes_of_bad_ones(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int errnum;
        const char *sentence;
    } cases[] = {
        {"kill -TERM $$", EIO, "signal TERM"},
        {"yes", EFBIG, "it writes more than 65536 bytes"},
        {"head -c 65537 /dev/zero", EFBIG, "it writes more"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct child_result result = {0};
        struct err err = {0};
        assert_int_equal(run(cases[i].script, NULL, 60000, &result, &err), -cases[i].errnum);
        assert_non_null(strstr(err.text, cases[i].sentence));
        assert_null(result.output);
    }
    struct err err = {0};
    struct child_result result = {0};
    const char *const nobody[] = {"no-such-program-anywhere", NULL};
    struct child child = {.arguments = nobody, .timeout_ms = 1000};
    assert_int_equal(child_run(&child, &call, &result, &err), -ENOENT);
    assert_string_equal(err.text,
                        "no-such-program-anywhere: there is no program of that name in PATH");
    const char *const directory[] = {"/tmp", NULL};
    child.arguments = directory;
    assert_int_equal(child_run(&child, &call, &result, &err), -EACCES);
}

static void the_largest_output_comes_whole(void **state)
{
    (void)state;
    auto_child_result struct child_result result = {0};
    struct err err = {0};
    assert_int_equal(run("head -c 65536 /dev/zero", NULL, 60000, &result, &err), 0);
    assert_int_equal(result.output_size, CHILD_OUTPUT_MAX);
}

static void *cancel(void *context)
{
    usleep(50 * 1000);
    call_cancel(context);
    return NULL;
}

static void a_cancelled_call_ends_it(void **state)
{
    (void)state;
    struct child_result result = {0};
    struct err err = {0};
    const char *const arguments[] = {"sleep", "600", NULL};
    struct child child = {.arguments = arguments, .timeout_ms = 600 * 1000};
    pthread_t thread;
    call_init(&call, clock_system());
    assert_int_equal(pthread_create(&thread, NULL, cancel, &call), 0);
    assert_int_equal(child_run(&child, &call, &result, &err), -EINTR);
    pthread_join(thread, NULL);
}

// ---- command lines ------------------------------------------------------------------------

static void words(void **state)
{
    (void)state;
    // As shlex.split of Python 3.11 answers; '|' stands between words. NULL: it refuses.
    static const char *const cases[][2] = {
        {"a b  c", "a|b|c"},
        {"  /opt/bin/x --profile 'my profile'\t\n", "/opt/bin/x|--profile|my profile"},
        {"a\"b c\"d", "ab cd"},
        {"a '' \"\" b", "a|||b"},
        {"\"a\\\"b\\\\c\\d\"", "a\"b\\c\\d"},
        {"'a\\b'", "a\\b"},
        {"a\\ b\\'c", "a b'c"},
        {"a $HOME `id` ; | > # b*", "a|$HOME|`id`|;|||>|#|b*"},
        {"\"it's\"", "it's"},
        {"a\\\nb", "a\nb"},
        {"a 'b", NULL},
        {"a \"b\\", NULL},
        {"a\\", NULL},
        {"", NULL},
        {" \n", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        auto_free char **split = NULL;
        int r = child_split(cases[i][0], &split, &err);
        assert_int_equal(r, cases[i][1] ? 0 : -EINVAL);
        auto_buf struct buf joined = BUF_INIT(1000);
        for (size_t j = 0; split && split[j]; j++)
            assert_int_equal(buf_printf(&joined, "%s%s", j > 0 ? "|" : "", split[j]), 0);
        assert_string_equal(buf_text(&joined), cases[i][1] ? cases[i][1] : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_gets_arguments_and_input),
        cmocka_unit_test(nothing_else_is_open_and_there_is_no_terminal),
        cmocka_unit_test(a_program_that_takes_too_long_is_killed_with_all_it_started),
        cmocka_unit_test(a_daemon_that_a_program_leaves_behind_is_not_waited_for),
        cmocka_unit_test(what_becomes_of_bad_ones),
        cmocka_unit_test(the_largest_output_comes_whole),
        cmocka_unit_test(a_cancelled_call_ends_it),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
