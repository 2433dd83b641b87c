// Redirects that are followed, those that are not, and what comes of failures.
#include "scripted_registry.h"

#include "registry/request.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>

// ---- redirects ---------------------------------------------------------------------------------

static char location[200];

static void redirect(const struct scripted_request *request, struct scripted_reply *reply)
{
    unsigned left = 0;
    if (strncmp(request->target, "/v2/", 4) == 0) {
        scripted_reply_text(reply, 307, "moved");
        scripted_reply_header(reply, "Location: %s", location);
    } else if (sscanf(request->target, "/hop/%u", &left) == 1 && left > 0) {
        scripted_reply_text(reply, left % 2 == 0 ? 302 : 308, "");
        scripted_reply_header(reply, "Location: %u", left - 1);
    } else {
        scripted_reply_text(reply, 200, "ok");
    }
}

static void a_redirect_elsewhere_takes_no_authorization_along(void **state)
{
    (void)state;
    char body[100];
    registry.answer = redirect;
    registry.asks_for = "Basic";
    registry.good_login = "user:password";
    scripted_registry_log_in("user:password");
    snprintf(location, sizeof(location), "http://%s/storage?signature=secret",
             scripted_server_authority(elsewhere));
    assert_int_equal(
        scripted_registry_get(&fixture.call, "a", "bytes=0-9", body, sizeof(body), &last_err), 0);
    assert_string_equal(scripted_server_line(server, 2),
                        "GET /v2/a/manifests/1 Basic dXNlcjpwYXNzd29yZA== bytes=0-9");
    assert_string_equal(scripted_server_line(elsewhere, 1),
                        "GET /storage?signature=secret  bytes=0-9");
}

static void a_redirect_on_the_same_origin_takes_it_along(void **state)
{
    (void)state;
    registry.answer = redirect;
    registry.asks_for = "Basic";
    registry.good_login = "user:password";
    scripted_registry_log_in("user:password");
    strcpy(location, "/hop/0");
    assert_get("a");
    assert_string_equal(scripted_server_line(server, 3), "GET /hop/0 Basic dXNlcjpwYXNzd29yZA== ");
}

static void come_back(const struct scripted_request *request, struct scripted_reply *reply)
{
    if (strcmp(request->target, "/back") == 0) {
        scripted_reply_text(reply, 302, "");
        scripted_reply_header(reply, "Location: http://%s/there",
                              scripted_server_authority(server));
    } else {
        redirect(request, reply);
    }
}

static void authorization_does_not_come_back_either(void **state)
{
    (void)state;
    registry.answer = come_back;
    registry.asks_for = "Basic";
    registry.good_login = "user:password";
    scripted_registry_log_in("user:password");
    snprintf(location, sizeof(location), "http://%s/back", scripted_server_authority(elsewhere));
    fixture.call.retries_left = 0;
    assert_int_equal(get("a"), -EACCES); // and what it is answered there is no challenge
    assert_told("the storage that");
    assert_string_equal(scripted_server_line(server, 3), "GET /there  ");
}

static void five_redirects_are_followed(void **state)
{
    (void)state;
    registry.answer = redirect;
    strcpy(location, "/hop/4");
    assert_get("a");
    strcpy(location, "/hop/5");
    assert_int_equal(get("a"), -EPROTO);
    assert_told("more than 5 times");
}

static void redirects_that_are_not_followed(void **state)
{
    (void)state;
    static const struct {
        const char *location;
        const char *words;
    } cases[] = {
        {"http://169.254.169.254/latest/meta-data/iam", "plain http"},
        {"https://169.254.169.254/latest/meta-data/iam", "link-local"},
        {"https://[fe80::1]/x?signature=secret", "link-local"},
        {"http://storage.example/x?signature=secret", "insecure_registry="},
        {"file:///etc/passwd", "where nothing can be"},
        {"http://user:secret@127.0.0.1/", "where nothing can be"},
    };
    registry.answer = redirect;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(location, sizeof(location), "%s", cases[i].location);
        assert_int_equal(get("a"), -EPROTO);
        assert_told(cases[i].words);
        assert_null(strstr(last_err.text, "secret"));
    }
}

static void go_nowhere(const struct scripted_request *request, struct scripted_reply *reply)
{
    (void)request;
    scripted_reply_text(reply, 307, "");
}

static void a_redirect_to_nowhere(void **state)
{
    (void)state;
    registry.answer = go_nowhere;
    assert_int_equal(get("a"), -EPROTO);
    assert_told("without saying where to");
}

static void refuse_link(const struct scripted_request *request, struct scripted_reply *reply)
{
    if (strncmp(request->target, "/v2/", 4) == 0) {
        redirect(request, reply);
        if (request->number == 1)
            scripted_reply_header(reply, "X: y");
    } else if (request->number <= 2) {
        scripted_reply_text(reply, 403, "<Error><Code>AccessDenied</Code></Error>");
    } else {
        scripted_reply_text(reply, 200, "ok");
    }
}

static void a_link_that_has_ended_is_asked_for_again(void **state)
{
    (void)state;
    registry.answer = refuse_link;
    snprintf(location, sizeof(location), "http://%s/storage", scripted_server_authority(elsewhere));
    assert_get("a");
    assert_count("GET /v2/", 3);
    assert_int_equal(fixture.told, 2);
}

// ---- failures ----------------------------------------------------------------------------------

static struct {
    int status;
    const char *headers;
    const char *body;
    unsigned count; // of requests that fail, from the first
} failure;

static void fail_some(const struct scripted_request *request, struct scripted_reply *reply)
{
    if (request->number > failure.count) {
        scripted_reply_text(reply, 200, "ok");
        return;
    }
    scripted_reply_text(reply, failure.status, failure.body);
    if (failure.headers != NULL)
        scripted_reply_header(reply, "%s", failure.headers);
}

static void what_a_retry_may_mend(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *headers;
        const char *body;
    } cases[] = {
        {500, NULL, ""},
        {502, NULL, "<html>"},
        {503, "Retry-After: 0", ""},
        {429, "Retry-After: 0", ""},
        {429, NULL,
         "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"retry-after: 880.092µs, "
         "allowed: 44000/minute\"}]}"},
        {403, NULL, "{\"message\":\"You have exceeded a secondary rate limit\"}"},
        {403, "Retry-After: 0", ""},
    };
    registry.answer = fail_some;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        failure.count = scripted_server_count(server, "") + 1;
        failure.status = cases[i].status;
        failure.headers = cases[i].headers;
        failure.body = cases[i].body;
        fixture.told = 0;
        fixture_new_call(&fixture);
        assert_get("a");
        assert_int_equal(fixture.told, 1);
    }
}

static void what_it_may_not(void **state)
{
    (void)state;
    static const struct {
        int status;
        int errnum;
        const char *body;
    } cases[] = {
        {404, ENOENT, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"},
        {410, ENOENT, ""},
        {400, EINVAL, "{\"errors\":[{\"code\":\"NAME_INVALID\",\"message\":\"x\"}]}"},
        {400, EPROTO, ""},
        {405, EPROTO, "{\"errors\":"},
        {418, EPROTO, "[]"},
        {451, EACCES, ""},
        {401, EACCES, ""}, // without a challenge
        {304, EPROTO, ""},
        {501, EIO, ""},
    };
    registry.answer = fail_some;
    failure.count = 0;
    assert_get("a"); // it speaks plain HTTP
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned before = scripted_server_count(server, "");
        failure.count = before + 100;
        failure.status = cases[i].status;
        failure.headers = NULL;
        failure.body = cases[i].body;
        if (get("a") != -cases[i].errnum)
            fail_msg("%d: %s", cases[i].status, last_err.text);
        assert_int_equal(last_err.http_status, cases[i].status);
        assert_false(last_err.is_retryable);
        assert_count("", before + 1);
    }
    assert_int_equal(fixture.told, 0);
}

static void attempts_are_counted(void **state)
{
    (void)state;
    registry.answer = fail_some;
    failure.count = 0;
    assert_get("a");
    failure.count = 1000;
    failure.status = 503;
    failure.headers = NULL;
    failure.body = "";
    fixture.call.retries_left = 3;
    assert_int_equal(get("a"), -EIO);
    assert_told("answers 503");
    assert_count("", 5);
}

static void answer_at_length(const struct scripted_request *request, struct scripted_reply *reply)
{
    static const char body[1024 * 1024] = "x"; // and NULs
    (void)request;
    reply->status = failure.status;
    reply->body = body;
    reply->body_size = sizeof(body);
}

static void long_bodies_are_cut(void **state)
{
    (void)state;
    registry.answer = answer_at_length;
    failure.status = 404;
    assert_int_equal(get("a"), -ENOENT);
    failure.status = 200;
    assert_int_equal(get("a"), -EFBIG);
}

// A server on loopback may speak TLS; that is tried where plain HTTP is not understood.
static void hang_up_once(const struct scripted_request *request, struct scripted_reply *reply)
{
    reply->hangs_up = request->number == 1;
    scripted_reply_text(reply, 200, "ok");
}

static void a_plain_server_that_stumbles_is_asked_in_plain_again(void **state)
{
    (void)state;
    registry.answer = hang_up_once;
    assert_get("a");
    assert_count("GET", 2);
}

static void a_cancelled_call_ends(void **state)
{
    (void)state;
    call_cancel(&fixture.call);
    assert_int_equal(get("a"), -EINTR);
}

static void nobody_is_there(void **state)
{
    (void)state;
    struct registry_reference reference = fixture_reference("127.0.0.1:1", "a:1");
    const struct registry_request request = {
        .method = "GET", .reference = &reference, .path = "manifests/1"};
    struct http_response response;
    struct err err = {0};
    fixture.call.retries_left = 1;
    assert_int_equal(
        registry_request_perform(fixture.client, &fixture.call, &request, &response, &err),
        -EHOSTUNREACH);
    assert_int_equal(fixture.told, 1);
    http_response_done(&response);
    registry_reference_done(&reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_redirect_elsewhere_takes_no_authorization_along),
        TEST(a_redirect_on_the_same_origin_takes_it_along),
        TEST(authorization_does_not_come_back_either),
        TEST(five_redirects_are_followed),
        TEST(redirects_that_are_not_followed),
        TEST(a_redirect_to_nowhere),
        TEST(a_link_that_has_ended_is_asked_for_again),
        TEST(what_a_retry_may_mend),
        TEST(what_it_may_not),
        TEST(attempts_are_counted),
        TEST(long_bodies_are_cut),
        TEST(a_plain_server_that_stumbles_is_asked_in_plain_again),
        TEST(a_cancelled_call_ends),
        TEST(nobody_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
