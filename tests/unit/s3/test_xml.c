// The corpus is the specification: tests/corpus/xml/accept/NAME.xml gives the leaves written in
// NAME.leaves, one "path=text" a line (control characters and backslashes as \xHH);
// tests/corpus/xml/reject/* is refused. What a corpus cannot say follows it.

#include "s3/xml.h"

#include "base/scope.h"
#include "corpus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { FILE_LIMIT = 1024 * 1024 };

static int keep_leaf(void *context, const char *path, const char *text, struct err *err)
{
    (void)err;
    struct buf *leaves = context;
    (void)buf_printf(leaves, "%s=", path);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '\\' || *c == 0x7F)
            (void)buf_printf(leaves, "\\x%02x", (unsigned)(unsigned char)*c);
        else
            (void)buf_append_char(leaves, *c);
    }
    (void)buf_append_char(leaves, '\n');
    return 0;
}

static void check_accepted(const char *path, const struct buf *bytes)
{
    auto_buf struct buf leaves = BUF_INIT(FILE_LIMIT);
    auto_buf struct buf expected = BUF_INIT(FILE_LIMIT);
    struct err err = {0};
    if (xml_read(bytes->bytes, bytes->size, keep_leaf, &leaves, &err) < 0)
        fail_msg("%s: %s", path, err.text);
    auto_free char *leaves_path = corpus_sibling(path, ".leaves");
    corpus_read(leaves_path, &expected);
    if (strcmp(buf_text(&leaves), buf_text(&expected)) != 0)
        fail_msg("%s gives\n%s", path, buf_text(&leaves));
}

static void check_rejected(const char *path, const struct buf *bytes)
{
    auto_buf struct buf leaves = BUF_INIT(FILE_LIMIT);
    struct err err = {0};
    int r = xml_read(buf_text(bytes), bytes->size, keep_leaf, &leaves, &err);
    if (r != -EBADMSG)
        fail_msg("%s gives %d and\n%s", path, r, buf_text(&leaves));
    if (err.errnum != EBADMSG || !*err.text)
        fail_msg("%s is refused without a sentence", path);
}

static void accepted_corpus(void **state)
{
    (void)state;
    corpus_for_each("xml/accept", ".xml", check_accepted);
}

static void rejected_corpus(void **state)
{
    (void)state;
    corpus_for_each("xml/reject", "", check_rejected);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    static const char text[] = "<?xml version=\"1.0\"?><a x='&lt;'><b>t&#233;xt</b><!-- c --></a>";
    struct err err = {0};
    auto_buf struct buf leaves = BUF_INIT(FILE_LIMIT);
    for (size_t size = 0; size < strlen(text); size++)
        assert_int_equal(xml_read(text, size, keep_leaf, &leaves, &err), -EBADMSG);
    assert_int_equal(xml_read(text, strlen(text), keep_leaf, &leaves, &err), 0);
}

static void too_large_is_refused(void **state)
{
    (void)state;
    static char bytes[XML_SIZE_MAX + 1];
    memset(bytes, ' ', sizeof(bytes));
    memcpy(bytes, "<a/>", 4);
    struct err err = {0};
    auto_buf struct buf leaves = BUF_INIT(FILE_LIMIT);
    assert_int_equal(xml_read(bytes, XML_SIZE_MAX, keep_leaf, &leaves, &err), 0);
    assert_int_equal(xml_read(bytes, XML_SIZE_MAX + 1, keep_leaf, &leaves, &err), -EBADMSG);
}

static void masking(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"<a>ok &#65;&#x41;&amp;\t\n\r\xC3\xBC\xF0\x9F\x98\x80</a>",
         "<a>ok &#65;&#x41;&amp;\t\n\r\xC3\xBC\xF0\x9F\x98\x80</a>"},
        {"<a>\x01|\x1F|\x7F</a>", "<a>\x7F|\x7F|\x7F</a>"},
        {"<a>&#1;|&#x1F;|&#xFFFE;|&#55296;|&#x110000;</a>",
         "<a>\x7F\x7F\x7F\x7F|\x7F\x7F\x7F\x7F\x7F\x7F|\x7F\x7F\x7F\x7F\x7F\x7F\x7F\x7F|"
         "\x7F\x7F\x7F\x7F\x7F\x7F\x7F\x7F|\x7F\x7F\x7F\x7F\x7F\x7F\x7F\x7F\x7F\x7F</a>"},
        {"\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBF\xBD", "\x7F\x7F\x7F\x7F\x7F\x7F\xEF\xBF\xBD"},
        {"&#99999999999999999999999;", "&#99999999999999999999999;"}, // expat's to refuse
        {"&#1", "&#1"},
        {"&#", "&#"},
        {"&", "&"},
        {"\xEF\xBF", "\xEF\xBF"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_free char *text = strdup(cases[i][0]);
        xml_mask(text, strlen(text));
        assert_string_equal(text, cases[i][1]);
    }
    char nul[] = {'a', 0, 'b'};
    xml_mask(nul, sizeof(nul));
    assert_memory_equal(nul,
                        "a\x7F"
                        "b",
                        3);
}

static int refuse_second(void *context, const char *path, const char *text, struct err *err)
{
    (void)path;
    int *calls = context;
    return ++*calls == 2 ? err_set(err, EPROTO, "no %s", text) : 0;
}

static void the_reader_of_leaves_ends_it(void **state)
{
    (void)state;
    static const char text[] = "<a><b>1</b><c>2</c><d>3</d></a>";
    int calls = 0;
    struct err err = {0};
    assert_int_equal(xml_read(text, strlen(text), refuse_second, &calls, &err), -EPROTO);
    assert_string_equal(err.text, "no 2");
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_corpus),
        cmocka_unit_test(rejected_corpus),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(masking),
        cmocka_unit_test(the_reader_of_leaves_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
