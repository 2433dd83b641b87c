// How one request is sent and mended: what is signed, tried again, moved, renewed, timed.

#include "s3/request.h"

#include "base/scope.h"
#include "fixture.h"
#include "s3/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "x-amz-request-id: 1\r\n"
#define XML(code) "<Error><Code>" code "</Code></Error>"

static struct fixture f;

static int get_with(const char *method, struct s3_reply *reply)
{
    struct s3_request request = {.action = "s3:GetObject", .method = method, .key = "k"};
    return s3_request_send(&f.client->service, &f.call, &request, reply, &f.err);
}

static int get(struct s3_reply *reply)
{
    return get_with("GET", reply);
}

static void assert_signed_with(size_t i, const char *piece)
{
    auto_free char *value = script_request_header(f.script, i, "Authorization");
    assert_non_null(value);
    if (!strstr(value, piece))
        fail_msg("request %zu is signed with %s, not %s", i, value, piece);
}

// ---- what is sent -------------------------------------------------------------------------

static void the_url_is_encoded_once(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {{200, ID, "body", 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_request request = {
        .action = "s3:GetObject",
        .method = "GET",
        .key = "a:b//../c+d \xC3\xBC%",
        .query = {{"uploadId", "2~/+="}, {"partNumber", "1"}},
        .query_count = 2,
    };
    auto_reply struct s3_reply reply;
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err), 0);
    assert_string_equal(buf_text(&reply.http.body), "body");
    static const char line[] =
        "GET /bkt/a%3Ab//../c%2Bd%20%C3%BC%25?partNumber=1&uploadId=2~%2F%2B%3D"
        " HTTP/1.1\r\n";
    assert_memory_equal(script_request(f.script, 0), line, strlen(line));
    script_assert_header(f.script, 0, "x-amz-date", "20130524T000000Z");
    script_assert_header(f.script, 0, "x-amz-content-sha256",
                         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    script_assert_header(f.script, 0, "x-amz-security-token", NULL);
    assert_signed_with(0, "Credential=AKIDTEST/20130524/us-east-1/s3/aws4_request, "
                          "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=");
    fixture_stop(&f);
}

static void bodies(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ID, NULL, 0}, {200, ID, NULL, 0}, {200, ID, NULL, 0}};
    static const char sha256[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct http_piece body[] = {{"Welcome to ", 11}, {"Amazon S3.", 10}};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "PUT",
        .key = "k",
        .body = body,
        .body_count = 2,
        .has_body = true,
    };
    struct s3_reply reply;
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err), 0);
    s3_reply_done(&reply);
    request.payload = S3_PAYLOAD_BULK; // over http nothing else guards it
    f.client->service.signs_bulk = false;
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err), 0);
    s3_reply_done(&reply);
    f.client->service.signs_bulk = true;
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err), 0);
    s3_reply_done(&reply);
    script_assert_header(f.script, 0, "x-amz-content-sha256", sha256);
    script_assert_header(f.script, 0, "Content-MD5", NULL);
    script_assert_header(f.script, 1, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    script_assert_header(f.script, 1, "Content-MD5", "1EfQ6PKJ8WoS/2AnznfCWA==");
    script_assert_header(f.script, 2, "x-amz-content-sha256", sha256);
    script_assert_header(f.script, 2, "Content-MD5", NULL);
    assert_signed_with(1, "SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date");
    assert_non_null(strstr(script_request(f.script, 1), "\r\n\r\nWelcome to Amazon S3."));
    fixture_stop(&f);
}

static const struct test_variable session[] = {
    {"AWS_ACCESS_KEY_ID", "ASIATEST"},
    {"AWS_SECRET_ACCESS_KEY", "secret"},
    {"AWS_SESSION_TOKEN", "token/+="},
    {NULL, NULL},
};

static void a_session_token_is_sent_and_signed(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {{200, ID, NULL, 0}};
    fixture_start_with(&f, replies, ARRAY_SIZE(replies), session);
    auto_reply struct s3_reply reply;
    assert_int_equal(get(&reply), 0);
    script_assert_header(f.script, 0, "x-amz-security-token", "token/+=");
    assert_signed_with(0, "host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
    fixture_stop(&f);
}

static void what_cannot_be_sent(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    char key[S3_KEY_SIZE_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    struct s3_request request = {.action = "s3:GetObject", .method = "GET", .key = key};
    struct s3_reply reply;
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err),
                     -ENAMETOOLONG);
    s3_reply_done(&reply);
    struct http_header headers[S3_REQUEST_HEADERS_MAX + 1] = {{"a", "b"}};
    request = (struct s3_request){.action = "s3:GetObject",
                                  .method = "GET",
                                  .key = "k",
                                  .headers = headers,
                                  .header_count = ARRAY_SIZE(headers)};
    assert_int_equal(s3_request_send(&f.client->service, &f.call, &request, &reply, &f.err),
                     -E2BIG);
    s3_reply_done(&reply);
    assert_int_equal(script_request_count(f.script), 0);
    fixture_stop(&f);
}

// ---- trying again -------------------------------------------------------------------------

static void what_a_later_try_may_mend(void **state)
{
    (void)state;
    static const struct script_reply failures[] = {
        {0, NULL, NULL, 0},
        {500, ID, XML("InternalError"), 0},
        {503, ID, XML("SlowDown"), 0},
        {502, NULL, "<html>Bad Gateway<br>", 0},
        {429, NULL, NULL, 0},
        {400, ID, XML("RequestTimeout"), 0},
        {200, ID, "body", 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        const struct script_reply replies[] = {failures[i], {200, ID, "body", 0}};
        fixture_start(&f, replies, 2);
        auto_reply struct s3_reply reply;
        if (get(&reply) < 0)
            fail_msg("case %zu: %s", i, f.err.text);
        assert_int_equal(reply.is_in_doubt, failures[i].status < 300 || failures[i].status >= 500);
        assert_string_equal(buf_text(&reply.http.body), "body");
        assert_int_equal(atomic_load(&f.call.retries_made), 1);
        fixture_stop(&f);
    }
}

static void what_no_later_try_mends(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        int errnum;
    } failures[] = {
        {{403, ID, XML("AccessDenied"), 0}, EACCES},
        {{404, ID, XML("NoSuchKey"), 0}, ENOENT},
        {{412, ID, XML("PreconditionFailed"), 0}, EEXIST},
        {{400, ID, XML("ExpiredToken"), 0}, EACCES}, // these keys have no session
        {{301, ID, XML("PermanentRedirect"), 0}, EIO},
        {{404, "Server: nginx\r\n", "<html></html>", 0}, EPROTO},
        {{302, "Location: http://login.example/\r\n", "<html></html>", 0}, EPROTO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        fixture_start(&f, &failures[i].reply, 1);
        auto_reply struct s3_reply reply;
        assert_int_equal(get(&reply), -failures[i].errnum);
        assert_false(reply.is_in_doubt);
        assert_int_equal(script_request_count(f.script), 1);
        fixture_stop(&f);
    }
}

static void a_refused_connection_names_the_endpoint(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    struct s3_options options = {
        .bucket = "bkt",
        .region = "us-east-1",
        .endpoint = "http://127.0.0.1:1",
        .provider = f.provider,
        .http = f.http,
        .clock = &f.clock.clock,
    };
    struct s3_client *client = NULL;
    assert_int_equal(s3_client_new(&options, &client, &f.err), 0);
    atomic_store(&f.call.retries_left, 0);
    assert_int_equal(s3_client_probe(client, &f.call, "", &f.err), -EHOSTUNREACH);
    assert_non_null(strstr(f.err.text, "127.0.0.1:1 refused the connection"));
    s3_client_free(client);
    fixture_stop(&f);
}

static void a_cancelled_call_sends_nothing(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    call_cancel(&f.call);
    auto_reply struct s3_reply reply;
    assert_int_equal(get(&reply), -EINTR);
    assert_int_equal(script_request_count(f.script), 0);
    fixture_stop(&f);
}

// ---- another region -----------------------------------------------------------------------

static void another_region_is_learned(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        struct script_reply reply;
    } redirects[] = {
        {"GET", {301, ID "x-amz-bucket-region: eu-west-1\r\n", XML("PermanentRedirect"), 0}},
        {"GET", {307, ID "x-amz-bucket-region: eu-west-1\r\n", XML("TemporaryRedirect"), 0}},
        {"HEAD", {301, ID "x-amz-bucket-region: eu-west-1\r\n", NULL, 0}},
        {"HEAD", {400, ID "x-amz-bucket-region: eu-west-1\r\n", NULL, 0}},
        {"GET",
         {400, ID,
          "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", 0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(redirects); i++) {
        const struct script_reply replies[] = {
            redirects[i].reply, {200, ID, NULL, 0}, {200, ID, NULL, 0}};
        fixture_start(&f, replies, 3);
        struct s3_reply reply;
        if (get_with(redirects[i].method, &reply) < 0)
            fail_msg("case %zu: %s", i, f.err.text);
        assert_false(reply.is_in_doubt);
        s3_reply_done(&reply);
        assert_signed_with(0, "/us-east-1/s3/");
        assert_signed_with(1, "/eu-west-1/s3/");
        assert_string_equal(s3_client_region(f.client), "eu-west-1");
        assert_int_equal(get_with(redirects[i].method, &reply), 0); // and kept
        s3_reply_done(&reply);
        assert_signed_with(2, "/eu-west-1/s3/");
        assert_int_equal(atomic_load(&f.call.retries_made), 0);
        fixture_stop(&f);
    }
}

static void only_one_move_a_request(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {301, ID "x-amz-bucket-region: eu-west-1\r\n", XML("PermanentRedirect"), 0},
        {301, ID "x-amz-bucket-region: us-east-1\r\n", XML("PermanentRedirect"), 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    auto_reply struct s3_reply reply;
    assert_int_equal(get(&reply), -EIO);
    assert_non_null(strstr(f.err.text, "set region=us-east-1"));
    fixture_stop(&f);
}

// ---- expired credentials ------------------------------------------------------------------

static void expired_credentials_are_asked_for_again(void **state)
{
    (void)state;
    char *directory = test_directory();
    auto_free char *path =
        test_file(directory, "credentials",
                  "[default]\naws_access_key_id = ASIAOLD\naws_secret_access_key = s\n"
                  "aws_session_token = old\n");
    const struct test_variable variables[] = {
        {"AWS_SHARED_CREDENTIALS_FILE", path}, {"AWS_CONFIG_FILE", "/nonexistent"}, {NULL, NULL}};
    static const struct script_reply replies[] = {{400, ID, XML("ExpiredToken"), 0},
                                                  {200, ID, NULL, 0},
                                                  {400, ID, XML("ExpiredToken"), 0},
                                                  {400, ID, NULL, 0}};
    fixture_start_with(&f, replies, ARRAY_SIZE(replies), variables);
    free(test_file(directory, "credentials",
                   "[default]\naws_access_key_id = ASIANEW\naws_secret_access_key = s\n"
                   "aws_session_token = new\n"));
    struct s3_reply reply;
    assert_int_equal(get(&reply), 0);
    s3_reply_done(&reply);
    script_assert_header(f.script, 0, "x-amz-security-token", "old");
    script_assert_header(f.script, 1, "x-amz-security-token", "new");
    assert_signed_with(1, "Credential=ASIANEW/");
    // There are no newer ones: the refusal stands, HEAD's bare one too
    assert_int_equal(get(&reply), -EACCES);
    s3_reply_done(&reply);
    assert_non_null(strstr(f.err.text, "have expired"));
    assert_int_equal(get_with("HEAD", &reply), -EIO);
    s3_reply_done(&reply);
    assert_int_equal(script_request_count(f.script), 4);
    fixture_stop(&f);
    test_directory_remove(directory);
}

// ---- a clock that is off ------------------------------------------------------------------

#define LATER "Date: Fri, 24 May 2013 01:00:00 GMT\r\n"

static void a_skewed_clock_is_corrected(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {403, ID LATER, XML("RequestTimeTooSkewed"), 0},
        {200, ID LATER, NULL, 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    auto_reply struct s3_reply reply;
    assert_int_equal(get(&reply), 0);
    script_assert_header(f.script, 0, "x-amz-date", "20130524T000000Z");
    script_assert_header(f.script, 1, "x-amz-date", "20130524T010000Z");
    assert_int_equal(s3_client_clock_skew_ms(f.client), 3600 * 1000 + 500);
    assert_int_equal(atomic_load(&f.call.retries_made), 0);
    fixture_stop(&f);
}

static void a_bare_403_may_be_of_the_clock(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {403, ID LATER, NULL, 0}, {200, ID, NULL, 0}, {403, ID LATER, NULL, 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_reply reply;
    assert_int_equal(get_with("HEAD", &reply), 0);
    s3_reply_done(&reply);
    // The clock is right by now, so the next one is a refusal
    assert_int_equal(get_with("HEAD", &reply), -EACCES);
    s3_reply_done(&reply);
    fixture_stop(&f);
}

static void every_answer_tells_the_time(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        int64_t skew_ms;
    } answers[] = {
        {ID LATER, 3600 * 1000 + 500},
        {ID "Date: Fri, 24 May 2013 00:00:01 GMT\r\n", 0},
        {LATER, 0},                    // a proxy's
        {ID LATER "Age: 3600\r\n", 0}, // a cache's
        {ID "Date: nonsense\r\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        const struct script_reply replies[] = {{200, answers[i].headers, NULL, 0}};
        fixture_start(&f, replies, 1);
        auto_reply struct s3_reply reply;
        assert_int_equal(get(&reply), 0);
        assert_int_equal(s3_client_clock_skew_ms(f.client), answers[i].skew_ms);
        assert_int_equal(clock_now_ms(&f.clock.clock), TEST_NOW_MS + answers[i].skew_ms);
        fixture_stop(&f);
    }
}

// ---- secrets ------------------------------------------------------------------------------

static void no_sentence_holds_a_secret(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {403, ID,
         "<Error><Code>SignatureDoesNotMatch</Code><Message>m</Message><StringToSign>secret"
         "</StringToSign><SignatureProvided>sig</SignatureProvided></Error>",
         0}};
    fixture_start_with(&f, replies, ARRAY_SIZE(replies), session);
    auto_reply struct s3_reply reply;
    assert_int_equal(get(&reply), -EACCES);
    assert_null(strstr(f.err.text, "token/+="));
    assert_null(strstr(f.err.text, "Signature="));
    assert_null(strstr(f.err.text, "ASIATEST"));
    assert_null(strstr(f.err.text, "sig)"));
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_url_is_encoded_once),
        cmocka_unit_test(bodies),
        cmocka_unit_test(a_session_token_is_sent_and_signed),
        cmocka_unit_test(what_cannot_be_sent),
        cmocka_unit_test(what_a_later_try_may_mend),
        cmocka_unit_test(what_no_later_try_mends),
        cmocka_unit_test(a_refused_connection_names_the_endpoint),
        cmocka_unit_test(a_cancelled_call_sends_nothing),
        cmocka_unit_test(another_region_is_learned),
        cmocka_unit_test(only_one_move_a_request),
        cmocka_unit_test(expired_credentials_are_asked_for_again),
        cmocka_unit_test(a_skewed_clock_is_corrected),
        cmocka_unit_test(a_bare_403_may_be_of_the_clock),
        cmocka_unit_test(every_answer_tells_the_time),
        cmocka_unit_test(no_sentence_holds_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
