// What refusing answers mean: errno, whether to try again, what may mend it, and the sentence.

#include "s3/failure.h"

#include "base/scope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define XML(code) "<Error><Code>" code "</Code><Message>why</Message></Error>"

// A response as http_perform leaves it; headers as "name\0value\0".
static struct http_response response_of(int status, const char *headers, size_t headers_size,
                                        const char *body)
{
    struct http_response response = {.status = status, .body = BUF_INIT(64 * 1024)};
    response.headers = calloc(1, headers_size + 2);
    memcpy(response.headers, headers, headers_size);
    response.headers_size = headers_size;
    if (body)
        assert_int_equal(buf_append_text(&response.body, body), 0);
    return response;
}

static const struct {
    int status;
    const char *body;
    int errnum;
    bool is_retryable;
    enum s3_remedy remedy;
    const char *code;
    const char *sentence; // a piece of it
} cases[] = {
    {403, XML("AccessDenied"), EACCES, false, S3_REMEDY_NONE, "AccessDenied",
     "s3:PutObject on bkt/k"},
    {403, XML("InvalidAccessKeyId"), EACCES, false, S3_REMEDY_NONE, "InvalidAccessKeyId",
     "the access key is not known there; signed with the access key ...MPLE"},
    {403, XML("SignatureDoesNotMatch"), EACCES, false, S3_REMEDY_NONE, "SignatureDoesNotMatch",
     "the secret key does not belong to the access key"},
    {400, XML("ExpiredToken"), EACCES, false, S3_REMEDY_CREDENTIALS, "ExpiredToken",
     "have expired"},
    {400, XML("InvalidToken"), EACCES, false, S3_REMEDY_NONE, "InvalidToken", "session token"},
    {403, XML("RequestTimeTooSkewed"), EACCES, false, S3_REMEDY_CLOCK, "RequestTimeTooSkewed",
     "clock"},
    {404, XML("NoSuchBucket"), ENOENT, false, S3_REMEDY_NONE, "NoSuchBucket", "no such bucket"},
    {404, XML("NoSuchKey"), ENOENT, false, S3_REMEDY_NONE, "NoSuchKey", "no such object"},
    {404, XML("NoSuchUpload"), ENOENT, false, S3_REMEDY_NONE, "NoSuchUpload", "no such upload"},
    {412, XML("PreconditionFailed"), EEXIST, false, S3_REMEDY_NONE, "PreconditionFailed",
     "already there"},
    {409, XML("ConditionalRequestConflict"), EEXIST, true, S3_REMEDY_NONE,
     "ConditionalRequestConflict", "at the same time"},
    {501, XML("NotImplemented"), EOPNOTSUPP, false, S3_REMEDY_NONE, "NotImplemented", "cannot do"},
    {403, XML("QuotaExceeded"), EDQUOT, false, S3_REMEDY_NONE, "QuotaExceeded", "quota"},
    {507, XML("XMinioStorageFull"), ENOSPC, false, S3_REMEDY_NONE, "XMinioStorageFull", "full"},
    {403, XML("InvalidObjectState"), EACCES, false, S3_REMEDY_NONE, "InvalidObjectState",
     "archived"},
    {503, XML("SlowDown"), EIO, true, S3_REMEDY_NONE, "SlowDown", "too often"},
    {500, XML("InternalError"), EIO, true, S3_REMEDY_NONE, "InternalError", "S3 at"},
    {400, XML("RequestTimeout"), EIO, true, S3_REMEDY_NONE, "RequestTimeout", "in time"},
    {400, XML("BadDigest"), EIO, true, S3_REMEDY_NONE, "BadDigest", "not those sent"},
    {200, XML("InternalError"), EIO, true, S3_REMEDY_NONE, "InternalError", "fails s3:PutObject"},
    {301, XML("PermanentRedirect"), EIO, false, S3_REMEDY_REGION, "PermanentRedirect",
     "another region than us-east-1: set region="},
    {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
     EINVAL, false, S3_REMEDY_REGION, "AuthorizationHeaderMalformed",
     "eu-west-1: set region=eu-west-1"},
    {400, XML("SomethingNew"), EIO, false, S3_REMEDY_NONE, "SomethingNew", "400 SomethingNew: why"},
    {409, XML("SomethingNew"), EIO, false, S3_REMEDY_NONE, "SomethingNew", "409"},
    {599, XML("SomethingNew"), EIO, false, S3_REMEDY_NONE, "SomethingNew", "599"},
    // Without a document, as HEAD is answered
    {404, NULL, ENOENT, false, S3_REMEDY_NONE, "", "not there"},
    {403, NULL, EACCES, false, S3_REMEDY_CLOCK, "", "lack this permission"},
    {400, NULL, EIO, false, S3_REMEDY_CREDENTIALS, "", "refused"},
    {412, NULL, EEXIST, false, S3_REMEDY_NONE, "", "already there"},
    {416, NULL, EIO, false, S3_REMEDY_NONE, "", "shorter"},
    {429, NULL, EIO, true, S3_REMEDY_NONE, "", "429"},
    {503, NULL, EIO, true, S3_REMEDY_NONE, "", "failed"},
    {502, "<html>Bad Gateway<br>", EIO, true, S3_REMEDY_NONE, "", "failed"},
};

static const struct s3_place place = {.region = (char *)"us-east-1",
                                      .origin = (char *)"http://h:1"};
static const struct s3_question put = {"s3", "s3:PutObject", "bkt/k", &place, "AKIAEXAMPLE", false};

static void meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_http_response struct http_response response =
            response_of(cases[i].status, "", 0, cases[i].body);
        struct s3_answer answer;
        struct err err = {0};
        (void)s3_answer_read(&response, &answer);
        int r = s3_failure(&put, &response, &answer, 0, &err);
        print_message("%s\n", err.text);
        assert_int_equal(r, -cases[i].errnum);
        assert_int_equal(err.errnum, cases[i].errnum);
        assert_int_equal(err.http_status, cases[i].status);
        assert_int_equal(err.is_retryable, cases[i].is_retryable);
        assert_int_equal(s3_answer_remedy(&response, &answer), cases[i].remedy);
        assert_string_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.text, cases[i].sentence));
    }
}

static void a_condition_on_an_etag_is_another_thing(void **state)
{
    (void)state;
    struct s3_question get = {"s3", "s3:GetObject", "bkt/k", &place, "AKIA", true};
    auto_http_response struct http_response response =
        response_of(412, "", 0, XML("PreconditionFailed"));
    struct s3_answer answer;
    struct err err = {0};
    (void)s3_answer_read(&response, &answer);
    assert_int_equal(s3_failure(&get, &response, &answer, 0, &err), -ESTALE);
}

static void sts_speaks_in_its_own_document(void **state)
{
    (void)state;
    struct s3_question assume = {"sts", "sts:AssumeRole", "arn:r", &place, "AKIA", false};
    auto_http_response struct http_response response = response_of(
        403, "", 0,
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender"
        "</Type><Code>AccessDenied</Code><Message>User: x is not authorized</Message></Error>"
        "</ErrorResponse>");
    struct s3_answer answer;
    struct err err = {0};
    assert_true(s3_answer_read(&response, &answer));
    assert_int_equal(s3_failure(&assume, &response, &answer, 0, &err), -EACCES);
    assert_string_equal(err.text,
                        "STS at http://h:1 refuses sts:AssumeRole on arn:r: these credentials may "
                        "not assume it; the role's trust policy must name their user; signed with "
                        "the access key ...AKIA (403 AccessDenied: User: x is not authorized)");
}

static void who_speaks(void **state)
{
    (void)state;
    static const char ours[] = "x-amz-request-id\0id";
    static const struct {
        const char *headers;
        size_t headers_size;
        const char *body;
        bool is_answer;
    } answers[] = {
        {"", 0, XML("X"), true},
        {ours, sizeof(ours), NULL, true},
        {"x-amzn-requestid\0id", 20, "", true},
        {"", 0, NULL, false},
        {"server\0nginx", 13, "<html><head><title>404</title></head></html>", false},
        {"", 0, "{\"Code\":\"AccessDenied\"}", false},
        {"", 0, "<Error><Message>no code</Message></Error>", false},
        {"", 0, "<!DOCTYPE e [<!ENTITY x \"AccessDenied\">]><Error><Code>&x;</Code></Error>",
         false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        auto_http_response struct http_response response =
            response_of(404, answers[i].headers, answers[i].headers_size, answers[i].body);
        struct s3_answer answer;
        if (s3_answer_read(&response, &answer) != answers[i].is_answer)
            fail_msg("case %zu", i);
    }
}

static void a_region_is_taken_only_where_it_is_one(void **state)
{
    (void)state;
    static const char header[] = "x-amz-bucket-region\0eu-west-1";
    static const char evil[] = "x-amz-bucket-region\0evil.example/";
    struct s3_answer answer;
    auto_http_response struct http_response good = response_of(400, header, sizeof(header), NULL);
    assert_true(s3_answer_read(&good, &answer));
    assert_string_equal(answer.region, "eu-west-1");
    // A bare 400 with a region is of the region, not of the credentials
    assert_int_equal(s3_answer_remedy(&good, &answer), S3_REMEDY_REGION);
    auto_http_response struct http_response bad =
        response_of(301, evil, sizeof(evil),
                    "<Error><Code>PermanentRedirect</Code><Region>a/b</Region></Error>");
    assert_true(s3_answer_read(&bad, &answer));
    assert_string_equal(answer.region, "");
}

static void retry_after_is_kept(void **state)
{
    (void)state;
    static const char header[] = "retry-after\0003";
    auto_http_response struct http_response response =
        response_of(503, header, sizeof(header), XML("SlowDown"));
    struct s3_answer answer;
    struct err err = {0};
    (void)s3_answer_read(&response, &answer);
    (void)s3_failure(&put, &response, &answer, 0, &err);
    assert_int_equal(err.retry_after_ms, 3000);
}

static void a_message_of_any_length_fits(void **state)
{
    (void)state;
    char body[4096] = "<Error><Code>";
    memset(body + strlen(body), 'c', 1000);
    strcat(body, "</Code><Message>");
    memset(body + strlen(body), 'm', 2000);
    strcat(body, "</Message></Error>");
    auto_http_response struct http_response response = response_of(400, "", 0, body);
    struct s3_answer answer;
    struct err err = {0};
    assert_true(s3_answer_read(&response, &answer));
    assert_int_equal(s3_failure(&put, &response, &answer, 0, &err), -EIO);
    assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meanings),
        cmocka_unit_test(a_condition_on_an_etag_is_another_thing),
        cmocka_unit_test(sts_speaks_in_its_own_document),
        cmocka_unit_test(who_speaks),
        cmocka_unit_test(a_region_is_taken_only_where_it_is_one),
        cmocka_unit_test(retry_after_is_kept),
        cmocka_unit_test(a_message_of_any_length_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
