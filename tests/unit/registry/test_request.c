// How a registry is asked: challenges, tokens, refusals, many at once.
#include "scripted_registry.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

// ---- authorization -----------------------------------------------------------------------------

static void an_open_registry_is_just_asked(void **state)
{
    (void)state;
    scripted_registry_log_in("user:password");
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
    scripted_registry_log_in("user:pass:word");
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
    scripted_registry_log_in("user:password");
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
    scripted_registry_log_in("user:expired");
    assert_get("public");
    assert_count("GET /token", 2);
    assert_int_equal(fixture.told, 1);
    assert_non_null(strstr(fixture.told_text, fixture.config));
    assert_null(strstr(fixture.told_text, "expired"));
    fixture_move_clock(80 * 1000);
    assert_get("public"); // the refused ones are not tried again
    assert_count("GET /token", 3);
    registry.good_login = "user:new";
    scripted_registry_log_in("user:new");
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
    scripted_registry_log_in("user:password");
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

    scripted_registry_log_in("user:wrong");
    assert_int_equal(get("wrong"), -EACCES);
    assert_told("are refused, and without them");
    assert_told(fixture.config);

    registry.good_login = "user:right";
    scripted_registry_log_in("user:right");
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
    scripted_registry_log_in("user:bad");
    assert_int_equal(get("b"), -EACCES);
    assert_told("are refused");
    assert_null(strstr(last_err.text, "bad"));
    scripted_registry_log_in("user:good");
    assert_get("b");
    assert_get("a");
}

static void words_that_repeat_a_secret_are_left_out(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_login = "user:hunter2";
    scripted_registry_log_in("user:hunter2");
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
    scripted_registry_log_in("user:hunter2");
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
    scripted_registry_log_in("user:password");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        registry.realm = cases[i].realm;
        assert_int_equal(get("a"), -EPROTO);
        assert_told(cases[i].words);
        assert_null(strstr(last_err.text, "secret"));
        assert_null(strstr(last_err.text, "password"));
    }
}

// The registry is asked anew for one, rather than once for all.
static void a_token_server_that_has_moved_is_found(void **state)
{
    (void)state;
    static const char *const wrong[] = {"http://169.254.169.254/token", "http://127.0.0.1:1/token"};
    registry.asks_for = "Bearer";
    registry.takes_anonymous = true;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        registry.realm = wrong[i];
        assert_true(get("a") < 0);
        registry.realm = NULL;
        assert_get("a");
        assert_get("b");
        fixture_stop(&fixture); // it has learnt the right one
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
    member->status = scripted_registry_get(&member->call, member->repository, NULL, body,
                                           sizeof(body), &member->err);
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
        TEST(a_token_server_that_has_moved_is_found),
        TEST(only_allowed_hosts_are_asked),
        TEST(a_crowd_asks_once),
        TEST(a_crowd_of_repositories_asks_once_each),
        TEST(a_crowd_shares_a_refusal),
        TEST(who_is_cancelled_leaves_the_rest_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
