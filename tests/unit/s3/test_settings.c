// Where region, endpoints and CA bundle come from, and what goes before what.

#include "base/scope.h"
#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CONFIG                                                                                     \
    "[default]\nregion = config-1\nca_bundle = /ca\n"                                              \
    "[profile local]\nservices = here\nendpoint_url = http://profile\n"                            \
    "[profile global]\nendpoint_url = http://profile\n"                                            \
    "[profile ignoring]\nendpoint_url = http://profile\n"                                          \
    "ignore_configured_endpoint_urls = TRUE\n"                                                     \
    "[profile both]\nregion = config-2\n"                                                          \
    "[services here]\ns3 =\n  endpoint_url = http://services-s3\n"
#define CREDENTIALS "[both]\nregion = credentials-1\n[only]\nregion = credentials-2\n"

enum { VARIABLES_MAX = 4 };

static const struct {
    const char *profile;
    struct test_variable variables[VARIABLES_MAX];
    const char *region;
    const char *s3;
    const char *sts;
    const char *ca_bundle;
} cases[] = {
    {NULL, {{0}}, "config-1", NULL, NULL, "/ca"},
    {NULL, {{"AWS_REGION", "r1"}, {"AWS_DEFAULT_REGION", "r2"}}, "r1", NULL, NULL, "/ca"},
    {NULL, {{"AWS_DEFAULT_REGION", "r2"}, {"AWS_REGION", ""}}, "r2", NULL, NULL, "/ca"},
    {NULL, {{"AWS_CA_BUNDLE", "/other"}}, "config-1", NULL, NULL, "/other"},
    {NULL, {{"AWS_PROFILE", "both"}}, "credentials-1", NULL, NULL, NULL},
    {NULL, {{"AWS_DEFAULT_PROFILE", "only"}}, "credentials-2", NULL, NULL, NULL},
    {"only", {{"AWS_PROFILE", "both"}}, "credentials-2", NULL, NULL, NULL},
    {"nobody", {{0}}, NULL, NULL, NULL, NULL},
    // Endpoints: the service's variable, the general one, the services section, the profile
    {"local", {{0}}, NULL, "http://services-s3", "http://profile", NULL},
    {"global", {{0}}, NULL, "http://profile", "http://profile", NULL},
    {"local", {{"AWS_ENDPOINT_URL", "http://e"}}, NULL, "http://e", "http://e", NULL},
    {"local",
     {{"AWS_ENDPOINT_URL", "http://e"}, {"AWS_ENDPOINT_URL_S3", "http://e3"}},
     NULL,
     "http://e3",
     "http://e",
     NULL},
    {"local",
     {{"AWS_ENDPOINT_URL_STS", "http://es"}},
     NULL,
     "http://services-s3",
     "http://es",
     NULL},
    {"ignoring", {{"AWS_ENDPOINT_URL", "http://e"}}, NULL, NULL, NULL, NULL},
    {"ignoring",
     {{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"}},
     NULL,
     "http://profile",
     "http://profile",
     NULL},
    {"local", {{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}}, NULL, NULL, NULL, NULL},
};

static void assert_same(size_t i, const char *what, const char *value, const char *expected)
{
    if (!value != !expected || (value && strcmp(value, expected) != 0))
        fail_msg("case %zu: %s is %s, not %s", i, what, value, expected);
}

static void precedence(void **state)
{
    (void)state;
    char *directory = test_directory();
    auto_free char *config = test_file(directory, "config", CONFIG);
    auto_free char *credentials = test_file(directory, "credentials", CREDENTIALS);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test_variable variables[VARIABLES_MAX + 3] = {
            {"AWS_CONFIG_FILE", config}, {"AWS_SHARED_CREDENTIALS_FILE", credentials}};
        memcpy(variables + 2, cases[i].variables, sizeof(cases[i].variables));
        struct s3_environment environment = test_environment(variables);
        struct s3_settings settings = {0};
        struct err err = {0};
        assert_int_equal(s3_settings_read(cases[i].profile, &environment, &settings, &err), 0);
        assert_same(i, "region", settings.region, cases[i].region);
        assert_same(i, "s3_endpoint", settings.s3_endpoint, cases[i].s3);
        assert_same(i, "sts_endpoint", settings.sts_endpoint, cases[i].sts);
        assert_same(i, "ca_bundle", settings.ca_bundle, cases[i].ca_bundle);
        s3_settings_done(&settings);
    }
    test_directory_remove(directory);
}

static void a_file_that_cannot_be_parsed_is_named(void **state)
{
    (void)state;
    char *directory = test_directory();
    auto_free char *config = test_file(directory, "config", "[default]\nregion\n");
    struct test_variable variables[] = {
        {"AWS_CONFIG_FILE", config}, {"AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"}, {0}};
    struct s3_environment environment = test_environment(variables);
    struct s3_settings settings = {.region = (char *)"untouched"};
    struct err err = {0};
    assert_int_equal(s3_settings_read(NULL, &environment, &settings, &err), -EINVAL);
    assert_non_null(strstr(err.text, config));
    assert_non_null(strstr(err.text, "line 2"));
    assert_string_equal(settings.region, "untouched");
    test_directory_remove(directory);
}

static void files_are_found_below_home(void **state)
{
    (void)state;
    char *directory = test_directory();
    free(test_file(directory, "my-config", "[default]\nregion = home-1\n"));
    struct test_variable variables[] = {
        {"HOME", directory}, {"AWS_CONFIG_FILE", "~/my-config"}, {0}};
    struct s3_environment environment = test_environment(variables);
    struct s3_settings settings = {0};
    struct err err = {0};
    assert_int_equal(s3_settings_read(NULL, &environment, &settings, &err), 0);
    assert_string_equal(settings.region, "home-1");
    s3_settings_done(&settings);
    test_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precedence),
        cmocka_unit_test(a_file_that_cannot_be_parsed_is_named),
        cmocka_unit_test(files_are_found_below_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
