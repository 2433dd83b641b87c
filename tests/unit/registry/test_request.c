// How a registry is asked: challenges, tokens, refusals, redirects, retries. Against a server
// that does what no real one can be made to do.
#include "../base/test.h"
#include "fixture.h"
#include "scripted_server.h"

#include "registry/request.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- a registry with a token server ------------------------------------------------------------

static struct fixture fixture;
static struct scripted_server *server, *elsewhere;

// What the registry does; each test changes what it needs.
static struct {
    const char *asks_for;       // "Basic", "Bearer", NULL for nothing
    const char *scope;          // that its challenge names; NULL for the usual one
    const char *realm;          // NULL: its own
    const char *good_login;     // "user:password" that the token server takes; NULL for none
    bool takes_anonymous;       // the token server gives everybody a token
    bool refuses_login;         // the registry refuses tokens that were made for a login
    const char *token_body;     // what the token server answers instead; NULL for a token
    const char *odd_scope;      // tokens of another scope are refused
    unsigned tokens_valid_from; // tokens of a smaller number are refused
    int refusal;                // status of a refused token
    unsigned token_delay_ms;
    unsigned tokens;
    // Called for requests that are let in; NULL: 200 "ok"
    void (*answer)(const struct scripted_request *request, struct scripted_reply *reply);
} registry;

static struct {
    int status;
    const char *headers;
    const char *body;
    unsigned count; // of requests that fail, from the first
} failure;

static bool is_login(const char *authorization, const char *login)
{
    if (login == NULL)
        return false;
    auto_free char *base64 = digest_base64(login, strlen(login));
    return strncmp(authorization, "Basic ", 6) == 0 && strcmp(authorization + 6, base64) == 0;
}

static void answer_token(const struct scripted_request *request, struct scripted_reply *reply)
{
    static char body[200];
    bool has_login = request->authorization[0] != '\0';
    reply->delay_ms = registry.token_delay_ms;
    if (has_login ? !is_login(request->authorization, registry.good_login)
                  : !registry.takes_anonymous) {
        scripted_reply_text(reply, has_login ? 403 : 401,
                            "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"denied\"}]}");
        return;
    }
    bool is_odd = registry.odd_scope != NULL && strstr(request->target, registry.odd_scope) != NULL;
    snprintf(body, sizeof(body), "{\"token\":\"%s%s-%u\",\"expires_in\":100}", is_odd ? "odd-" : "",
             has_login ? "login" : "anonymous", ++registry.tokens);
    scripted_reply_text(reply, 200, registry.token_body != NULL ? registry.token_body : body);
}

static bool lets_in(const char *authorization)
{
    if (registry.asks_for == NULL)
        return true;
    if (strcmp(registry.asks_for, "Basic") == 0)
        return is_login(authorization, registry.good_login);
    const char *number = strrchr(authorization, '-');
    return strncmp(authorization, "Bearer ", 7) == 0 && number != NULL &&
           (registry.odd_scope == NULL || strstr(authorization, "odd-") != NULL) &&
           !(registry.refuses_login && strstr(authorization, "login") != NULL) &&
           strtoul(number + 1, NULL, 10) >= registry.tokens_valid_from;
}

static void challenge(const struct scripted_request *request, struct scripted_reply *reply)
{
    char repository[100] = "";
    sscanf(request->target, "/v2/%99[^/]", repository);
    const char *host = scripted_server_authority(server);
    scripted_reply_text(reply, registry.refusal,
                        "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"no\"}]}");
    if (registry.refusal != 401)
        return;
    if (strcmp(registry.asks_for, "Basic") == 0)
        scripted_reply_header(reply, "WWW-Authenticate: Basic realm=\"test\"");
    else if (registry.realm != NULL)
        scripted_reply_header(reply, "WWW-Authenticate: Bearer realm=\"%s\"", registry.realm);
    else if (registry.scope != NULL)
        scripted_reply_header(
            reply,
            "WWW-Authenticate: Bearer realm=\"http://%s/token\",service=\"a b\",scope=\"%s\"", host,
            registry.scope);
    else
        scripted_reply_header(reply,
                              "WWW-Authenticate: Bearer realm=\"http://%s/token\",service=\"a b\","
                              "scope=\"repository:%s:pull\"",
                              host, repository);
}

static void answer(void *context, const struct scripted_request *request,
                   struct scripted_reply *reply)
{
    (void)context;
    if (strncmp(request->target, "/token", 6) == 0)
        answer_token(request, reply);
    else if (!lets_in(request->authorization))
        challenge(request, reply);
    else if (registry.answer != NULL)
        registry.answer(request, reply);
    else
        scripted_reply_text(reply, 200, "ok");
}

static void answer_elsewhere(void *context, const struct scripted_request *request,
                             struct scripted_reply *reply)
{
    (void)context;
    (void)request;
    if (registry.answer != NULL)
        registry.answer(request, reply);
    else
        scripted_reply_text(reply, 200, "from elsewhere");
}

static int set_up(void **state)
{
    (void)state;
    memset(&registry, 0, sizeof(registry));
    memset(&failure, 0, sizeof(failure));
    registry.refusal = 401;
    server = scripted_server_new(answer, NULL);
    elsewhere = scripted_server_new(answer_elsewhere, NULL);
    fixture_start(&fixture, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_github_token = NULL;
    fixture_stop(&fixture);
    scripted_server_free(server);
    scripted_server_free(elsewhere);
    return 0;
}

static void log_in(const char *login)
{
    auto_free char *base64 = digest_base64(login, strlen(login));
    char config[400];
    snprintf(config, sizeof(config), "{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}",
             scripted_server_authority(server), base64);
    fixture_write_config(&fixture, config);
}

static struct err last_err;

// GETs REPOSITORY/manifests/1.
static int get_range(struct call *call, const char *repository, const char *range, char *ret_body,
                     size_t body_size, struct err *err)
{
    char path[200];
    snprintf(path, sizeof(path), "%s:1", repository);
    struct registry_reference reference =
        fixture_reference(scripted_server_authority(server), path);
    const struct registry_request request = {.method = "GET",
                                             .reference = &reference,
                                             .path = "manifests/1",
                                             .accept = "a/b",
                                             .range = range,
                                             .body_limit = 1000};
    struct http_response response;
    int status = registry_request_perform(fixture.client, call, &request, &response, err);
    snprintf(ret_body, body_size, "%s", buf_text(&response.body));
    http_response_done(&response);
    registry_reference_done(&reference);
    if (status < 0)
        assert_int_equal(err->errnum, -status);
    return status;
}

static int get(const char *repository)
{
    char body[1000];
    last_err = (struct err){0};
    int status = get_range(&fixture.call, repository, NULL, body, sizeof(body), &last_err);
    if (status == 0)
        assert_string_equal(body, "ok");
    return status;
}

#define assert_get(repository)                                                                     \
    do {                                                                                           \
        if (get(repository) != 0)                                                                  \
            fail_msg("%s: %s", repository, last_err.text);                                         \
    } while (0)
#define assert_told(words)                                                                         \
    do {                                                                                           \
        if (strstr(last_err.text, words) == NULL)                                                  \
            fail_msg("'%s' lacks '%s'", last_err.text, words);                                     \
    } while (0)
#define assert_count(beginning, count)                                                             \
    assert_int_equal(scripted_server_count(server, beginning), count)

// ---- authorization -----------------------------------------------------------------------------

static void an_open_registry_is_just_asked(void **state)
{
    (void)state;
    log_in("user:password");
    assert_get("a");
    assert_get("b");
    assert_count("", 2);
    assert_string_equal(scripted_server_line(server, 1), "GET /v2/a/manifests/1  ");
}

static void basic_is_learnt_once(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "user:pass:word";
    log_in("user:pass:word");
    assert_get("a");
    assert_get("a");
    assert_get("b");
    assert_count("", 4);
}

static void a_challenge_is_learnt_once(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_login = "user:password";
    log_in("user:password");
    assert_get("a");
    assert_get("a");
    assert_get("b");
    assert_count("GET /v2/", 4);
    assert_count("GET /token", 2);
    assert_string_equal(scripted_server_line(server, 2),
                        "GET /token?service=a%20b&scope=repository%3Aa%3Apull Basic "
                        "dXNlcjpwYXNzd29yZA== ");
    assert_string_equal(scripted_server_line(server, 3), "GET /v2/a/manifests/1 Bearer login-1 ");
}

static void tokens_come_under_two_names(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    registry.token_body = "{\"access_token\":\"x-7\"}";
    assert_get("a");
    registry.token_body = "{\"token\":\"\",\"access_token\":\"x-8\"}";
    assert_get("b");
    assert_string_equal(scripted_server_line(server, 5), "GET /v2/b/manifests/1 Bearer x-8 ");
}

static void tokens_are_renewed_before_they_end(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    assert_get("a");
    fixture_move_clock(70 * 1000); // of 100 s, less a quarter
    assert_get("a");
    assert_count("GET /token", 1);
    fixture_move_clock(10 * 1000);
    assert_get("a");
    assert_count("GET /token", 2);
    assert_count("GET /v2/", 4);                 // no request was refused for it
    registry.token_body = "{\"token\":\"x-9\"}"; // 60 s where the server says none
    assert_get("b");
    fixture_move_clock(44 * 1000);
    assert_get("b");
    assert_count("GET /token", 3);
    fixture_move_clock(2 * 1000);
    assert_get("b");
    assert_count("GET /token", 4);
}

static void a_token_that_is_refused_is_renewed_once(void **state)
{
    (void)state;
    static const int refusals[] = {401, 403};
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    assert_get("a");
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        registry.refusal = refusals[i];
        registry.tokens_valid_from = registry.tokens + 1;
        unsigned before = scripted_server_count(server, "");
        assert_get("a");
        assert_count("", before + 3);
    }
    registry.tokens_valid_from = 1000;
    unsigned before = scripted_server_count(server, "");
    assert_int_equal(get("a"), -EACCES);
    assert_count("", before + 3);
    assert_int_equal(last_err.http_status, 403);
    assert_string_equal(last_err.code, "UNAUTHORIZED");
}

static void another_scope_is_taken_over(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    registry.scope = "aws extra";
    registry.odd_scope = "scope=aws&scope=extra";
    assert_get("a");
    assert_count("GET /token", 2);
    fixture_move_clock(80 * 1000);
    assert_get("a"); // and kept
    assert_count("GET /token", 3);
    assert_count("GET /v2/", 4);
}

static void refused_credentials_give_way_to_none(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    log_in("user:expired");
    assert_get("public");
    assert_count("GET /token", 2);
    assert_int_equal(fixture.told, 1);
    assert_non_null(strstr(fixture.told_text, fixture.config));
    assert_null(strstr(fixture.told_text, "expired"));
    fixture_move_clock(80 * 1000);
    assert_get("public"); // the refused ones are not tried again
    assert_count("GET /token", 3);
    registry.good_login = "user:new";
    log_in("user:new");
    fixture_move_clock(80 * 1000);
    assert_get("public"); // but new ones are
    assert_string_equal(scripted_server_line(server, 8),
                        "GET /v2/public/manifests/1 Bearer login-3 ");
}

static void credentials_that_do_not_help_give_way_to_none(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    registry.good_login = "user:password";
    registry.refuses_login = true;
    log_in("user:password");
    assert_get("public");
    assert_count("GET /token", 2);
    assert_int_equal(fixture.told, 1);
}

static void a_refused_token_is_told_from_a_missing_image(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.tokens_valid_from = 1000; // none is ever good enough
    assert_int_equal(get("nobody"), -EACCES);
    assert_told("there are none for 127.0.0.1");
    assert_told("DENIED (denied)");

    log_in("user:wrong");
    assert_int_equal(get("wrong"), -EACCES);
    assert_told("are refused, and without them");
    assert_told(fixture.config);

    registry.good_login = "user:right";
    log_in("user:right");
    assert_int_equal(get("right"), -EACCES);
    assert_told("it does not exist, or the credentials");
    assert_null(strstr(last_err.text, "refused"));

    registry.takes_anonymous = true;
    assert_int_equal(get("right2"), -EACCES);
    assert_told("it does not exist, or the credentials");
    assert_null(strstr(last_err.text, "right\""));
    // They may be granted later: nothing of the refusal sticks.
    registry.tokens_valid_from = 0;
    assert_get("right2");
    assert_get("right");
}

static void basic_credentials_that_are_refused(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "user:good";
    assert_int_equal(get("a"), -EACCES);
    assert_told("there are none");
    log_in("user:bad");
    assert_int_equal(get("b"), -EACCES);
    assert_told("are refused");
    assert_null(strstr(last_err.text, "bad"));
    log_in("user:good");
    assert_get("b");
    assert_get("a");
}

static void words_that_repeat_a_secret_are_left_out(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_login = "user:hunter2";
    log_in("user:hunter2");
    registry.token_body = "{\"errors\":[]}";
    assert_int_equal(get("a"), -EPROTO);
    assert_told("without a token");
    registry.token_body = "{\"token\":\"a\\r\\nX-Evil: 1\"}";
    assert_int_equal(get("a"), -EPROTO);
    registry.token_body = "{\"token\":\"a b\"}";
    assert_int_equal(get("a"), -EPROTO);
    registry.token_body = "<html>";
    assert_int_equal(get("a"), -EPROTO);
}

static void echo_secrets(const struct scripted_request *request, struct scripted_reply *reply)
{
    static char body[500];
    snprintf(body, sizeof(body),
             "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"you sent %s, with hunter2\"}]}",
             request->authorization);
    scripted_reply_text(reply, 404, body);
}

static void a_registry_that_echoes_secrets_is_not_quoted(void **state)
{
    (void)state;
    registry.answer = echo_secrets;
    registry.asks_for = "Basic";
    registry.good_login = "user:hunter2";
    log_in("user:hunter2");
    assert_int_equal(get("a"), -ENOENT);
    assert_null(strstr(last_err.text, "hunter2"));
    assert_null(strstr(last_err.text, "Basic"));
    assert_told("404 UNKNOWN");
    registry.asks_for = "Bearer";
    assert_int_equal(get("b"), -ENOENT);
    assert_null(strstr(last_err.text, "login-"));
}

static void token_servers_that_may_not_be_asked(void **state)
{
    (void)state;
    static const struct {
        const char *realm;
        const char *words;
    } cases[] = {
        {"http://169.254.169.254/latest/meta-data/", "link-local"},
        {"https://[fe80::1]/token?secret=1", "link-local"},
        {"http://auth.example/token", "plain http"},
        {"ftp://auth.example/token", "no http or https URL"},
        {"/token", "no http or https URL"},
        {"http://user:password@127.0.0.1/token", "no http or https URL"},
    };
    registry.asks_for = "Bearer";
    log_in("user:password");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        registry.realm = cases[i].realm;
        assert_int_equal(get("a"), -EPROTO);
        assert_told(cases[i].words);
        assert_null(strstr(last_err.text, "secret"));
        assert_null(strstr(last_err.text, "password"));
        fixture_stop(&fixture); // it has learnt the realm
        fixture_start(&fixture, NULL);
    }
}

static void only_allowed_hosts_are_asked(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    fixture.allowed_hosts[0] = "ghcr.io";
    fixture_start(&fixture, NULL);
    assert_int_equal(get("a"), -EACCES);
    assert_told("registries=");
    assert_count("", 0);
    fixture_stop(&fixture);
    fixture.allowed_hosts[0] = scripted_server_authority(server);
    fixture_start(&fixture, NULL);
    assert_get("a");
}

// ---- many at once ------------------------------------------------------------------------------

enum { CROWD = 20 };

struct member {
    pthread_t thread;
    struct call call;
    char repository[16];
    int status;
    struct err err;
};

static void *run_member(void *context)
{
    struct member *member = context;
    char body[100];
    member->status =
        get_range(&member->call, member->repository, NULL, body, sizeof(body), &member->err);
    return NULL;
}

static void start_crowd(struct member crowd[CROWD], bool has_own_repositories)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct member){0};
        call_init(&crowd[i].call, clock_system());
        snprintf(crowd[i].repository, sizeof(crowd[i].repository), "r%d",
                 has_own_repositories ? i : 0);
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, run_member, &crowd[i]), 0);
    }
}

static void a_crowd_asks_once(void **state)
{
    (void)state;
    struct member crowd[CROWD];
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    registry.token_delay_ms = 50;
    start_crowd(crowd, false);
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_int_equal(crowd[i].status, 0);
    }
    assert_count("GET /token", 1);
    assert_count("GET /v2/", CROWD + 1); // one challenge
}

static void a_crowd_of_repositories_asks_once_each(void **state)
{
    (void)state;
    struct member crowd[CROWD];
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    start_crowd(crowd, true);
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_int_equal(crowd[i].status, 0);
    }
    assert_count("GET /token", CROWD);
    assert_count("GET /v2/", CROWD + 1);
}

static void a_crowd_shares_a_refusal(void **state)
{
    (void)state;
    struct member crowd[CROWD];
    registry.asks_for = "Bearer";
    registry.token_delay_ms = 200;
    start_crowd(crowd, false);
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_int_equal(crowd[i].status, -EACCES);
        assert_non_null(strstr(crowd[i].err.text, "DENIED"));
    }
    assert_true(scripted_server_count(server, "GET /token") <= 3);
}

static void who_is_cancelled_leaves_the_rest_to_others(void **state)
{
    (void)state;
    struct member crowd[CROWD];
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    registry.token_delay_ms = 300;
    start_crowd(crowd, false);
    while (scripted_server_count(server, "GET /token") == 0)
        ;
    for (int i = 0; i < CROWD - 1; i++) // the one who asks is among them, or all but it
        call_cancel(&crowd[i].call);
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        if (i < CROWD - 1 && crowd[i].status != 0)
            assert_int_equal(crowd[i].status, -EINTR);
    }
    assert_int_equal(crowd[CROWD - 1].status, 0);
}

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
    log_in("user:password");
    snprintf(location, sizeof(location), "http://%s/storage?signature=secret",
             scripted_server_authority(elsewhere));
    assert_int_equal(get_range(&fixture.call, "a", "bytes=0-9", body, sizeof(body), &last_err), 0);
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
    log_in("user:password");
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
    log_in("user:password");
    snprintf(location, sizeof(location), "http://%s/back", scripted_server_authority(elsewhere));
    get("a");
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
        strcpy(location, cases[i].location);
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

static void fail_some(const struct scripted_request *request, struct scripted_reply *reply)
{
    if (request->number > failure.count) {
        scripted_reply_text(reply, 200, "ok");
        return;
    }
    reply->hangs_up = failure.status == 0;
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
        const char *body;
        int errnum;
    } cases[] = {
        {404, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}", ENOENT},
        {410, "", ENOENT},
        {400, "{\"errors\":[{\"code\":\"NAME_INVALID\",\"message\":\"x\"}]}", EINVAL},
        {400, "", EPROTO},
        {405, "{\"errors\":", EPROTO},
        {418, "[]", EPROTO},
        {451, "", EACCES},
        {401, "", EACCES}, // without a challenge
        {304, "", EPROTO},
        {501, "", EIO},
    };
    registry.answer = fail_some;
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
    static char body[1024 * 1024];
    (void)request;
    memset(body, 'x', sizeof(body));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_registry_is_just_asked),
        TEST(basic_is_learnt_once),
        TEST(a_challenge_is_learnt_once),
        TEST(tokens_come_under_two_names),
        TEST(tokens_are_renewed_before_they_end),
        TEST(a_token_that_is_refused_is_renewed_once),
        TEST(another_scope_is_taken_over),
        TEST(refused_credentials_give_way_to_none),
        TEST(credentials_that_do_not_help_give_way_to_none),
        TEST(a_refused_token_is_told_from_a_missing_image),
        TEST(basic_credentials_that_are_refused),
        TEST(words_that_repeat_a_secret_are_left_out),
        TEST(a_registry_that_echoes_secrets_is_not_quoted),
        TEST(token_servers_that_may_not_be_asked),
        TEST(only_allowed_hosts_are_asked),
        TEST(a_crowd_asks_once),
        TEST(a_crowd_of_repositories_asks_once_each),
        TEST(a_crowd_shares_a_refusal),
        TEST(who_is_cancelled_leaves_the_rest_to_others),
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
