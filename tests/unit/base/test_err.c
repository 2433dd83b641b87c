#include "test.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set_fills_everything(void **state)
{
    (void)state;
    struct err err;
    memset(&err, 0x5A, sizeof(err));
    assert_int_equal(err_set(&err, ENOENT, "no %s at %d", "thing", 7), -ENOENT);
    assert_int_equal(err.errnum, ENOENT);
    assert_int_equal(err.http_status, 0);
    assert_false(err.is_retryable);
    assert_int_equal(err.retry_after_ms, -1);
    assert_string_equal(err.code, "");
    assert_string_equal(err.text, "no thing at 7");
}

static void set_never_answers_success(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, 0, "x"), -EIO);
    assert_int_equal(err_set(&err, -ENOENT, "x"), -ENOENT);
}

static void set_may_quote_itself(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, EIO, "inner");
    assert_int_equal(err_set(&err, EACCES, "outer (%s)", err.text), -EACCES);
    assert_string_equal(err.text, "outer (inner)");
    err_wrap(&err, "%s again", err.text);
    assert_string_equal(err.text, "outer (inner) again: outer (inner)");
}

static void wrap_keeps_the_rest(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, EIO, "reset");
    err.http_status = 503;
    err.is_retryable = true;
    err.retry_after_ms = 12;
    strcpy(err.code, "SlowDown");
    assert_int_equal(err_wrap(&err, "part %d", 3), -EIO);
    assert_string_equal(err.text, "part 3: reset");
    assert_int_equal(err.http_status, 503);
    assert_true(err.is_retryable);
    assert_int_equal(err.retry_after_ms, 12);
    assert_string_equal(err.code, "SlowDown");
}

static void unprintable_becomes_a_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"plain ~", "plain ~"},
        {"a\nb\r\tc\x1b[31m\x7f", "a?b??c?[31m?"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"\xE2\x82\xAC \xF0\x9F\x90\xB3", "\xE2\x82\xAC \xF0\x9F\x90\xB3"},
        {"\xC2\x85 next line", "? next line"}, // C1
        {"\xE2\x80\xA8", "?"},                 // line separator
        {"\xE2\x80\xAEgnp.exe", "?gnp.exe"},   // right-to-left override
        {"\xC0\xAF", "??"},                    // overlong '/'
        {"\xE0\x80\xAF", "???"},               // overlong '/'
        {"\xED\xA0\x80", "???"},               // surrogate
        {"\xF4\x90\x80\x80", "????"},          // past U+10FFFF
        {"\xF5\x80\x80\x80", "????"},          //
        {"\xFF\xFE", "??"},                    //
        {"\x80", "?"},                         // continuation alone
        {"\xC3", "?"},                         // cut by the sender
        {"\xE2\x82", "??"},                    //
        {"\xF0\x9F\x90", "???"},               //
        {"\xC3(", "?("},                       //
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        err_set(&err, EIO, "%s", cases[i].in);
        assert_string_equal(err.text, cases[i].out);
        err_set(&err, EIO, "x");
        err_wrap(&err, "%s", cases[i].in);
        assert_memory_equal(err.text, cases[i].out, strlen(cases[i].out));
    }
}

// The cut goes through every byte of a three-byte character.
static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t padding = 0; padding < 8; padding++) {
        char text[2 * ERR_TEXT_SIZE] = "";
        memset(text, 'x', padding);
        size_t size = padding;
        while (size + 4 < sizeof(text)) {
            memcpy(text + size, "\xE2\x82\xAC", 3);
            size += 3;
        }
        text[size] = '\0';
        struct err err = {0};
        err_set(&err, EIO, "%s", text);
        size_t kept = strlen(err.text);
        assert_in_range(kept, ERR_TEXT_SIZE - 3, ERR_TEXT_SIZE - 1);
        assert_int_equal((kept - padding) % 3, 0);
        assert_null(strchr(err.text, '?'));

        err_wrap(&err, "wrapped");
        kept = strlen(err.text);
        assert_in_range(kept, ERR_TEXT_SIZE - 3, ERR_TEXT_SIZE - 1);
        assert_int_equal((kept - padding - strlen("wrapped: ")) % 3, 0);

        err_wrap(&err, "%s", text);
        assert_in_range(strlen(err.text), ERR_TEXT_SIZE - 3, ERR_TEXT_SIZE - 1);
        assert_null(strchr(err.text, '?'));
    }
}

static void exactly_full_text_is_kept(void **state)
{
    (void)state;
    char text[ERR_TEXT_SIZE];
    memset(text, 'x', sizeof(text) - 4);
    memcpy(text + sizeof(text) - 4, "\xE2\x82\xAC", 4);
    struct err err = {0};
    err_set(&err, EIO, "%s", text);
    assert_string_equal(err.text, text);
}

static void no_memory(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_no_memory(&err), -ENOMEM);
    assert_string_equal(err.text, "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_everything),
        cmocka_unit_test(set_never_answers_success),
        cmocka_unit_test(set_may_quote_itself),
        cmocka_unit_test(wrap_keeps_the_rest),
        cmocka_unit_test(unprintable_becomes_a_question_mark),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(exactly_full_text_is_kept),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
