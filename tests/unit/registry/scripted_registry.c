#include "scripted_registry.h"

#include "registry/request.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture fixture;
struct scripted_server *server, *elsewhere;
struct scripted_registry registry;
struct err last_err;

static bool is_login(const char *authorization, const char *login)
{
    if (login == NULL)
        return false;
    auto_free char *base64 = digest_base64(login, strlen(login));
    return strncmp(authorization, "Basic ", 6) == 0 && strcmp(authorization + 6, base64) == 0;
}

// OAuth 2.0: grant_type=refresh_token.
static void answer_identity(const struct scripted_request *request, struct scripted_reply *reply)
{
    static char body[200];
    auto_free char *expected = NULL;
    assert_true(asprintf(&expected,
                         "grant_type=refresh_token&client_id=prereleasefs&service=a%%20b"
                         "&scope=repository%%3Aapp%%3Apull&refresh_token=%s",
                         registry.good_identity) > 0);
    if (registry.good_identity == NULL || strcmp(request->body, expected) != 0) {
        scripted_reply_text(reply, 400, "{\"error\":\"invalid_grant\"}");
        return;
    }
    snprintf(body, sizeof(body), "{\"access_token\":\"login-%u\",\"expires_in\":100}",
             ++registry.tokens);
    scripted_reply_text(reply, 200, body);
}

static void answer_token(const struct scripted_request *request, struct scripted_reply *reply)
{
    static char body[200];
    bool has_login = request->authorization[0] != '\0';
    reply->delay_ms = registry.token_delay_ms;
    if (strcmp(request->method, "POST") == 0) {
        answer_identity(request, reply);
        return;
    }
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

int scripted_registry_set_up(void **state)
{
    (void)state;
    memset(&registry, 0, sizeof(registry));
    registry.refusal = 401;
    server = scripted_server_new(answer, NULL);
    elsewhere = scripted_server_new(answer_elsewhere, NULL);
    fixture_start(&fixture, NULL);
    return 0;
}

int scripted_registry_tear_down(void **state)
{
    (void)state;
    fixture_github_token = NULL;
    fixture_stop(&fixture);
    scripted_server_free(server);
    scripted_server_free(elsewhere);
    return 0;
}

void scripted_registry_log_in(const char *login)
{
    auto_free char *base64 = digest_base64(login, strlen(login));
    char config[400];
    snprintf(config, sizeof(config), "{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}",
             scripted_server_authority(server), base64);
    fixture_write_config(&fixture, config);
}

// GETs REPOSITORY/manifests/1.
int scripted_registry_get(struct call *call, const char *repository, const char *range,
                          char *ret_body, size_t body_size, struct err *err)
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

int get(const char *repository)
{
    char body[1000];
    last_err = (struct err){0};
    int status =
        scripted_registry_get(&fixture.call, repository, NULL, body, sizeof(body), &last_err);
    if (status == 0)
        assert_string_equal(body, "ok");
    return status;
}
