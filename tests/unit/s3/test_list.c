// Listing pages: what is asked, and what is made of the answers.

#include "base/scope.h"
#include "fixture.h"
#include "s3/xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE(inside) "<ListBucketResult>" inside "</ListBucketResult>"
#define URL_ENCODED "<EncodingType>url</EncodingType>"
#define TRUNCATED "<IsTruncated>true</IsTruncated>"
#define OBJECT(key)                                                                                \
    "<Contents><Key>" key "</Key><LastModified>2026-01-31T12:34:56.789Z</LastModified>"            \
    "<ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"
#define PREFIX(prefix) "<CommonPrefixes><Prefix>" prefix "</Prefix></CommonPrefixes>"

static struct fixture f;

static void start(const char *body)
{
    static struct script_reply reply;
    reply = (struct script_reply){200, "x-amz-request-id: 1\r\n", body, 0};
    fixture_start(&f, &reply, 1);
}

static int list(struct s3_page *page)
{
    return s3_list_page(f.client, &f.call, "a+b/", "/", NULL, NULL, 1000, page, &f.err);
}

static void a_page(void **state)
{
    (void)state;
    start(PAGE(URL_ENCODED OBJECT("a%2Bb/x+y%C3%BC%01") PREFIX(
        "a%2Bb/sub/") "<Contents><Key>a%2Bb/z</Key><LastModified>2026-01-31T12:34:56Z</"
                      "LastModified>"
                      "<ETag>\"f\"</ETag><Size>18446744073709551615</Size>"
                      "<StorageClass>GLACIER</StorageClass><Owner><ID>Key</ID></Owner></Contents>"
                      "<IsTruncated>false</IsTruncated>"));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    static const char line[] =
        "GET /bkt/?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=a%2Bb%2F ";
    assert_memory_equal(script_request(f.script, 0), line, strlen(line));
    assert_int_equal(page.object_count, 2);
    assert_string_equal(page.objects[0].key, "a+b/x y\xC3\xBC\x01");
    assert_int_equal(page.objects[0].size_bytes, 7);
    assert_int_equal(page.objects[0].modified_ms, 1769862896789);
    assert_string_equal(page.objects[0].etag, "\"e\"");
    assert_string_equal(page.objects[0].storage_class, "STANDARD");
    assert_true(page.objects[1].size_bytes == UINT64_MAX);
    assert_string_equal(page.objects[1].storage_class, "GLACIER");
    assert_int_equal(page.prefix_count, 1);
    assert_string_equal(page.prefixes[0], "a+b/sub/");
    assert_null(page.next_token);
    assert_int_equal(page.unnameable_count, 0);
    s3_page_done(&page);
    s3_page_done(&page);
    fixture_stop(&f);
}

static void an_empty_page(void **state)
{
    (void)state;
    start(PAGE(""));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    assert_int_equal(page.object_count + page.prefix_count, 0);
    s3_page_done(&page);
    fixture_stop(&f);
}

static void a_store_that_does_not_encode(void **state)
{
    (void)state;
    start(PAGE(OBJECT("a+b/%41 &amp;+c")));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    assert_string_equal(page.objects[0].key, "a+b/%41 &+c");
    s3_page_done(&page);
    fixture_stop(&f);
}

static void names_that_cannot_be_named_are_counted(void **state)
{
    (void)state;
    start(PAGE(URL_ENCODED OBJECT("a%00b") OBJECT("ok") OBJECT("broken%4") OBJECT("%zz")
                   PREFIX("p%00/")));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    assert_int_equal(page.object_count, 1);
    assert_string_equal(page.objects[0].key, "ok");
    assert_int_equal(page.prefix_count, 0);
    assert_int_equal(page.unnameable_count, 4);
    s3_page_done(&page);
    fixture_stop(&f);
}

// ---- from page to page --------------------------------------------------------------------

static void assert_asks(const char *next_token, const char *piece)
{
    struct s3_page page = {0};
    (void)s3_list_page(f.client, &f.call, "", NULL, "begin", next_token, 2, &page, &f.err);
    s3_page_done(&page);
    const char *request = script_request(f.script, script_request_count(f.script) - 1);
    if (!strstr(request, piece))
        fail_msg("asks %.200s\nnot %s", request, piece);
}

static void going_on(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *asked;
    } cases[] = {
        {PAGE(TRUNCATED "<NextContinuationToken>1/+=</NextContinuationToken>" OBJECT("k")),
         "?continuation-token=1%2F%2B%3D&encoding-type=url&list-type=2&max-keys=2 "},
        // The page may be empty, and still not the last
        {PAGE(TRUNCATED "<NextContinuationToken>t</NextContinuationToken>"),
         "?continuation-token=t&encoding"},
        // Ceph's token is the last key, which XML cannot hold here
        {PAGE(URL_ENCODED TRUNCATED
              "<NextContinuationToken>k&#x1;&#31;</NextContinuationToken>" OBJECT("j")
                  OBJECT("k%01%1F")),
         "&start-after=k%01%1F "},
        {PAGE(URL_ENCODED TRUNCATED
              "<NextContinuationToken>p\x01/</NextContinuationToken>" OBJECT("j") PREFIX("p%01/")),
         "&start-after=p%01%2F%F4%8F%BF%BF "},
        {PAGE(URL_ENCODED TRUNCATED OBJECT("j") PREFIX("i/")), "&start-after=j "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct script_reply replies[] = {{200, NULL, cases[i].body, 0},
                                               {200, NULL, PAGE(""), 0}};
        fixture_start(&f, replies, 2);
        struct s3_page page = {0};
        if (list(&page) < 0)
            fail_msg("case %zu: %s", i, f.err.text);
        assert_non_null(page.next_token);
        assert_asks(page.next_token, cases[i].asked);
        s3_page_done(&page);
        fixture_stop(&f);
    }
}

static void the_first_page_may_start_behind_a_key(void **state)
{
    (void)state;
    start(PAGE(""));
    assert_asks(NULL, "?encoding-type=url&list-type=2&max-keys=2&start-after=begin ");
    fixture_stop(&f);
}

static void keys_that_were_not_encoded_and_hold_what_xml_cannot(void **state)
{
    (void)state;
    start(PAGE(OBJECT("a\x01") OBJECT("b&#2;c") OBJECT("d&#65;")));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    assert_int_equal(page.object_count, 1);
    assert_string_equal(page.objects[0].key, "dA");
    assert_int_equal(page.unnameable_count, 2);
    s3_page_done(&page);
    fixture_stop(&f);
}

// ---- what is no listing -------------------------------------------------------------------

static void what_is_no_listing(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "nonsense",
        "<html><body>Welcome!</body></html>",
        "<!DOCTYPE html><html></html>",
        "<ListBucketResult><Contents>",
        "<ListBucketResultX/>",
        PAGE(TRUNCATED),
        PAGE("<Contents><Size>1</Size></Contents>"),
        PAGE("<Contents><Key>k</Key><Size>-1</Size></Contents>"),
        PAGE("<Contents><Key>k</Key><Size>18446744073709551616</Size></Contents>"),
        PAGE("<Contents><Key>k</Key><Size>1x</Size></Contents>"),
        PAGE("<Contents><Key>k</Key><LastModified>yesterday</LastModified></Contents>"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        start(bodies[i]);
        atomic_store(&f.call.retries_left, 0);
        struct s3_page page = {.object_count = 42};
        if (list(&page) != -EPROTO)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_int_equal(f.err.errnum, EPROTO);
        assert_int_equal(page.object_count, 42);
        assert_non_null(strstr(f.err.text, "s3:ListBucket on bkt at http://127.0.0.1:"));
        fixture_stop(&f);
    }
}

static void no_more_than_a_page(void **state)
{
    (void)state;
    auto_buf struct buf body = BUF_INIT(XML_SIZE_MAX);
    (void)buf_append_text(&body, "<ListBucketResult>");
    for (int i = 0; i < S3_LIST_PAGE_KEYS; i++)
        (void)buf_append_text(&body, OBJECT("k"));
    size_t size = body.size;
    (void)buf_append_text(&body, "</ListBucketResult>");
    start(buf_text(&body));
    struct s3_page page = {0};
    assert_int_equal(list(&page), 0);
    assert_int_equal(page.object_count, S3_LIST_PAGE_KEYS);
    s3_page_done(&page);
    fixture_stop(&f);
    body.size = size;
    (void)buf_append_text(&body, OBJECT("k") "</ListBucketResult>");
    start(buf_text(&body));
    assert_int_equal(list(&page), -EPROTO);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page),
        cmocka_unit_test(an_empty_page),
        cmocka_unit_test(a_store_that_does_not_encode),
        cmocka_unit_test(names_that_cannot_be_named_are_counted),
        cmocka_unit_test(going_on),
        cmocka_unit_test(the_first_page_may_start_behind_a_key),
        cmocka_unit_test(keys_that_were_not_encoded_and_hold_what_xml_cannot),
        cmocka_unit_test(what_is_no_listing),
        cmocka_unit_test(no_more_than_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
