// Texts of others, as words and as cells.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/escape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct pair {
    const char *text;
    const char *expected;
};

static void check_all(const struct pair *table, size_t count,
                      int (*append)(struct buf *text, const char *from))
{
    for (size_t i = 0; i < count; i++) {
        auto_buf struct buf text = BUF_INIT(1000);
        assert_int_equal(append(&text, table[i].text), 0);
        assert_string_equal(buf_text(&text), table[i].expected);
    }
}

static void test_text(void **state)
{
    (void)state;
    static const struct pair table[] = {
        {"", ""},
        {"it's <b>", "it's <b>"},
        {"a\nb\x1b[2J", "a[U+000A]b[U+001B][2J"},
        {"exe.\xE2\x80\xAEgpj\xFF", "exe.[U+202E]gpj[0xFF]"},
    };
    check_all(table, ARRAY_SIZE(table), escape_text);
}

static void test_words(void **state)
{
    (void)state;
    static const struct pair shell[] = {
        {"", "''"},
        {"a'b''", "'a'\\''b'\\'''\\'''"},
        {"$(x)`y`\\\n", "'$(x)`y`\\[U+000A]'"},
        {"\xE2\x80\x99", "'\xE2\x80\x99'"},
    };
    check_all(shell, ARRAY_SIZE(shell), escape_shell_word);
    static const struct pair powershell[] = {
        {"", "''"},
        {"a'b", "'a''b'"},
        {"$(x)`y`", "'$(x)`y`'"},
        {"\xE2\x80\x98\xE2\x80\x99\xE2\x80\x9A\xE2\x80\x9B\xE2\x80\x9C",
         "'\xE2\x80\x98\xE2\x80\x98\xE2\x80\x99\xE2\x80\x99\xE2\x80\x9A\xE2\x80\x9A"
         "\xE2\x80\x9B\xE2\x80\x9B\xE2\x80\x9C'"},
    };
    check_all(powershell, ARRAY_SIZE(powershell), escape_powershell_word);
}

static void test_markdown(void **state)
{
    (void)state;
    static const struct pair table[] = {
        {"app 1", "app 1"},
        {"a|b", "a&#124;b"},
        {"<b>&amp;`x`", "&#60;b&#62;&#38;amp&#59;&#96;x&#96;"},
        {"[x](http://y) @me #1 *b* _c_ ~d~",
         "&#91;x&#93;&#40;http&#58;&#47;&#47;y&#41; &#64;me &#35;1 &#42;b&#42; &#95;c&#95; "
         "&#126;d&#126;"},
        {"a\nb\\", "a[U+000A]b&#92;"},
        {"gr\xC3\xBCn", "gr\xC3\xBCn"},
    };
    check_all(table, ARRAY_SIZE(table), escape_markdown);
}

// A shell reads back every text that can be seen as it was.
static void test_a_shell_reads_words_back(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 50; round++) {
        char word[40];
        for (size_t i = 0; i + 1 < sizeof(word); i++) {
            seed = seed * 1103515245U + 12345U;
            word[i] = "'\"\\$`!*?#~ ab(){}[]<>|&;%="[seed / 65536 % 26];
        }
        word[sizeof(word) - 1] = '\0';
        auto_buf struct buf command = BUF_INIT(1000);
        char back[100] = "";
        buf_append_text(&command, "printf %s ");
        assert_int_equal(escape_shell_word(&command, word), 0);
        FILE *pipe = popen(buf_text(&command), "r");
        assert_non_null(pipe);
        assert_int_equal(fread(back, 1, sizeof(back) - 1, pipe), strlen(word));
        assert_int_equal(pclose(pipe), 0);
        assert_string_equal(back, word);
    }
}

static void test_full(void **state)
{
    (void)state;
    auto_buf struct buf text = BUF_INIT(3);
    assert_int_equal(escape_text(&text, "abcd"), -E2BIG);
    buf_clear(&text);
    assert_int_equal(escape_text(&text, "ab\x1b"), -E2BIG);
    buf_clear(&text);
    assert_int_equal(escape_shell_word(&text, "ab"), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_markdown), cmocka_unit_test(test_a_shell_reads_words_back),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
