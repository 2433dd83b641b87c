#include "test.h"

#include "base/scope.h"
#include "base/url.h"
#include "fault_memory.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void parses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *scheme;
        const char *host;
        int port;
        const char *path;
        const char *query;
    } cases[] = {
        {"https://ghcr.io", "https", "ghcr.io", 443, "/", ""},
        {"http://ghcr.io", "http", "ghcr.io", 80, "/", ""},
        {"HTTPS://GHCR.io/V2/", "https", "ghcr.io", 443, "/V2/", ""},
        {"https://host:5000/a?b=c&d=%2f", "https", "host", 5000, "/a", "b=c&d=%2f"},
        {"https://host?q", "https", "host", 443, "/", "q"},
        {"https://host/?", "https", "host", 443, "/", ""},
        {"https://host/a?b?c/d:e", "https", "host", 443, "/a", "b?c/d:e"},
        {"https://host:/a", "https", "host", 443, "/a", ""},
        {"https://host/..//a/./b%2f%2E%2e/%c3", "https", "host", 443, "/..//a/./b%2f%2E%2e/%c3",
         ""},
        {"https://host//a//b", "https", "host", 443, "//a//b", ""},
        {"https://host/a:b@c,d;e=f+g(h)!*'~", "https", "host", 443, "/a:b@c,d;e=f+g(h)!*'~", ""},
        {"http://127.0.0.1:8080/", "http", "127.0.0.1", 8080, "/", ""},
        {"http://[::1]:8080/x", "http", "[::1]", 8080, "/x", ""},
        {"http://[FE80::1]/", "http", "[fe80::1]", 80, "/", ""},
        {"http://0x7f.1/", "http", "127.0.0.1", 80, "/", ""}, // as every resolver reads it
        {"http://2130706433/", "http", "127.0.0.1", 80, "/", ""},
        {"http://a_b-c.d/", "http", "a_b-c.d", 80, "/", ""},
        {"http://host:65535/", "http", "host", 65535, "/", ""},
        {"http://host:080/", "http", "host", 80, "/", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url url = {0};
        struct err err = {0};
        int r = url_parse(cases[i].text, &url, &err);
        if (r != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_string_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        assert_string_equal(url.query, cases[i].query);
        url_done(&url);
        url_done(&url);
    }
    url_done(NULL);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "ghcr.io",
        "//ghcr.io/",
        "/v2/",
        "ftp://host/",
        "file:///etc/passwd",
        "httpss://host/",
        "https:/host",
        "https:host",
        "https:///host",
        "https://",
        "https://:443/",
        "https://?a",
        "https://user@host/",
        "https://user:sesame@host/",
        "https://@host/",
        "https://:@host/",
        "https://good.com@evil.com/",
        "https://good.com:443@evil.com/",
        "https://good.com\\@evil.com/",
        "https://host\\evil/",
        "https://host/#fragment",
        "https://host#@evil.com/",
        "https://host/a b",
        " https://host/",
        "https://host/ ",
        "https://host/\n",
        "https://host/a\r\nHost: evil",
        "https://host/\x01",
        "https://host/\x7f",
        "https://h\xC3\xBCte.de/",
        "https://host/\xC3\xBC",
        "https://host/\xff",
        "https://%31%32%37.0.0.1/",
        "https://host%00.evil/",
        "https://host:0/",
        "https://host:65536/",
        "https://host:99999999999999999999/",
        "https://host:-1/",
        "https://host:80x/",
        "https://host:80:90/",
        "https://[::1/",
        "https://::1/",
        "https://[::g]/",
        "https://[fe80::1%25eth0]/",
        "https://ho,st/",
        "https://ho$t/",
        "https://h*st/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct url url = {0};
        struct err err = {0};
        int r = url_parse(bad[i], &url, &err);
        if (r != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_null(url.scheme);
        assert_non_null(strstr(err.text, "not a usable URL"));
        assert_null(strstr(err.text, "sesame"));
        assert_false(err.is_retryable);
    }
}

static void length_is_limited(void **state)
{
    (void)state;
    static char text[URL_SIZE_LIMIT + 2] = "https://host/";
    size_t head = strlen(text);
    memset(text + head, 'a', URL_SIZE_LIMIT - head);
    struct url url = {0};
    struct err err = {0};
    assert_int_equal(url_parse(text, &url, &err), 0);
    url_done(&url);
    text[URL_SIZE_LIMIT] = 'a';
    assert_int_equal(url_parse(text, &url, &err), -EINVAL);
}

static void resolves(void **state)
{
    (void)state;
    static const struct {
        const char *base;
        const char *location;
        const char *result;
    } cases[] = {
        {"https://host/a/b", "https://other/c", "https://other/c"},
        {"https://host/a/b", "HTTP://other/c", "http://other/c"},
        {"https://host/a/b", "//other/c", "https://other/c"},
        {"https://host:5000/a/b?q=1", "/c/d?e=f", "https://host:5000/c/d?e=f"},
        {"https://host/a/b?q=1", "c", "https://host/a/c"},
        {"https://host/a/b?q=1", "../c", "https://host/c"},
        {"https://host/a/b", "./c/./d/../e", "https://host/a/c/e"},
        {"https://host/a/b", "/../../c", "https://host/c"},
        {"https://host/a/b?q=1", "?r=2", "https://host/a/b?r=2"},
        {"https://host/a/b", "/c#frag", "https://host/c"},
        {"https://host/", "https://o/a/../b//c?x=%2f%2F&y=a+b",
         "https://o/a/../b//c?x=%2f%2F&y=a+b"},
        {"https://host/", "https://o/%7Ea%2fb", "https://o/%7Ea%2fb"},
        {"https://host/", "https://o:8443/x", "https://o:8443/x"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_free char *result = NULL;
        struct err err = {0};
        if (url_resolve(cases[i].base, cases[i].location, &result, &err) != 0)
            fail_msg("%s: %s", cases[i].location, err.text);
        assert_string_equal(result, cases[i].result);
    }
}

static void refuses_to_resolve(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "ftp://host/",       "file:///etc/passwd", "javascript:alert(1)",
        "data:,x", "https://u:p@host/", "//u:p@host/",        "https://host:0/",
        "/a b",    "/a\r\nX: y",        "https://",           "//",
        "///",     "https://\xC3\xBC/", "http:\\\\host",      "//good\\@evil/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *result = NULL;
        struct err err = {0};
        int r = url_resolve("https://host/a", bad[i], &result, &err);
        if (r != -EINVAL)
            fail_msg("accepted: %s as %s", bad[i], result);
        assert_null(result);
    }
    char *result = NULL;
    struct err err = {0};
    assert_int_equal(url_resolve("ftp://host/", "https://host/", &result, &err), -EINVAL);
}

static void origins(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool is_same;
    } cases[] = {
        {"https://host/a", "https://HOST:443/b?c", true},
        {"https://host/", "http://host/", false},
        {"https://host/", "https://host:444/", false},
        {"https://host/", "https://host2/", false},
        {"https://host/", "https://host./", false},
        {"http://0x7f.1/", "http://127.0.0.1/", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct url a = {0};
        struct url b = {0};
        struct err err = {0};
        assert_int_equal(url_parse(cases[i].a, &a, &err), 0);
        assert_int_equal(url_parse(cases[i].b, &b, &err), 0);
        assert_int_equal(url_same_origin(&a, &b), cases[i].is_same);
        url_done(&a);
        url_done(&b);
    }
}

static void loopback_is_strict(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "localhost", "LOCALHOST",         "127.0.0.1",          "127.255.1.2",      "[::1]",
        "::1",       "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f01:203]"};
    static const char *const no[] = {
        "",
        "127.evil.com",
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "localhost.",
        "127.0.0",
        "127.1",
        "127.0.0.1.",
        "127.0.0.256",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1 ",
        "1270.0.0.1",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "[::1",
        "::1]",
        "[::1].evil",
        "[]",
        "[::ffff:128.0.0.1]",
        "[::127.0.0.1]",
        "[1::1]",
        "xlocalhost",
        "[::1%lo]",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (!url_host_is_loopback(yes[i]))
            fail_msg("not taken for loopback: %s", yes[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (url_host_is_loopback(no[i]))
            fail_msg("taken for loopback: %s", no[i]);
}

static void link_local_is_generous(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "169.254.169.254",
        "169.254.0.1",
        "169.254.169.254.",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.251.254",
        "169.16689662",
        "[fe80::1]",
        "[febf::1]",
        "fe80::1",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:1]",
        "[::169.254.1.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[FD00:0EC2::23]",
    };
    static const char *const no[] = {
        "",
        "169.254.evil.com",
        "169.253.1.1",
        "169.255.1.1",
        "10.0.0.1",
        "[fec0::1]",
        "[fe00::1]",
        "[fd00:ec3::1]",
        "[::1]",
        "ghcr.io",
        "[::ffff:10.0.0.1]",
        "[2001:db8::a9fe:a9fe]",
        "a-name-that-is-longer-than-every-address-that-anybody-could-write-down.example",
    };
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (!url_host_is_link_local(yes[i]))
            fail_msg("not taken for link-local: %s", yes[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (url_host_is_link_local(no[i]))
            fail_msg("taken for link-local: %s", no[i]);
}

static void query_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shown;
    } cases[] = {
        {"https://host/a?X-Amz-Signature=f00", "https://host/a"},
        {"https://host/a", "https://host/a"},
        {"https://host?a", "https://host"},
        {"https://host/a#b?c", "https://host/a"},
        {"https://user:sesame@host/a@b?c", "https://host/a@b"},
        {"https://user:p@ss@host/", "https://host/"},
        {"/path@x?y=https://z@w/", "/path@x"},
        {"user:pw@host/x", "host/x"},
        {"", ""},
        {"?", ""},
    };
    char buffer[64];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(url_without_query(cases[i].text, buffer, sizeof(buffer)),
                            cases[i].shown);
    assert_string_equal(url_without_query("https://host/long", buffer, 10), "https://h");
    assert_string_equal(url_without_query("https://host/long", buffer, 4), "htt");
    assert_string_equal(url_without_query("https://host/long", buffer, 1), "");
    assert_string_equal(url_without_query("https://host/long", buffer, 0), "");
}

static void encodes_every_byte(void **state)
{
    (void)state;
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        char escape[4];
        snprintf(escape, sizeof(escape), "%%%02X", (unsigned)byte);
        bool is_kept = c != '\0' && strchr(kept, c);
        auto_buf struct buf text = BUF_INIT(10);
        assert_int_equal(url_encode(&text, &c, 1, false), 0);
        if (is_kept)
            assert_int_equal(text.bytes[0], c);
        else
            assert_string_equal(text.bytes, escape);
        size_t size = 999;
        auto_free char *decoded = url_decode(text.bytes, &size);
        assert_int_equal(size, 1);
        assert_memory_equal(decoded, &c, 1);
    }
    auto_buf struct buf text = BUF_INIT(100);
    assert_int_equal(url_encode(&text, "a/b:c d+e", 9, true), 0);
    assert_int_equal(url_encode(&text, "/", 1, false), 0);
    assert_string_equal(text.bytes, "a/b%3Ac%20d%2Be%2F");
}

static void encode_is_all_or_nothing(void **state)
{
    (void)state;
    auto_buf struct buf text = BUF_INIT(6);
    assert_int_equal(url_encode(&text, "ab", 2, false), 0);
    assert_int_equal(url_encode(&text, "c::", 3, false), -E2BIG);
    assert_true(text.is_full);
    assert_string_equal(text.bytes, "ab");
    auto_buf struct buf none = BUF_INIT(0);
    assert_int_equal(url_encode(&none, ":", 1, false), -E2BIG);
    assert_string_equal(buf_text(&none), "");
}

static void decode_is_strict(void **state)
{
    (void)state;
    size_t size = 0;
    auto_free char *decoded = url_decode("a+b%20%2fc%00d", &size);
    assert_int_equal(size, 8);
    assert_memory_equal(decoded, "a+b /c\0d", 9);
    static const char *const bad[] = {"%",    "%2",  "%g0", "%0g",      "a%",
                                      "%%20", "%-1", "% 1", "%\xC3\xBC"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_null(url_decode(bad[i], &size));
    auto_free char *empty = url_decode("", NULL);
    assert_string_equal(empty, "");
}

// libcurl's own allocations included; see main.
static void out_of_memory(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct url url = {0};
        struct err err = {0};
        memory_fail_at(nth);
        int r = url_parse("https://host:1234/a?b", &url, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (r < 0) {
            assert_true(has_failed);
            assert_null(url.scheme);
        }
        url_done(&url);
        if (!has_failed)
            break;
        assert_in_range(nth, 1, 1000);
    }
    for (int nth = 1;; nth++) {
        auto_free char *text = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int r = url_resolve("https://host:1234/a?b", "../c", &text, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (r < 0) {
            assert_true(has_failed);
            assert_null(text);
        }
        if (!has_failed)
            break;
        assert_in_range(nth, 1, 1000);
    }
    memory_fail_at(1);
    assert_null(url_decode("a", NULL));
    memory_fail_at(0);
}

int main(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, calloc);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(length_is_limited),
        cmocka_unit_test(resolves),
        cmocka_unit_test(refuses_to_resolve),
        cmocka_unit_test(origins),
        cmocka_unit_test(loopback_is_strict),
        cmocka_unit_test(link_local_is_generous),
        cmocka_unit_test(query_is_left_out),
        cmocka_unit_test(encodes_every_byte),
        cmocka_unit_test(encode_is_all_or_nothing),
        cmocka_unit_test(decode_is_strict),
        cmocka_unit_test(out_of_memory),
    };
    int failures = cmocka_run_group_tests_name("base/url", tests, NULL, NULL);
    curl_global_cleanup();
    return failures;
}
