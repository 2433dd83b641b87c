#include "../base/test.h"
#include "corpus.h"

#include "base/json.h"
#include "registry/docker_config.h"

#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_login(const char *name, const char *host, const struct login *login,
                        const char *expected)
{
    auto_free char *is = NULL;
    if (login->user != NULL)
        assert_true(asprintf(&is, "%s:%s", login->user, secret_text(login->password)) > 0);
    if (is == NULL || expected == NULL ? is != expected : strcmp(is, expected) != 0)
        fail_msg("%s: %s has '%s', not '%s'", name, host, is == NULL ? "-" : is,
                 expected == NULL ? "-" : expected);
}

// What a key of "expect" and "helpers" names: HOST, or HOST/REPOSITORY.
static int parse(const char *text, size_t size, const char *place, struct docker_word *ret_word,
                 struct err *err)
{
    auto_free char *host = strndup(place, strcspn(place, "/"));
    const char *slash = strchr(place, '/');
    return registry_docker_config_parse(text, size, host, slash == NULL ? "app" : slash + 1,
                                        ret_word, err);
}

static void check_accept(const char *name, char *text, size_t size)
{
    struct err err = {0};
    auto_json json_t *document = json_document_parse(text, size, false, name, &err);
    json_t *expected = json_object_get(document, "expect");
    json_t *helpers = json_object_get(document, "helpers");
    const char *place;
    json_t *value;
    assert_true(json_object_size(expected) > 0);
    json_object_foreach(expected, place, value)
    {
        struct docker_word word = {0};
        if (parse(text, size, place, &word, &err) < 0)
            fail_msg("%s: %s", name, err.text);
        check_login(name, place, &word.login, json_string_value(value));
        const char *helper = json_document_text(helpers, place);
        if (strcmp(word.helper, helper == NULL ? "" : helper) != 0)
            fail_msg("%s: %s has the helper '%s'", name, place, word.helper);
        assert_int_equal(word.login.is_identity_token,
                         word.login.user != NULL && strcmp(word.login.user, "<token>") == 0);
        registry_login_done(&word.login);
    }
}

static void check_reject(const char *name, char *text, size_t size)
{
    struct docker_word word = {.helper = "untouched"};
    struct err err = {0};
    if (parse(text, size, "ghcr.io", &word, &err) != -EPROTO)
        fail_msg("%s is accepted", name);
    assert_string_equal(word.helper, "untouched");
}

static void parses(void **state)
{
    (void)state;
    corpus_replay("docker_config/accept", check_accept);
    corpus_replay("docker_config/reject", check_reject);
    registry_login_done(NULL);
}

// ---- files and the environment -----------------------------------------------------------------

static char directory[] = "/tmp/docker_config.XXXXXX";
static const char *github_token, *gh_token, *docker_config, *home, *auth_file, *run, *config_home;
static struct call call;

static const char *environment(const char *name)
{
    return strcmp(name, "GITHUB_TOKEN") == 0         ? github_token
           : strcmp(name, "GH_TOKEN") == 0           ? gh_token
           : strcmp(name, "DOCKER_CONFIG") == 0      ? docker_config
           : strcmp(name, "HOME") == 0               ? home
           : strcmp(name, "REGISTRY_AUTH_FILE") == 0 ? auth_file
           : strcmp(name, "XDG_RUNTIME_DIR") == 0    ? run
           : strcmp(name, "XDG_CONFIG_HOME") == 0    ? config_home
                                                     : NULL;
}

static int set_up(void **state)
{
    (void)state;
    github_token = gh_token = docker_config = home = auth_file = config_home = NULL;
    run = "/nonexistent"; // nothing here may look at whose machine this is
    call_init(&call, clock_system());
    return 0;
}

static char *write_config(const char *folder, const char *text)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, folder) > 0);
    mkdir(path, 0700);
    free(path);
    assert_true(asprintf(&path, "%s/%s/config.json", directory, folder) > 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void expect(const char *path, const char *host, const char *pair, const char *whose)
{
    struct docker_config *config;
    struct login login = {0};
    struct err err = {0};
    assert_int_equal(registry_docker_config_new(path, environment, &config, &err), 0);
    if (registry_docker_config_login(config, &call, host, "app", &login, &err) < 0)
        fail_msg("%s", err.text);
    check_login("environment", host, &login, pair);
    assert_string_equal(login.whose, whose);
    registry_login_done(&login);
    registry_docker_config_free(config);
}

static void takes_github_token_for_ghcr_alone(void **state)
{
    (void)state;
    expect(NULL, "ghcr.io", NULL, "none");
    gh_token = "second";
    expect(NULL, "ghcr.io", "x-access-token:second", "GH_TOKEN");
    github_token = "first";
    expect(NULL, "ghcr.io", "x-access-token:first", "GITHUB_TOKEN");
    expect(NULL, "quay.io", NULL, "none");
    expect(NULL, "ghcr.io:443", NULL, "none");
    github_token = "";
    expect(NULL, "ghcr.io", "x-access-token:second", "GH_TOKEN");
}

static void finds_the_file(void **state)
{
    (void)state;
    auto_free char *given =
        write_config("given", "{\"auths\":{\"a.b\":{\"auth\":\"Z2l2ZW46cA==\"}}}");
    auto_free char *named =
        write_config("named", "{\"auths\":{\"a.b\":{\"auth\":\"bmFtZWQ6cA==\"}}}");
    auto_free char *of_home =
        write_config(".docker", "{\"auths\":{\"a.b\":{\"auth\":\"aG9tZTpw\"}}}");
    auto_free char *named_directory = strndup(named, strlen(named) - strlen("/config.json"));
    home = directory;
    expect(NULL, "a.b", "home:p", of_home);
    docker_config = named_directory;
    expect(NULL, "a.b", "named:p", named);
    expect(given, "a.b", "given:p", given);
    docker_config = "/nonexistent";
    expect(NULL, "a.b", NULL, "none");
    expect("/dev/null/config.json", "a.b", NULL, "none");
    expect("/dev/null", "a.b", NULL, "none");
}

static void config_wins_over_the_environment(void **state)
{
    (void)state;
    auto_free char *path = write_config("both", "{\"auths\":{\"ghcr.io\":{\"auth\":\"dTpw\"}}}");
    github_token = "token";
    expect(path, "ghcr.io", "u:p", path);
}

static void podmans_files_are_looked_at_too(void **state)
{
    (void)state;
    auto_free char *docker =
        write_config(".docker", "{\"auths\":{\"a.b\":{\"auth\":\"ZG9ja2VyOnA=\"}}}");
    auto_free char *auth = write_config(
        "auth", "{\"auths\":{\"a.b\":{\"auth\":\"YXV0aDpw\"},\"c.d\":{\"auth\":\"YXV0aDpw\"}}}");
    auto_free char *folder = NULL, *in_run = NULL;
    assert_true(asprintf(&folder, "%s/containers", directory) > 0);
    mkdir(folder, 0700);
    assert_true(asprintf(&in_run, "%s/auth.json", folder) > 0);
    assert_int_equal(symlink(auth, in_run), 0);
    home = directory;
    run = directory;
    expect(NULL, "a.b", "docker:p", docker);
    expect(NULL, "c.d", "auth:p", in_run);
    auth_file = auth;
    expect(NULL, "a.b", "auth:p", auth);
    auth_file = NULL;
    run = "/nonexistent";
    expect(NULL, "c.d", NULL, "none");
    config_home = directory;
    expect(NULL, "c.d", "auth:p", in_run);
}

static void reads_the_file_anew(void **state)
{
    (void)state;
    struct docker_config *config;
    struct login login = {0};
    struct err err = {0};
    auto_free char *path = write_config("anew", "{\"auths\":{\"a.b\":{\"auth\":\"dTpw\"}}}");
    assert_int_equal(registry_docker_config_new(path, environment, &config, &err), 0);
    assert_int_equal(registry_docker_config_login(config, &call, "a.b", "app", &login, &err), 0);
    check_login("before", "a.b", &login, "u:p");
    registry_login_done(&login);
    free(write_config("anew", "{\"auths\":{\"a.b\":{\"auth\":\"dTpx\"}}}"));
    assert_int_equal(registry_docker_config_login(config, &call, "a.b", "app", &login, &err), 0);
    check_login("after", "a.b", &login, "u:q");
    registry_login_done(&login);
    registry_docker_config_free(config);
}

static void refuses_what_cannot_be_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"auths\":",
                                        "{\"auths\":{\"a.b\":{\"auth\":\"c2VjcmV0\"}}}"};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct docker_config *config;
        struct login login = {0};
        auto_free char *path = write_config("broken", texts[i]);
        assert_int_equal(registry_docker_config_new(path, environment, &config, &err), 0);
        assert_int_equal(registry_docker_config_login(config, &call, "a.b", "app", &login, &err),
                         -EACCES);
        assert_int_equal(err.errnum, EACCES);
        assert_non_null(strstr(err.text, path));
        assert_null(strstr(err.text, "secret"));
        registry_docker_config_free(config);
    }
    struct docker_config *config;
    struct login login = {0};
    assert_int_equal(registry_docker_config_new("/", environment, &config, &err), 0);
    assert_int_equal(registry_docker_config_login(config, &call, "a.b", "app", &login, &err),
                     -EACCES);
    registry_docker_config_free(config);
    registry_docker_config_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test_setup(takes_github_token_for_ghcr_alone, set_up),
        cmocka_unit_test_setup(finds_the_file, set_up),
        cmocka_unit_test_setup(config_wins_over_the_environment, set_up),
        cmocka_unit_test_setup(podmans_files_are_looked_at_too, set_up),
        cmocka_unit_test_setup(reads_the_file_anew, set_up),
        cmocka_unit_test_setup(refuses_what_cannot_be_read, set_up),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command) == 0 ? failures : 1; // NOLINT(concurrency-mt-unsafe,cert-env33-c)
}
