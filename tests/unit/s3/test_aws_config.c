// The corpus is the specification: tests/corpus/aws_config/accept/NAME.ini holds what
// NAME.properties says (section, name, nested name, value), which aws_config_botocore.py keeps
// equal to what botocore reads; reject/ is refused, with file and line.

#include "s3/aws_config.h"

#include "corpus.h"
#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

// "\\", "\n" and "\t" as written in a .properties file, in place.
static char *unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '\\') {
            in++;
            *out++ = *in == 'n' ? '\n' : *in == 't' ? '\t' : *in;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
    return text;
}

static void check_property(const struct aws_config *config, const char *path, char *line)
{
    char *fields[4];
    for (size_t i = 0; i < 4; i++) {
        fields[i] = strsep(&line, "\t");
        assert_non_null(fields[i]);
        unescape(fields[i]);
    }
    const char *nested = *fields[2] ? fields[2] : NULL;
    const char *value = aws_config_get_nested(config, fields[0], fields[1], nested);
    if (!value || strcmp(value, fields[3]) != 0)
        fail_msg("%s [%s] %s %s is \"%s\", not \"%s\"", path, fields[0], fields[1], fields[2],
                 value ? value : "(nothing)", fields[3]);
    if (!aws_config_has(config, fields[0]))
        fail_msg("%s has no section [%s]", path, fields[0]);
}

static void check_accepted(const char *path, const struct buf *bytes)
{
    struct err err = {0};
    auto_aws_config struct aws_config *config = NULL;
    if (aws_config_parse(buf_text(bytes), bytes->size, path, &config, &err) < 0)
        fail_msg("%s", err.text);
    auto_free char *properties_path = corpus_sibling(path, ".properties");
    auto_buf struct buf properties = BUF_INIT(1024 * 1024);
    corpus_read(properties_path, &properties);
    char *rest = properties.bytes;
    while (rest && *rest)
        check_property(config, path, strsep(&rest, "\n"));
}

static void check_rejected(const char *path, const struct buf *bytes)
{
    struct err err = {0};
    struct aws_config *config = NULL;
    assert_int_equal(aws_config_parse(buf_text(bytes), bytes->size, path, &config, &err), -EINVAL);
    assert_null(config);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, " line "));
}

static void accepted_corpus(void **state)
{
    (void)state;
    corpus_for_each("aws_config/accept", ".ini", check_accepted);
}

static void rejected_corpus(void **state)
{
    (void)state;
    corpus_for_each("aws_config/reject", ".ini", check_rejected);
}

static void the_line_that_is_wrong_is_named(void **state)
{
    (void)state;
    static const char text[] = "[a]\nk = v\n\n# c\nnonsense\n";
    struct err err = {0};
    struct aws_config *config = NULL;
    assert_int_equal(aws_config_parse(text, strlen(text), "/x/config", &config, &err), -EINVAL);
    assert_string_equal(err.text, "/x/config line 5: this is no section, property or comment");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct aws_config *config = NULL;
    assert_int_equal(aws_config_parse("[a]\0k=v", 7, "f", &config, &err), -EINVAL);
    auto_free char *large = malloc(AWS_CONFIG_SIZE_MAX + 1);
    memset(large, '\n', AWS_CONFIG_SIZE_MAX + 1);
    assert_int_equal(aws_config_parse(large, AWS_CONFIG_SIZE_MAX + 1, "f", &config, &err), -EFBIG);
    assert_int_equal(aws_config_parse(large, AWS_CONFIG_SIZE_MAX, "f", &config, &err), 0);
    aws_config_free(config);
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xBB\xBF[a]\nk = v";
    struct err err = {0};
    auto_aws_config struct aws_config *config = NULL;
    assert_int_equal(aws_config_parse(text, strlen(text), "f", &config, &err), 0);
    assert_string_equal(aws_config_get(config, "a", "k"), "v");
}

static void sections_of_a_kind(void **state)
{
    (void)state;
    static const char text[] = "[default]\n[profile a]\n[profile  b ]\n[profile \"c d\"]\n"
                               "[profile 'e']\n[profile f g]\n[profileh]\n[services a]\n[i]\n";
    static const struct {
        const char *kind;
        const char *name;
        const char *section;
    } cases[] = {
        {"profile", "default", "default"},
        {"profile", "a", "profile a"},
        {"profile", "b", "profile  b "},
        {"profile", "c d", "profile \"c d\""},
        {"profile", "e", "profile 'e'"},
        {"profile", "f g", NULL},
        {"profile", "f", NULL},
        {"profile", "h", NULL},
        {"profile", "i", NULL},
        {"services", "a", "services a"},
        {"services", "default", NULL},
        {"sso-session", "a", NULL},
    };
    struct err err = {0};
    auto_aws_config struct aws_config *config = NULL;
    assert_int_equal(aws_config_parse(text, strlen(text), "f", &config, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *section = aws_config_section(config, cases[i].kind, cases[i].name);
        if (!section != !cases[i].section || (section && strcmp(section, cases[i].section) != 0))
            fail_msg("%s %s is [%s]", cases[i].kind, cases[i].name, section);
    }
    assert_null(aws_config_section(NULL, "profile", "a"));
    assert_null(aws_config_get(NULL, "a", "k"));
    assert_false(aws_config_has(NULL, "a"));
}

static void files(void **state)
{
    (void)state;
    char *directory = test_directory();
    auto_free char *path = test_file(directory, "config", "[a]\nk = v\n");
    struct err err = {0};
    struct aws_config *config = NULL;
    assert_int_equal(aws_config_read(directory, &config, &err), -ENOENT);
    assert_int_equal(aws_config_read("/nonexistent/config", &config, &err), -ENOENT);
    assert_string_equal(err.text, "/nonexistent/config: No such file or directory");
    auto_free char *pipe = NULL;
    assert_true(asprintf(&pipe, "%s/pipe", directory) > 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(aws_config_read(pipe, &config, &err), -ENOENT); // and does not wait for it
    assert_int_equal(aws_config_read(path, &config, &err), 0);
    assert_string_equal(aws_config_get(config, "a", "k"), "v");
    aws_config_free(config);
    test_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_corpus),
        cmocka_unit_test(rejected_corpus),
        cmocka_unit_test(the_line_that_is_wrong_is_named),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(sections_of_a_kind),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
