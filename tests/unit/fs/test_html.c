// Escaping: nothing becomes markup, nothing hides.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/utf8.h"
#include "fs/virtual/html.h"

#include <errno.h>
#include <string.h>

struct pair {
    const char *text;
    const char *expected;
};

static void check_all(const struct pair *table, size_t count,
                      int (*append)(struct buf *page, const char *text))
{
    for (size_t i = 0; i < count; i++) {
        auto_buf struct buf page = BUF_INIT(1000);
        assert_int_equal(append(&page, table[i].text), 0);
        assert_string_equal(buf_text(&page), table[i].expected);
    }
}

static void test_text(void **state)
{
    (void)state;
    static const struct pair table[] = {
        {"", ""},
        {"plain", "plain"},
        {"<b a=\"1\" c='2'>&", "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;"},
        {"&amp;", "&amp;amp;"},
        {"l\xC3\xA4ufer \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x8F\xA6",
         "l\xC3\xA4ufer \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x8F\xA6"},
        {"a\tb\nc\x1b[31m\x7F", "a[U+0009]b[U+000A]c[U+001B][31m[U+007F]"},
        {"\xC2\x85", "[U+0085]"},
        {"exe.\xE2\x80\xAEgpj", "exe.[U+202E]gpj"},
        {"a\xE2\x80\x8B"
         "b\xEF\xBB\xBF"
         "c\xC2\xAD",
         "a[U+200B]b[U+FEFF]c[U+00AD]"},
        {"\xE2\x81\xA6x\xE2\x81\xA9", "[U+2066]x[U+2069]"},
        {"\xF3\xA0\x81\x81", "[U+E0041]"},
        {"\xFF\xC3", "[0xFF][0xC3]"},
        {"\xC0\xBC"
         "script",
         "[0xC0][0xBC]script"},
        {"\xEF\xBF\xBD", "\xEF\xBF\xBD"},
    };
    check_all(table, ARRAY_SIZE(table), html_text);
}

static void test_shell_words(void **state)
{
    (void)state;
    static const struct pair posix[] = {
        {"", "&#39;&#39;"},
        {"https://a/?b=1&c=2", "&#39;https://a/?b=1&amp;c=2&#39;"},
        {"a'b", "&#39;a&#39;\\&#39;&#39;b&#39;"},
    };
    static const struct pair powershell[] = {
        {"https://a/?b=1&c=2", "&#39;https://a/?b=1&amp;c=2&#39;"},
        {"a'b", "&#39;a&#39;&#39;b&#39;"},
    };
    check_all(posix, ARRAY_SIZE(posix), html_shell_word);
    check_all(powershell, ARRAY_SIZE(powershell), html_powershell_word);
}

static void test_format(void **state)
{
    (void)state;
    auto_buf struct buf page = BUF_INIT(1000);
    assert_int_equal(html_format(&page, "<a href=\"%s\">%s</a> 100%%", "x?a=1&b=2", "<i>"), 0);
    assert_string_equal(buf_text(&page), "<a href=\"x?a=1&amp;b=2\">&lt;i&gt;</a> 100%");
}

static void test_full_page(void **state)
{
    (void)state;
    auto_buf struct buf page = BUF_INIT(10);
    assert_int_equal(html_text(&page, "<<<<"), -E2BIG);
    assert_true(page.is_full);
    auto_buf struct buf words = BUF_INIT(10);
    assert_true(html_shell_word(&words, "a word that is longer") < 0 || words.is_full);
    assert_true(words.is_full);
    auto_buf struct buf formatted = BUF_INIT(10);
    assert_int_equal(html_format(&formatted, "<a>%s</a>", "1234"), -E2BIG);
}

static void test_every_byte_pair(void **state)
{
    (void)state;
    for (int first = 1; first < 256; first++) {
        for (int second = 1; second < 256; second++) {
            char text[3] = {(char)first, (char)second, '\0'};
            auto_buf struct buf page = BUF_INIT(1000);
            assert_int_equal(html_text(&page, text), 0);
            assert_true(utf8_is_line(page.bytes, page.size));
            assert_null(strpbrk(page.bytes, "<>\"'"));
        }
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        uint32_t character;
        size_t step;
    } table[] = {
        {"a", 1, 'a', 1},
        {"\0", 1, 0, 1},
        {"\xC2\x80", 2, 0x80, 2},
        {"\xDF\xBF", 2, 0x7FF, 2},
        {"\xE0\xA0\x80", 3, 0x800, 3},
        {"\xEF\xBF\xBF", 3, 0xFFFF, 3},
        {"\xF0\x90\x80\x80", 4, 0x10000, 4},
        {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF, 4},
        {"\xC3", 1, UTF8_BROKEN, 1},             // cut
        {"\xE2\x82", 2, UTF8_BROKEN, 1},         // cut
        {"\xC1\xBF", 2, UTF8_BROKEN, 1},         // overlong
        {"\xE0\x9F\xBF", 3, UTF8_BROKEN, 1},     // overlong
        {"\xF0\x8F\xBF\xBF", 4, UTF8_BROKEN, 1}, // overlong
        {"\xED\xA0\x80", 3, UTF8_BROKEN, 1},     // surrogate
        {"\xF4\x90\x80\x80", 4, UTF8_BROKEN, 1}, // past U+10FFFF
        {"\x80", 1, UTF8_BROKEN, 1},             // continuation alone
        {"\xC3\x28", 2, UTF8_BROKEN, 1},
        {"\xF8\x88\x80\x80\x80", 5, UTF8_BROKEN, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        size_t step = 99;
        assert_int_equal(utf8_decode(table[i].bytes, table[i].size, &step), table[i].character);
        assert_int_equal(step, table[i].step);
        assert_int_equal(utf8_is_valid(table[i].bytes, table[i].size),
                         table[i].character != UTF8_BROKEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_shell_words),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_full_page),
        cmocka_unit_test(test_every_byte_pair),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
