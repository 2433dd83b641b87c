#include "credential_helper.h"

#include "base/child.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// What all helpers say, with a status, where they hold nothing for a server.
static const char *const not_found[] = {
    "credentials not found in native keychain",
    "no credentials server URL",
    "no credentials username",
};

static bool says_not_found(const struct child_result *result)
{
    for (size_t i = 0; i < sizeof(not_found) / sizeof(not_found[0]); i++)
        if (strncmp(result->output, not_found[i], strlen(not_found[i])) == 0)
            return true;
    return false;
}

static int read_answer(const struct child_result *result, struct login *login, struct err *err)
{
    json_document_setup();
    auto_json json_t *answer =
        json_document_parse(result->output, result->output_size, false, "its answer", err);
    if (answer == NULL)
        return -err->errnum;
    const char *user = json_document_text(answer, "Username");
    const char *secret = json_document_text(answer, "Secret");
    if (user == NULL || secret == NULL)
        return err_set(err, EPROTO, "its answer lacks Username or Secret");
    if (user[0] == '\0') // anonymous, says ecr-login of public registries
        return 0;
    if (registry_login_set(login, user, strlen(user), secret, strlen(secret)) < 0)
        return err_no_memory(err);
    login->is_identity_token = strcmp(user, DOCKER_TOKEN_USER) == 0;
    return 0;
}

int registry_credential_helper_ask(const char *name, const char *host, struct call *call,
                                   struct login *ret_login, struct err *err)
{
    char program[sizeof("docker-credential-") + DOCKER_HELPER_SIZE];
    snprintf(program, sizeof(program), "docker-credential-%s", name);
    const char *const arguments[] = {program, "get", NULL};
    const struct child child = {
        .arguments = arguments,
        .input = registry_docker_server(host),
        .timeout_ms = CREDENTIAL_HELPER_TIMEOUT_MS,
    };
    auto_child_result struct child_result result = {0};
    struct login login = {0};
    int status = child_run(&child, call, &result, err);
    if (status == 0 && result.exit_status == 0)
        status = read_answer(&result, &login, err);
    else if (status == 0 && !says_not_found(&result))
        status = err_set(err, EACCES,
                         "it failed with status %d (log_level=debug shows what it wrote to its "
                         "standard error)",
                         result.exit_status);
    if (status < 0) {
        if (strncmp(err->text, program, strlen(program)) != 0)
            err_wrap(err, "%s", program);
        if (err->errnum != EINTR && err->errnum != ENOMEM)
            err->errnum = EACCES;
        return err_wrap(err, "the credential helper for %s", host);
    }
    snprintf(login.whose, sizeof(login.whose), "%s", program);
    *ret_login = login;
    return 0;
}
