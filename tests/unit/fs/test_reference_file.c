// The grammar of reference files: tests/corpus/reference_file by file name, values and sentences
// by tables.
#include "tests/unit/base/test.h"

#include "base/err.h"
#include "base/scope.h"
#include "fs/publish/reference_file.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/damage.h"
#include "tests/unit/registry/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX "9c9a3ce0f1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbcc"
#define RUNTIME "ghcr.io/all-hands-ai/runtime:174c691-nikolaik"

static const struct reference_defaults usual = {
    .platforms = {.list = {{.os = "linux", .architecture = "amd64"}}, .count = 1},
    .format = ARCHIVE_FORMAT_TAR,
};

static int parse(const char *bytes, size_t size)
{
    struct reference_line *lines = (void *)1;
    size_t count = 77;
    struct err err = {0};
    int error = reference_file_parse(bytes, size, 1, &usual, &lines, &count, &err);
    if (error < 0) {
        // Out-parameters stay as they were, and there is a sentence about a line.
        assert_ptr_equal(lines, (void *)1);
        assert_int_equal(count, 77);
        assert_int_equal(err.errnum, EINVAL);
        assert_int_equal(strncmp(err.text, "line ", 5), 0);
        return error;
    }
    for (size_t i = 0; i < count; i++) {
        assert_non_null(lines[i].name);
        assert_non_null(lines[i].tag);
        assert_true(strlen(lines[i].name) <= 255);
        assert_null(strchr(lines[i].name, '/'));
    }
    reference_lines_free(lines, count);
    return 0;
}

static void check_accepted(const char *name, char *text, size_t size)
{
    check_taken(name, text, size, parse);
}

static void check_rejected(const char *name, char *text, size_t size)
{
    check_refused(name, text, size, parse);
    parse_damaged(text, size, parse);
}

static void test_corpus(void **state)
{
    (void)state;
    corpus_replay("reference_file/accept", check_accepted);
    corpus_replay("reference_file/reject", check_rejected);
}

struct expected {
    const char *text;
    const char *name;
    const char *tag;
    const char *architecture;
    enum archive_format format;
};

static void check_line(const struct expected *expected, const struct reference_defaults *defaults)
{
    struct reference_line *lines;
    size_t count;
    struct err err = {0};
    int error = reference_file_parse(expected->text, strlen(expected->text), 1, defaults, &lines,
                                     &count, &err);
    if (error < 0)
        fail_msg("%s: %s", expected->text, err.text);
    assert_int_equal(count, 1);
    assert_string_equal(lines[0].name, expected->name);
    assert_string_equal(lines[0].tag, expected->tag);
    assert_string_equal(lines[0].platforms.list[0].os, "linux");
    assert_string_equal(lines[0].platforms.list[0].architecture, expected->architecture);
    assert_int_equal(lines[0].format, expected->format);
    assert_int_equal(lines[0].line_number, 1);
    reference_lines_free(lines, count);
}

static void test_values(void **state)
{
    (void)state;
    static const struct expected table[] = {
        {RUNTIME "\n", "runtime:174c691-nikolaik.tar", RUNTIME, "amd64", ARCHIVE_FORMAT_TAR},
        {RUNTIME, "runtime:174c691-nikolaik.tar", RUNTIME, "amd64", ARCHIVE_FORMAT_TAR},
        {RUNTIME " runtime:main-abc1234.tar", "runtime:main-abc1234.tar", RUNTIME, "amd64",
         ARCHIVE_FORMAT_TAR},
        {RUNTIME " r.tar.gz # for them", "r.tar.gz", RUNTIME, "amd64", ARCHIVE_FORMAT_TAR_GZ},
        {RUNTIME " platform=linux/arm64", "runtime:174c691-nikolaik.tar", RUNTIME, "arm64",
         ARCHIVE_FORMAT_TAR},
        {"ghcr.io/all-hands-ai/runtime-api@sha256:" HEX
         "  runtime-api:latest.tar.gz platform=linux/arm64 tag=runtime-api:latest\r\n",
         "runtime-api:latest.tar.gz", "runtime-api:latest", "arm64", ARCHIVE_FORMAT_TAR_GZ},
        {"ghcr.io/all-hands-ai/runtime-api@sha256:" HEX, "runtime-api:sha256-9c9a3ce0f1b2.tar",
         "ghcr.io/all-hands-ai/runtime-api:sha256-9c9a3ce0f1b2", "amd64", ARCHIVE_FORMAT_TAR},
        {"ghcr.io/all-hands-ai/runtime:main@sha256:" HEX, "runtime:main.tar",
         "ghcr.io/all-hands-ai/runtime:main", "amd64", ARCHIVE_FORMAT_TAR},
        {RUNTIME " a#b.tar", "a#b.tar", RUNTIME, "amd64", ARCHIVE_FORMAT_TAR},
        {RUNTIME " chart-1.2.3.tgz", "chart-1.2.3.tgz", RUNTIME, "amd64", ARCHIVE_FORMAT_PAYLOAD},
        {"\xEF\xBB\xBF" RUNTIME " a.tar", "a.tar", RUNTIME, "amd64", ARCHIVE_FORMAT_TAR},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        check_line(&table[i], &usual);
}

static void test_defaults_of_the_mount(void **state)
{
    (void)state;
    struct reference_defaults gzip_arm = {
        .platforms = {.list = {{.os = "linux", .architecture = "arm64"}}, .count = 1},
        .format = ARCHIVE_FORMAT_TAR_GZ,
    };
    struct expected left_out = {RUNTIME, "runtime:174c691-nikolaik.tar.gz", RUNTIME, "arm64",
                                ARCHIVE_FORMAT_TAR_GZ};
    struct expected given = {RUNTIME " a.tar platform=linux/amd64", "a.tar", RUNTIME, "amd64",
                             ARCHIVE_FORMAT_TAR};
    check_line(&left_out, &gzip_arm);
    check_line(&given, &gzip_arm);
}

static void test_sentences_teach(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says[3];
    } table[] = {
        {RUNTIME " a.TAR\n", {"line 7: ", "\"a.TAR\"", "runtime:main-abc1234.tar"}},
        {"\n" RUNTIME " arch=arm64\n", {"line 8: ", "\"arch=\"", "platform=OS/ARCH"}},
        {RUNTIME " x/a.tar\n", {"line 7: ", "\"x/a.tar\"", "'/'"}},
        {RUNTIME " a.tar b.tar\n", {"line 7: ", "\"b.tar\"", "\"a.tar\""}},
        {RUNTIME " tag=a:1 b.tar\n", {"line 7: ", "\"b.tar\"", "right after the reference"}},
        {RUNTIME " tag=a:1 tag=b:2\n", {"line 7: ", "stands twice", "\"b:2\""}},
        {RUNTIME " tag=\n", {"line 7: ", "tag= is empty", "tag=runtime:latest"}},
        {RUNTIME " platform=\n", {"line 7: ", "platform= is empty", "platform=linux/arm64"}},
        {RUNTIME " platform=linux/amd64,all\n", {"line 7: ", "platform=linux/amd64,all", "'all'"}},
        {RUNTIME " .tar\n", {"line 7: ", "\".tar\"", "nothing before"}},
        {RUNTIME "\n\n" RUNTIME "\n", {"line 9: ", "line 7", "runtime:174c691-nikolaik.tar"}},
        {"# \xff\xfe\n", {"line 7: ", "byte 3 (0xff)", "UTF-8"}},
        {"# \xe4\n", {"line 7: ", "byte 3 (0xe4)", "UTF-8"}},
        {"a\0b\n", {"line 7: ", "byte 2", "UTF-16"}},
        {"# \x1b\n", {"line 7: ", "U+001B", "blanks and tabs"}},
        {"nonsense\n", {"line 7: ", "nonsense", ""}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct reference_line *lines;
        size_t count;
        struct err err = {0};
        size_t size = table[i].text[0] == 'a' ? 4 : strlen(table[i].text);
        assert_int_equal(reference_file_parse(table[i].text, size, 7, &usual, &lines, &count, &err),
                         -EINVAL);
        for (size_t k = 0; k < 3; k++) {
            if (!strstr(err.text, table[i].says[k]))
                fail_msg("\"%s\" does not say \"%s\"", err.text, table[i].says[k]);
        }
    }
}

static void test_long_fields_are_cut_in_sentences(void **state)
{
    (void)state;
    static char text[REFERENCE_FILE_LIMIT];
    struct reference_line *lines;
    size_t count;
    struct err err = {0};
    int size = snprintf(text, sizeof(text), RUNTIME " ");
    // Characters of two bytes, so that a cut in one of them would show.
    for (; (size_t)size + 2 < sizeof(text); size += 2)
        memcpy(text + size, "\xC3\xA4", 2);
    assert_int_equal(reference_file_parse(text, (size_t)size, 1, &usual, &lines, &count, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "\xC3\xA4..."));
    assert_non_null(strstr(err.text, "runtime:main-abc1234.tar"));
}

static void test_size_limit(void **state)
{
    (void)state;
    static char text[REFERENCE_FILE_LIMIT + 1];
    struct reference_line *lines = (void *)1;
    size_t count = 1;
    struct err err = {0};
    memset(text, '#', sizeof(text));
    assert_int_equal(reference_file_parse(text, sizeof(text), 1, &usual, &lines, &count, &err),
                     -EFBIG);
    assert_int_equal(reference_file_parse(text, sizeof(text) - 1, 1, &usual, &lines, &count, &err),
                     0);
    assert_null(lines);
    assert_int_equal(count, 0);
}

static void test_many_lines(void **state)
{
    (void)state;
    auto_buf struct buf text = BUF_INIT(REFERENCE_FILE_LIMIT);
    struct reference_line *lines;
    size_t count;
    struct err err = {0};
    for (int i = 0; i < 3000; i++)
        assert_int_equal(buf_printf(&text, "localhost/a%d:1\n", i), 0);
    assert_int_equal(reference_file_parse(text.bytes, text.size, 1, &usual, &lines, &count, &err),
                     0);
    assert_int_equal(count, 3000);
    assert_int_equal(lines[2999].line_number, 3000);
    assert_string_equal(lines[2999].name, "a2999:1.tar");
    reference_lines_free(lines, count);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = RUNTIME " a.tar tag=a:1\n# x\n" RUNTIME "\n";
    for (int nth = 1;; nth++) {
        struct reference_line *lines = NULL;
        size_t count = 0;
        struct err err = {0};
        memory_fail_at(nth);
        int error = reference_file_parse(text, strlen(text), 1, &usual, &lines, &count, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (!has_failed) {
            assert_int_equal(error, 0);
            reference_lines_free(lines, count);
            break;
        }
        assert_int_equal(error, -ENOMEM);
        assert_null(lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_defaults_of_the_mount),
        cmocka_unit_test(test_sentences_teach),
        cmocka_unit_test(test_long_fields_are_cut_in_sentences),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_many_lines),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
