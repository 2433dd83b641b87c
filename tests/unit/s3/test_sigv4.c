// Signatures that AWS has published: the examples of the S3 API reference ("Signature
// Calculations for the Authorization Header" and "... Using Query Parameters"), and those cases
// of the aws-sig-v4-test-suite that say something of a service like STS. (Its normalize-path
// cases do not: S3's paths are not normalised and STS's is "/".) sigv4_botocore.py compares
// what these leave out.

#include "s3/sigv4.h"

#include "base/digest.h"
#include "base/scope.h"
#include "s3/credentials.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SUITE_TOKEN                                                                                \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP" \
    "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT" \
    "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz" \
    "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static struct s3_credentials *credentials(const char *access_key, const char *secret_key,
                                          const char *token)
{
    auto_secret struct secret *key = secret_from_text(secret_key);
    auto_secret struct secret *session_token = token ? secret_from_text(token) : NULL;
    return s3_credentials_new(access_key, key, session_token, INT64_MAX);
}

static void assert_authorization(const struct sigv4_key *key, const struct sigv4_request *request,
                                 int64_t now_ms, const char *expected)
{
    auto_secret struct secret *authorization = NULL;
    struct err err = {0};
    assert_int_equal(sigv4_sign_headers(key, request, now_ms, &authorization, &err), 0);
    assert_string_equal(secret_text(authorization), expected);
}

// ---- the S3 API reference -----------------------------------------------------------------

#define S3_NOW_MS INT64_C(1369353600000) // 20130524T000000Z
#define S3_HOST "examplebucket.s3.amazonaws.com"
#define S3_AUTHORIZATION(headers, signature)                                                       \
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "        \
    "SignedHeaders=" headers ", Signature=" signature

static struct s3_credentials *s3_example(void)
{
    return credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL);
}

static void s3_header_examples(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who = s3_example();
    struct sigv4_key key = {who, "us-east-1", "s3"};
    const struct http_header get[] = {{"Host", S3_HOST},
                                      {"Range", "bytes=0-9"},
                                      {"x-amz-content-sha256", EMPTY_SHA256},
                                      {"x-amz-date", "20130524T000000Z"}};
    const struct http_header plain[] = {{"Host", S3_HOST},
                                        {"x-amz-content-sha256", EMPTY_SHA256},
                                        {"x-amz-date", "20130524T000000Z"}};
    char put_hash[SHA256_HEX_SIZE];
    sha256_hex_of("Welcome to Amazon S3.", strlen("Welcome to Amazon S3."), put_hash);
    const struct http_header put[] = {{"Host", S3_HOST},
                                      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                      {"x-amz-date", "20130524T000000Z"},
                                      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                      {"x-amz-content-sha256", put_hash}};
    const struct sigv4_pair lifecycle[] = {{"lifecycle", ""}};
    const struct sigv4_pair list[] = {{"max-keys", "2"}, {"prefix", "J"}};

    struct sigv4_request request = {"GET", "/test.txt", NULL, 0, get, 4, EMPTY_SHA256};
    assert_authorization(
        &key, &request, S3_NOW_MS,
        S3_AUTHORIZATION("host;range;x-amz-content-sha256;x-amz-date",
                         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
    request = (struct sigv4_request){"PUT", "/test%24file.text", NULL, 0, put, 5, put_hash};
    assert_authorization(
        &key, &request, S3_NOW_MS,
        S3_AUTHORIZATION("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
    request = (struct sigv4_request){"GET", "/", lifecycle, 1, plain, 3, EMPTY_SHA256};
    assert_authorization(
        &key, &request, S3_NOW_MS,
        S3_AUTHORIZATION("host;x-amz-content-sha256;x-amz-date",
                         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
    request = (struct sigv4_request){"GET", "/", list, 2, plain, 3, EMPTY_SHA256};
    assert_authorization(
        &key, &request, S3_NOW_MS,
        S3_AUTHORIZATION("host;x-amz-content-sha256;x-amz-date",
                         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

static void s3_presigned_example(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who = s3_example();
    struct sigv4_key key = {who, "us-east-1", "s3"};
    const struct http_header host = {"host", S3_HOST};
    struct sigv4_request request = {"GET", "/test.txt", NULL, 0, &host, 1, SIGV4_UNSIGNED_PAYLOAD};
    auto_buf struct buf query = BUF_INIT(4096);
    struct err err = {0};
    assert_int_equal(sigv4_sign_query(&key, &request, S3_NOW_MS, 86400, &query, &err), 0);
    assert_string_equal(
        buf_text(&query),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void the_session_token_is_signed_in_a_query(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who = credentials("AKID", "secret", "tok/en+=");
    struct sigv4_key key = {who, "us-east-1", "s3"};
    const struct http_header host = {"host", "h"};
    struct sigv4_request request = {"GET", "/k", NULL, 0, &host, 1, SIGV4_UNSIGNED_PAYLOAD};
    auto_buf struct buf query = BUF_INIT(4096);
    struct err err = {0};
    assert_int_equal(sigv4_sign_query(&key, &request, S3_NOW_MS, 60, &query, &err), 0);
    assert_non_null(
        strstr(buf_text(&query), "&X-Amz-Security-Token=tok%2Fen%2B%3D&X-Amz-SignedHeaders=host&"));
}

// ---- the test suite -----------------------------------------------------------------------

#define SUITE_NOW_MS INT64_C(1440938160000) // 20150830T123600Z
#define LETTERS "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
enum { SUITE_PAIRS = 3, SUITE_HEADERS = 5 };

struct suite_case {
    const char *name;
    const char *method;
    const char *path;
    struct sigv4_pair query[SUITE_PAIRS];
    struct http_header headers[SUITE_HEADERS]; // beside Host and X-Amz-Date
    const char *body;
    const char *signed_headers;
    const char *signature;
};

static const struct suite_case suite[] = {
    {"get-vanilla",
     "GET",
     "/",
     {{0}},
     {{0}},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     "",
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", "value4"},
      {"My-Header1", "value1"},
      {"My-Header1", "value3"},
      {"My-Header1", "value2"}},
     "",
     "host;my-header1;x-amz-date",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim",
     "GET",
     "/",
     {{0}},
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-unreserved",
     "GET",
     "/" LETTERS,
     {{0}},
     {{0}},
     "",
     "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/\xE1\x88\xB4",
     {{0}},
     {{0}},
     "",
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     {{"Param1", "value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-encoded",
     "GET",
     "/",
     {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xE1\x88\xB4", "Value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-key",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "Value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get-vanilla-query-order-value",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     {{LETTERS, LETTERS}},
     {{0}},
     "",
     "host;x-amz-date",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     {{"\xE1\x88\xB4", "bar"}},
     {{0}},
     "",
     "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"post-vanilla",
     "POST",
     "/",
     {{0}},
     {{0}},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     {{"Param1", "value1"}},
     {{0}},
     "",
     "host;x-amz-date",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     {{0}},
     {{"My-Header1", "value1"}},
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     {{0}},
     {{"My-Header1", "VALUE1"}},
     "",
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-sts-header-before",
     "POST",
     "/",
     {{0}},
     {{"X-Amz-Security-Token", SUITE_TOKEN}},
     "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {{0}},
     {{"Content-Type", "application/x-www-form-urlencoded"}},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     {{0}},
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
};

static void test_suite_cases(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who =
        credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL);
    struct sigv4_key key = {who, "us-east-1", "service"};
    for (size_t i = 0; i < ARRAY_SIZE(suite); i++) {
        const struct suite_case *one = &suite[i];
        struct http_header headers[SUITE_HEADERS + 2] = {{"X-Amz-Date", "20150830T123600Z"},
                                                         {"Host", "example.amazonaws.com"}};
        size_t header_count = 2;
        for (size_t j = 0; j < SUITE_HEADERS && one->headers[j].name; j++)
            headers[header_count++] = one->headers[j];
        size_t query_count = 0;
        while (query_count < SUITE_PAIRS && one->query[query_count].name)
            query_count++;
        char hash[SHA256_HEX_SIZE];
        sha256_hex_of(one->body, strlen(one->body), hash);
        struct sigv4_request request = {one->method, one->path,    one->query, query_count,
                                        headers,     header_count, hash};
        char expected[512];
        snprintf(expected, sizeof(expected),
                 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                 "SignedHeaders=%s, Signature=%s",
                 one->signed_headers, one->signature);
        print_message("%s\n", one->name);
        assert_authorization(&key, &request, SUITE_NOW_MS, expected);
    }
}

// ---- what no vector says ------------------------------------------------------------------

static void paths_are_encoded_once_for_s3_and_twice_elsewhere(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who = credentials("AKID", "secret", NULL);
    const struct http_header host = {"host", "h"};
    struct sigv4_request request = {"GET", "/a%3Ab//../c", NULL, 0, &host, 1, EMPTY_SHA256};
    struct err err = {0};
    auto_buf struct buf s3 = BUF_INIT(1024);
    assert_int_equal(
        sigv4_canonical_request(&(struct sigv4_key){who, "r", "s3"}, &request, &s3, &err), 0);
    assert_string_equal(buf_text(&s3), "GET\n/a%3Ab//../c\n\nhost:h\n\nhost\n" EMPTY_SHA256);
    auto_buf struct buf sts = BUF_INIT(1024);
    assert_int_equal(
        sigv4_canonical_request(&(struct sigv4_key){who, "r", "sts"}, &request, &sts, &err), 0);
    assert_string_equal(buf_text(&sts), "GET\n/a%253Ab//../c\n\nhost:h\n\nhost\n" EMPTY_SHA256);
}

static void a_name_that_begins_another_sorts_first(void **state)
{
    (void)state;
    const struct sigv4_pair pairs[] = {{"a-b", "1"}, {"a", "2"}, {"a.", "3"}, {"a", "1"}};
    auto_buf struct buf text = BUF_INIT(256);
    struct err err = {0};
    assert_int_equal(sigv4_query_text(pairs, ARRAY_SIZE(pairs), &text, &err), 0);
    assert_string_equal(buf_text(&text), "a=1&a=2&a-b=1&a.=3");
}

static void too_much_is_refused(void **state)
{
    (void)state;
    auto_credentials struct s3_credentials *who = credentials("AKID", "secret", NULL);
    struct http_header headers[SIGV4_PAIRS_MAX + 1];
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
        headers[i] = (struct http_header){"h", "v"};
    struct sigv4_key key = {who, "r", "s3"};
    struct sigv4_request request = {"GET", "/", NULL, 0, headers, ARRAY_SIZE(headers), "x"};
    struct secret *authorization = NULL;
    struct err err = {0};
    assert_int_equal(sigv4_sign_headers(&key, &request, 0, &authorization, &err), -E2BIG);
    assert_null(authorization);
    char *large = malloc(SIGV4_CANONICAL_LIMIT + 1);
    memset(large, 'a', SIGV4_CANONICAL_LIMIT);
    large[SIGV4_CANONICAL_LIMIT] = '\0';
    headers[0].value = large;
    request.header_count = 1;
    assert_int_equal(sigv4_sign_headers(&key, &request, 0, &authorization, &err), -E2BIG);
    assert_null(authorization);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_header_examples),
        cmocka_unit_test(s3_presigned_example),
        cmocka_unit_test(the_session_token_is_signed_in_a_query),
        cmocka_unit_test(test_suite_cases),
        cmocka_unit_test(paths_are_encoded_once_for_s3_and_twice_elsewhere),
        cmocka_unit_test(a_name_that_begins_another_sorts_first),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
