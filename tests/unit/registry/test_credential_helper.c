// docker-credential-*: what they are asked, what their answers mean, and what becomes of failures.
// The helpers are scripts of this test's own: they speak the protocol and hold nothing.

#include "../base/test.h"
#include "scripted_registry.h"

#include "registry/credential_helper.h"
#include "registry/docker_config.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/credential_helper.XXXXXX";

// docker-credential-NAME, first in PATH. It keeps what it was asked in the file NAME.
static void write_helper(const char *name, const char *script)
{
    auto_free char *path = NULL;
    assert_true(asprintf(&path, "%s/docker-credential-%s", directory, name) > 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n{ echo \"$*\"; cat; } >%s/%s\n%s\n", directory, name, script);
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
}

static void read_asked(const char *name, char ret_text[200])
{
    auto_free char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    ret_text[fread(ret_text, 1, 199, file)] = '\0';
    fclose(file);
}

static int ask(const char *name, const char *host, struct login *login, struct err *err)
{
    struct call call;
    call_init(&call, clock_system());
    return registry_credential_helper_ask(name, host, &call, login, err);
}

static void a_helper_is_asked_for_a_server(void **state)
{
    (void)state;
    write_helper("good", "echo '{\"ServerURL\":\"x\",\"Username\":\"AWS\",\"Secret\":\"p:w\"}'");
    struct login login = {0};
    struct err err = {0};
    char asked[200];
    assert_int_equal(ask("good", "1.dkr.ecr.eu-west-1.amazonaws.com", &login, &err), 0);
    assert_string_equal(login.user, "AWS");
    assert_string_equal(secret_text(login.password), "p:w");
    assert_string_equal(login.whose, "docker-credential-good");
    assert_false(login.is_identity_token);
    read_asked("good", asked);
    assert_string_equal(asked, "get\n1.dkr.ecr.eu-west-1.amazonaws.com");
    registry_login_done(&login);
    assert_int_equal(ask("good", "docker.io", &login, &err), 0);
    read_asked("good", asked);
    assert_string_equal(asked, "get\nhttps://index.docker.io/v1/");
    registry_login_done(&login);
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        const char *user;     // NULL: none
        const char *sentence; // of the failure, NULL for none
    } cases[] = {
        {"echo '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'", "<token>", NULL},
        {"echo '{\"Username\":\"\",\"Secret\":\"\"}'", NULL, NULL},
        {"echo credentials not found in native keychain; exit 1", NULL, NULL},
        {"echo no credentials server URL; exit 1", NULL, NULL},
        {"echo pass is not initialized; exit 1", NULL,
         "the credential helper for a.b: docker-credential-odd: it failed with status 1"},
        {"echo '{\"Username\":\"topsecret\"}'", NULL, "docker-credential-odd: its answer lacks"},
        {"echo '{\"Secret\":\"topsecret\"}'", NULL, "its answer lacks Username or Secret"},
        {"echo topsecret", NULL, "its answer is no JSON that can be read"},
        {"kill -9 $$", NULL, "docker-credential-odd: signal KILL ended it"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_helper("odd", cases[i].script);
        struct login login = {0};
        struct err err = {0};
        assert_int_equal(ask("odd", "a.b", &login, &err), cases[i].sentence == NULL ? 0 : -EACCES);
        assert_null(strstr(err.text, "topsecret"));
        if (cases[i].sentence != NULL && strstr(err.text, cases[i].sentence) == NULL)
            fail_msg("'%s' lacks '%s'", err.text, cases[i].sentence);
        if (cases[i].user == NULL)
            assert_null(login.user);
        else
            assert_string_equal(login.user, cases[i].user);
        assert_int_equal(login.is_identity_token, cases[i].user != NULL);
        registry_login_done(&login);
    }
}

static void a_helper_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct login login = {0};
    struct err err = {0};
    assert_int_equal(ask("nowhere", "a.b", &login, &err), -EACCES);
    assert_string_equal(err.text, "the credential helper for a.b: docker-credential-nowhere: there "
                                  "is no program of that name in PATH");
}

// ---- on the way to a registry -----------------------------------------------------------------

// The registry's name goes in between.
static void write_config(const char *before, const char *after)
{
    char config[400];
    snprintf(config, sizeof(config), "%s%s%s", before, scripted_server_authority(server), after);
    fixture_write_config(&fixture, config);
}

static void basic_by_a_helper(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "AWS:password";
    write_helper("ecr", "echo '{\"Username\":\"AWS\",\"Secret\":\"password\"}'");
    write_config("{\"credHelpers\":{\"", "\":\"ecr\"}}");
    assert_get("app");
}

static void a_store_that_holds_nothing_leaves_it_to_the_file(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "u:p";
    write_helper("empty", "echo credentials not found in native keychain; exit 1");
    write_config("{\"credsStore\":\"empty\",\"auths\":{\"", "\":{\"auth\":\"dTpw\"}}}");
    assert_get("app");
}

static void a_broken_helper_matters_where_nothing_else_is_there(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "u:p";
    write_helper("broken", "exit 2");
    write_config("{\"credsStore\":\"broken\",\"auths\":{\"", "\":{\"auth\":\"dTpw\"}}}");
    assert_get("app");
    write_config("{\"credHelpers\":{\"", "\":\"broken\"}}");
    fixture_move_clock(3600 * 1000);
    assert_int_equal(get("app"), -EACCES);
    assert_told("docker-credential-broken: it failed with status 2");
    assert_told("config.json");
}

static void an_identity_token_is_exchanged(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_identity = "refresh";
    write_config("{\"auths\":{\"", "\":{\"auth\":\"MDAwMDA6\",\"identitytoken\":\"refresh\"}}}");
    assert_get("app");
    assert_count("POST /token ", 1);
    assert_count("GET /token", 0);
    write_helper("acr", "echo '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'");
    write_config("{\"credHelpers\":{\"", "\":\"acr\"}}");
    fixture_move_clock(3600 * 1000);
    assert_get("app");
    assert_count("POST /token ", 2);
}

static void an_identity_token_that_has_ended_gives_way_to_none(void **state)
{
    (void)state;
    registry.asks_for = "Bearer";
    registry.good_identity = "fresh";
    registry.takes_anonymous = true;
    write_config("{\"auths\":{\"", "\":{\"identitytoken\":\"stale\"}}}");
    assert_get("app");
    assert_int_equal(fixture.told, 1);
    assert_non_null(strstr(fixture.told_text, "are refused"));
    assert_null(strstr(fixture.told_text, "stale"));
}

static void an_identity_token_is_of_no_use_to_basic(void **state)
{
    (void)state;
    registry.asks_for = "Basic";
    registry.good_login = "u:p";
    write_config("{\"auths\":{\"", "\":{\"identitytoken\":\"refresh\"}}}");
    assert_int_equal(get("app"), -EACCES);
    assert_told("are an identity token, which only a token server takes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helper_is_asked_for_a_server),
        cmocka_unit_test(answers),
        cmocka_unit_test(a_helper_that_is_not_there_is_named),
        TEST(basic_by_a_helper),
        TEST(a_store_that_holds_nothing_leaves_it_to_the_file),
        TEST(a_broken_helper_matters_where_nothing_else_is_there),
        TEST(an_identity_token_is_exchanged),
        TEST(an_identity_token_that_has_ended_gives_way_to_none),
        TEST(an_identity_token_is_of_no_use_to_basic),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    auto_free char *path = NULL;
    if (asprintf(&path, "%s:%s", directory, getenv("PATH")) < 0) // NOLINT(concurrency-mt-unsafe)
        return 1;
    setenv("PATH", path, 1); // NOLINT(concurrency-mt-unsafe): no thread runs yet
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command) == 0 ? failures : 1; // NOLINT(concurrency-mt-unsafe,cert-env33-c)
}
