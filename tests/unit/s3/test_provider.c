// Which source gives the credentials, what is said where none does, and how they are renewed.

#include "s3/provider.h"

#include "base/scope.h"
#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CREDENTIALS                                                                                \
    "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = filesecret\n"                \
    "[session]\naws_access_key_id = ASIA\naws_secret_access_key = s\naws_session_token = t/=\n"    \
    "[old]\naws_access_key_id = ASIA\naws_secret_access_key = s\naws_security_token = old\n"       \
    "[half]\naws_access_key_id = AKIDHALF\n"                                                       \
    "[split]\nregion = x\n"
#define CONFIG                                                                                     \
    "[profile split]\naws_access_key_id = AKIDCONFIG\naws_secret_access_key = configsecret\n"      \
    "[profile none]\nregion = x\n"

enum { VARIABLES_MAX = 5 };

static const struct {
    const char *profile;
    struct test_variable variables[VARIABLES_MAX];
    const char *access_key; // or ...
    int errnum;
    const char *sentence; // ... a piece of it
    const char *secret_key;
    const char *token;
} cases[] = {
    {NULL, {{0}}, "AKIDFILE", 0, NULL, "filesecret", NULL},
    {NULL,
     {{"AWS_ACCESS_KEY_ID", "AKIDENV"}, {"AWS_SECRET_ACCESS_KEY", "e"}},
     "AKIDENV",
     0,
     NULL,
     "e",
     NULL},
    {NULL,
     {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "e"}, {"AWS_SESSION_TOKEN", "t"}},
     "A",
     0,
     NULL,
     "e",
     "t"},
    {NULL,
     {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "e"}, {"AWS_SECURITY_TOKEN", "t"}},
     "A",
     0,
     NULL,
     "e",
     "t"},
    // AWS_PROFILE does not go before the keys; a profile that was asked for by name does
    {NULL,
     {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "e"}, {"AWS_PROFILE", "split"}},
     "A",
     0,
     NULL,
     "e",
     NULL},
    {"split",
     {{"AWS_ACCESS_KEY_ID", "A"}, {"AWS_SECRET_ACCESS_KEY", "e"}},
     "AKIDCONFIG",
     0,
     NULL,
     "configsecret",
     NULL},
    {NULL, {{"AWS_PROFILE", "session"}}, "ASIA", 0, NULL, "s", "t/="},
    {NULL, {{"AWS_DEFAULT_PROFILE", "old"}}, "ASIA", 0, NULL, "s", "old"},
    {NULL, {{"AWS_ACCESS_KEY_ID", "A"}}, NULL, EACCES, "AWS_SECRET_ACCESS_KEY is not", NULL, NULL},
    {"half", {{0}}, NULL, EACCES, "no aws_secret_access_key", NULL, NULL},
    {"none", {{0}}, NULL, EACCES, "profile \"none\" has no aws_access_key_id", NULL, NULL},
    {"nobody", {{0}}, NULL, EACCES, "there is no profile \"nobody\"", NULL, NULL},
    {NULL, {{"AWS_PROFILE", "nobody"}}, NULL, EACCES, "there is no profile \"nobody\"", NULL, NULL},
};

struct place {
    char *directory;
    char *config;
    char *credentials;
    struct test_variable variables[VARIABLES_MAX + 4];
    struct s3_environment environment;
    struct test_clock clock;
    struct call call;
};

static void place_init(struct place *place, const struct test_variable *variables, size_t count)
{
    memset(place, 0, sizeof(*place));
    place->directory = test_directory();
    place->config = test_file(place->directory, "config", CONFIG);
    place->credentials = test_file(place->directory, "credentials", CREDENTIALS);
    place->variables[0] = (struct test_variable){"AWS_CONFIG_FILE", place->config};
    place->variables[1] = (struct test_variable){"AWS_SHARED_CREDENTIALS_FILE", place->credentials};
    place->variables[2] = (struct test_variable){"AWS_EC2_METADATA_DISABLED", "true"};
    if (count > 0)
        memcpy(place->variables + 3, variables, count * sizeof(variables[0]));
    place->environment = test_environment(place->variables);
    test_clock_init(&place->clock, TEST_NOW_MS);
    call_init(&place->call, &place->clock.clock);
}

static void place_done(struct place *place)
{
    free(place->config);
    free(place->credentials);
    test_directory_remove(place->directory);
}

static int provider_at(struct place *place, const char *profile, struct s3_provider **ret_provider,
                       struct err *err)
{
    struct s3_provider_options options = {
        .profile = profile,
        .environment = &place->environment,
        .clock = &place->clock.clock,
    };
    return s3_provider_new(&options, &place->call, ret_provider, err);
}

static void sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct place place;
        place_init(&place, cases[i].variables, VARIABLES_MAX);
        struct s3_provider *provider = NULL;
        struct err err = {0};
        int r = provider_at(&place, cases[i].profile, &provider, &err);
        print_message("case %zu: %s\n", i, err.text);
        assert_int_equal(r, -cases[i].errnum);
        if (r < 0) {
            assert_null(provider);
            assert_non_null(strstr(err.text, cases[i].sentence));
        } else {
            auto_credentials struct s3_credentials *credentials = NULL;
            assert_int_equal(s3_provider_get(provider, &place.call, &credentials, &err), 0);
            assert_string_equal(s3_credentials_access_key(credentials), cases[i].access_key);
            assert_string_equal(secret_text(s3_credentials_secret_key(credentials)),
                                cases[i].secret_key);
            assert_string_equal(secret_text(s3_credentials_session_token(credentials)),
                                cases[i].token ? cases[i].token : "");
        }
        s3_provider_free(provider);
        place_done(&place);
    }
}

static void nothing_anywhere(const char *profile, char ret_sentence[ERR_TEXT_SIZE])
{
    static const struct test_variable variables[] = {
        {"HOME", "/nonexistent"}, {"AWS_EC2_METADATA_DISABLED", "true"}, {0}};
    struct s3_environment environment = test_environment(variables);
    struct s3_provider_options options = {
        .profile = profile, .environment = &environment, .clock = clock_system()};
    struct s3_provider *provider = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, clock_system());
    assert_int_equal(s3_provider_new(&options, &call, &provider, &err), -EACCES);
    snprintf(ret_sentence, ERR_TEXT_SIZE, "%s", err.text);
}

static void nothing_anywhere_names_every_place(void **state)
{
    (void)state;
    char sentence[ERR_TEXT_SIZE];
    nothing_anywhere(NULL, sentence);
    assert_string_equal(
        sentence, "no AWS credentials: sign in as for the AWS CLI, or name a profile (profile=, "
                  "AWS_PROFILE); AWS_ACCESS_KEY_ID is not set; there is no web identity "
                  "(AWS_WEB_IDENTITY_TOKEN_FILE); "
                  "/nonexistent/.aws/credentials: No such file or directory; "
                  "/nonexistent/.aws/config: No such file or directory; "
                  "there is no container's role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, "
                  "_FULL_URI); AWS_EC2_METADATA_DISABLED is true");
}

static void a_profile_that_was_asked_for_is_named_where_there_are_no_files(void **state)
{
    (void)state;
    char sentence[ERR_TEXT_SIZE];
    nothing_anywhere("nobody", sentence);
    assert_non_null(strstr(sentence, "there is no profile \"nobody\" in /nonexistent/.aws"));
}

static void an_unreadable_file_is_an_error_with_its_line(void **state)
{
    (void)state;
    struct place place;
    place_init(&place, NULL, 0);
    free(test_file(place.directory, "credentials", "[default]\nnonsense\n"));
    struct s3_provider *provider = NULL;
    struct err err = {0};
    assert_int_equal(provider_at(&place, NULL, &provider, &err), -EINVAL);
    assert_non_null(strstr(err.text, "credentials line 2"));
    place_done(&place);
}

static void no_sentence_holds_a_secret(void **state)
{
    (void)state;
    struct place place;
    place_init(&place, NULL, 0);
    free(test_file(place.directory, "credentials",
                   "[default]\naws_secret_access_key = topsecret\naws_session_token topsecret\n"));
    struct s3_provider *provider = NULL;
    struct err err = {0};
    assert_int_equal(provider_at(&place, NULL, &provider, &err), -EINVAL);
    assert_null(strstr(err.text, "topsecret"));
    place_done(&place);
}

// ---- renewal ------------------------------------------------------------------------------

static void a_rewritten_file_replaces_what_the_server_refuses(void **state)
{
    (void)state;
    struct place place;
    place_init(&place, NULL, 0);
    struct s3_provider *provider = NULL;
    struct err err = {0};
    assert_int_equal(provider_at(&place, "session", &provider, &err), 0);
    auto_credentials struct s3_credentials *first = NULL;
    assert_int_equal(s3_provider_get(provider, &place.call, &first, &err), 0);
    assert_false(s3_provider_replace(provider, &place.call, first)); // nobody has written new ones
    free(test_file(place.directory, "credentials",
                   "[session]\naws_access_key_id = ASIB\naws_secret_access_key = s\n"
                   "aws_session_token = fresh\n"));
    assert_true(s3_provider_replace(provider, &place.call, first));
    auto_credentials struct s3_credentials *second = NULL;
    assert_int_equal(s3_provider_get(provider, &place.call, &second, &err), 0);
    assert_string_equal(s3_credentials_access_key(second), "ASIB");
    // Somebody else who was refused with the first finds the second there
    assert_true(s3_provider_replace(provider, &place.call, first));
    free(test_file(place.directory, "credentials", "nonsense"));
    assert_false(s3_provider_replace(provider, &place.call, second));
    s3_provider_free(provider);
    place_done(&place);
}

static void the_environment_is_never_asked_again(void **state)
{
    (void)state;
    static const struct test_variable variables[] = {
        {"AWS_ACCESS_KEY_ID", "ASIA"},
        {"AWS_SECRET_ACCESS_KEY", "s"},
        {"AWS_SESSION_TOKEN", "t"},
        {"AWS_CREDENTIAL_EXPIRATION", "2013-05-24T00:10:00Z"},
    };
    struct place place;
    place_init(&place, variables, ARRAY_SIZE(variables));
    struct s3_provider *provider = NULL;
    struct err err = {0};
    assert_int_equal(provider_at(&place, NULL, &provider, &err), 0);
    auto_credentials struct s3_credentials *first = NULL;
    assert_int_equal(s3_provider_get(provider, &place.call, &first, &err), 0);
    assert_int_equal(s3_credentials_expires_ms(first), TEST_NOW_MS + 600 * 1000);
    place.clock.machine_ms += 3600 * 1000;
    auto_credentials struct s3_credentials *second = NULL;
    assert_int_equal(s3_provider_get(provider, &place.call, &second, &err), 0);
    assert_ptr_equal(first, second);
    assert_false(s3_provider_replace(provider, &place.call, first));
    s3_provider_free(provider);
    place_done(&place);
}

static void credentials_are_equal_by_value(void **state)
{
    (void)state;
    auto_secret struct secret *one = secret_from_text("one");
    auto_secret struct secret *two = secret_from_text("two");
    auto_credentials struct s3_credentials *a = s3_credentials_new("A", one, NULL, INT64_MAX);
    auto_credentials struct s3_credentials *b = s3_credentials_new("A", one, NULL, 5);
    auto_credentials struct s3_credentials *c = s3_credentials_new("A", two, NULL, INT64_MAX);
    auto_credentials struct s3_credentials *d = s3_credentials_new("A", one, two, INT64_MAX);
    auto_credentials struct s3_credentials *e = s3_credentials_new("B", one, NULL, INT64_MAX);
    assert_true(s3_credentials_equal(a, b));
    assert_false(s3_credentials_equal(a, c));
    assert_false(s3_credentials_equal(a, d));
    assert_false(s3_credentials_equal(a, e));
    assert_false(s3_credentials_equal(a, NULL));
    assert_true(s3_credentials_equal(NULL, NULL));
    assert_int_equal(s3_credentials_expires_ms(b), 5);
    assert_ptr_equal(s3_credentials_ref(a), a);
    s3_credentials_unref(a);
    s3_credentials_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources),
        cmocka_unit_test(nothing_anywhere_names_every_place),
        cmocka_unit_test(a_profile_that_was_asked_for_is_named_where_there_are_no_files),
        cmocka_unit_test(an_unreadable_file_is_an_error_with_its_line),
        cmocka_unit_test(no_sentence_holds_a_secret),
        cmocka_unit_test(a_rewritten_file_replaces_what_the_server_refuses),
        cmocka_unit_test(the_environment_is_never_asked_again),
        cmocka_unit_test(credentials_are_equal_by_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
