#include "grant.h"

#include "answer.h"
#include "exchange.h"

#include "base/json.h"
#include "base/scope.h"
#include "base/url.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_LIMIT = 16 * 1024 };

void registry_grant_done(struct grant *grant)
{
    if (grant == NULL)
        return;
    secret_free(grant->authorization);
    *grant = (struct grant){0};
}

static struct login_mark mark_of(const struct login *login)
{
    struct login_mark mark = {.is_set = login->user != NULL};
    if (!mark.is_set)
        return mark;
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, login->user, strlen(login->user) + 1);
    sha256_update(&sha, secret_text(login->password), secret_size(login->password));
    sha256_final(&sha, mark.sha256);
    return mark;
}

static bool is_same_login(const struct login_mark *a, const struct login_mark *b)
{
    return a->is_set && b->is_set && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

static struct secret *basic_authorization(const struct login *login)
{
    AUTO(secret_scope)
    struct secret *pair = secret_join(login->user, ":", secret_text(login->password), NULL);
    if (pair == NULL)
        return NULL;
    char *base64 = digest_base64(secret_text(pair), secret_size(pair));
    if (base64 == NULL)
        return NULL;
    struct secret *authorization = secret_join("Basic ", base64, NULL);
    secret_wipe(base64, strlen(base64));
    free(base64);
    return authorization;
}

int registry_grant_refused_err(struct err *err, const struct host *host, const char *whose,
                               bool was_refused)
{
    const struct err answer = *err;
    if (was_refused)
        err_set(err, EACCES,
                "the credentials for %s (%s) are refused, and without them it may not be read or "
                "does not exist: %.300s",
                host->name, whose, answer.text);
    else if (whose[0] == '\0' || strncmp(whose, "none", 4) == 0)
        err_set(err, EACCES,
                "it does not exist, or may not be read without credentials, and there are none for "
                "%s%s (docker login %s makes some%s): %.300s",
                host->name, whose[0] == '\0' ? whose : whose + 4, host->name,
                strcmp(host->name, "ghcr.io") == 0 ? ", or GITHUB_TOKEN" : "", answer.text);
    else
        err_set(err, EACCES,
                "it does not exist, or the credentials for %s (%s) may not read it%s: %.300s",
                host->name, whose,
                strcmp(host->name, "ghcr.io") == 0
                    ? " (a token needs read:packages, and its owner or repository access to it)"
                    : "",
                answer.text);
    err->http_status = answer.http_status;
    memcpy(err->code, answer.code, sizeof(err->code));
    return -EACCES;
}

// ---- the token server --------------------------------------------------------------------------

struct token_server {
    char *realm;
    char *service; // NULL where the challenge named none
};

static void token_server_done(struct token_server *server)
{
    free(server->realm);
    free(server->service);
}

// Where the challenge sent us. The registry chooses it, so it is looked at: credentials go there.
static int check_realm(struct registry_client *client, const struct host *host, const char *realm,
                       struct err *err)
{
    AUTO(url_done) struct url url = {0};
    int status = url_parse(realm, &url, err);
    const char *reason = NULL;
    if (status == -ENOMEM)
        return status;
    if (status < 0)
        reason = "which is no http or https URL";
    else if (url_host_is_link_local(url.host))
        reason = "which is a link-local address";
    else if (strcmp(url.scheme, "http") == 0 &&
             (!host_speech_is_plain(registry_host_speech(client, host)) ||
              !registry_client_may_speak_plain(client, url.host, url.port)))
        reason = "where credentials would travel over plain http";
    if (reason == NULL)
        return 0;
    char shown[200];
    return err_set(err, EPROTO, "%s names %s as its token server, %s", host->name,
                   url_without_query(realm, shown, sizeof(shown)), reason);
}

static void append_parameter(struct buf *url, const char *name, const char *value, size_t size)
{
    bool has_query = strchr(buf_text(url), '?') != NULL;
    buf_append_char(url, has_query ? '&' : '?');
    buf_append_text(url, name);
    buf_append_char(url, '=');
    url_encode(url, value, size, false);
}

// GET REALM?service=...&scope=..., each scope of a list by itself.
static char *token_url(const struct token_server *server, const char *scope)
{
    auto_buf struct buf url = BUF_INIT(URL_LIMIT);
    buf_append_text(&url, server->realm);
    if (server->service != NULL)
        append_parameter(&url, "service", server->service, strlen(server->service));
    for (const char *c = scope; *c != '\0';) {
        size_t size = strcspn(c, " ");
        if (size > 0)
            append_parameter(&url, "scope", c, size);
        c += size + strspn(c + size, " ");
    }
    return buf_take(&url);
}

static bool is_token(const char *token)
{
    size_t size = 0;
    while (token[size] > ' ' && token[size] <= '~' && size <= GRANT_TOKEN_MAX)
        size++;
    return size > 0 && size <= GRANT_TOKEN_MAX && token[size] == '\0';
}

static int64_t usable_ms(const json_t *expires_in)
{
    double seconds = json_number_value(expires_in); // 0 where it is no number
    int64_t lifetime_ms = GRANT_TOKEN_LIFETIME_MS;
    if (isfinite(seconds) && seconds >= 1)
        lifetime_ms = seconds * 1000 < GRANT_TOKEN_LIFETIME_MAX_MS ? (int64_t)(seconds * 1000)
                                                                   : GRANT_TOKEN_LIFETIME_MAX_MS;
    int64_t quarter = lifetime_ms / 4;
    return lifetime_ms - (quarter < GRANT_MARGIN_MS ? quarter : GRANT_MARGIN_MS);
}

static int read_token(const struct http_response *response, const char *host,
                      struct grant *ret_grant, struct err *err)
{
    auto_json json_t *answer = json_document_parse(buf_text(&response->body), response->body.size,
                                                   false, "its answer", err);
    if (answer == NULL)
        return err_wrap(err, "token server %s", host);
    const char *token = json_document_text(answer, "token");
    if (token == NULL || token[0] == '\0')
        token = json_document_text(answer, "access_token");
    if (token == NULL || !is_token(token))
        return err_set(err, EPROTO, "token server %s answers without a token", host);
    ret_grant->authorization = secret_join("Bearer ", token, NULL);
    ret_grant->lifetime_ms = usable_ms(json_object_get(answer, "expires_in"));
    return ret_grant->authorization == NULL ? err_no_memory(err) : 0;
}

// grant_type=refresh_token&..., as OAuth 2.0 has it. Holds the token: wipe it.
static int build_refresh_form(const struct token_server *server, const char *scope,
                              const struct login *login, struct buf *form, struct err *err)
{
    buf_append_text(form, "grant_type=refresh_token&client_id=prereleasefs&service=");
    if (server->service != NULL)
        url_encode(form, server->service, strlen(server->service), false);
    buf_append_text(form, "&scope=");
    url_encode(form, scope, strlen(scope), false);
    buf_append_text(form, "&refresh_token=");
    url_encode(form, secret_text(login->password), secret_size(login->password), false);
    return form->is_full ? err_set(err, EACCES, "the identity token is too long") : 0;
}

static int send_question(struct registry_client *client, struct call *call,
                         const struct exchange *exchange, struct grant *ret_grant, struct err *err)
{
    auto_http_response struct http_response response = {0};
    struct exchange_end end;
    int status = registry_exchange(client, call, exchange, &response, &end, err);
    if (status < 0)
        err_wrap(err, "the token server of the registry");
    else if (response.status != 200)
        status = registry_answer_err(&response, end.host, exchange->authorization,
                                     clock_now_ms(client->clock), err);
    else
        status = read_token(&response, end.host, ret_grant, err);
    if (response.body.bytes != NULL)
        secret_wipe(response.body.bytes, response.body.size);
    // That the token server itself is not there says nothing of the image.
    if (status == -ENOENT && strcmp(err->code, "NAME_UNKNOWN") != 0)
        err->errnum = EPROTO;
    return status < 0 ? -err->errnum : 0;
}

// An identity token that has ended is refused with a 400, "invalid_grant".
static int ask_with_identity(struct registry_client *client, struct call *call,
                             const struct token_server *server, const char *scope,
                             const struct login *login, struct grant *ret_grant, struct err *err)
{
    auto_buf struct buf form = BUF_INIT(2 * GRANT_TOKEN_MAX);
    static const struct http_header headers[] = {
        {"Accept", "application/json"},
        {"Content-Type", "application/x-www-form-urlencoded"},
    };
    int status = build_refresh_form(server, scope, login, &form, err);
    if (status == 0) {
        const struct http_piece body = {form.bytes, form.size};
        const struct exchange exchange = {
            .method = "POST",
            .url = server->realm,
            .headers = headers,
            .header_count = ARRAY_SIZE(headers),
            .body = &body,
            .body_limit = GRANT_ANSWER_LIMIT,
        };
        status = send_question(client, call, &exchange, ret_grant, err);
    }
    if (form.bytes != NULL)
        secret_wipe(form.bytes, form.size);
    if (status < 0 && err->http_status == 400) {
        err->errnum = EACCES;
        status = -EACCES;
    }
    return status;
}

// With the login, or anonymously where it is NULL. One attempt: who wants the token retries.
static int ask(struct registry_client *client, struct call *call, const struct token_server *server,
               const char *scope, const struct login *login, struct grant *ret_grant,
               struct err *err)
{
    if (login != NULL && login->is_identity_token)
        return ask_with_identity(client, call, server, scope, login, ret_grant, err);
    auto_secret struct secret *authorization = NULL;
    auto_free char *url = token_url(server, scope);
    if (url == NULL || (login != NULL && (authorization = basic_authorization(login)) == NULL))
        return err_no_memory(err);
    const struct exchange exchange = {
        .method = "GET",
        .url = url,
        .authorization = authorization,
        .headers = &(const struct http_header){"Accept", "application/json"},
        .header_count = 1,
        .body_limit = GRANT_ANSWER_LIMIT,
    };
    return send_question(client, call, &exchange, ret_grant, err);
}

// ---- obtaining ---------------------------------------------------------------------------------

static int find_server(struct registry_client *client, const struct host *host,
                       struct token_server *ret_server, struct err *err)
{
    pthread_mutex_lock(&client->lock);
    const char *realm = host->learnt.realm, *service = host->learnt.service;
    ret_server->realm = realm == NULL ? NULL : strdup(realm);
    ret_server->service = service == NULL ? NULL : strdup(service);
    bool is_whole = ret_server->realm != NULL && (service == NULL || ret_server->service != NULL);
    pthread_mutex_unlock(&client->lock);
    return is_whole ? check_realm(client, host, ret_server->realm, err) : err_no_memory(err);
}

static int obtain_bearer(struct registry_client *client, struct call *call, struct host *host,
                         const char *repository, const char *scope, const struct login *login,
                         struct grant *grant, struct err *err)
{
    AUTO(token_server_done) struct token_server server = {0};
    auto_free char *own_scope = NULL;
    if (asprintf(&own_scope, "repository:%s:pull", repository) < 0) {
        own_scope = NULL;
        return err_no_memory(err);
    }
    int status = find_server(client, host, &server, err);
    if (status < 0)
        return status;
    if (scope == NULL)
        scope = own_scope;
    if (grant->login.is_set) {
        status = ask(client, call, &server, scope, login, grant, err);
        if (status != -EACCES)
            return status;
        grant->refused = grant->login;
        grant->refused.is_wrong = true;
        grant->login.is_set = false;
        err_wrap(err, "the credentials for %s (%s) are refused", host->name, grant->whose);
        call_notice(call, err);
    }
    status = ask(client, call, &server, scope, NULL, grant, err);
    return status == -EACCES
               ? registry_grant_refused_err(err, host, grant->whose, grant->refused.is_wrong)
               : status;
}

int registry_grant_obtain(struct registry_client *client, struct call *call, struct host *host,
                          const char *repository, const char *scope,
                          const struct login_mark *refused, struct grant *ret_grant,
                          struct err *err)
{
    AUTO(registry_login_done) struct login login = {0};
    struct grant grant = {.lifetime_ms = GRANT_BASIC_LIFETIME_MS};
    int status = registry_docker_config_login(client->docker_config, call, host->name, repository,
                                              &login, err);
    if (status < 0)
        return status;
    grant.login = mark_of(&login);
    memcpy(grant.whose, login.whose, sizeof(grant.whose));
    if (is_same_login(&grant.login, refused)) {
        grant.refused = *refused;
        grant.login.is_set = false;
    }
    pthread_mutex_lock(&client->lock);
    enum host_asks_for asks_for = host->learnt.asks_for;
    pthread_mutex_unlock(&client->lock);
    if (asks_for == HOST_ASKS_BEARER) {
        status = obtain_bearer(client, call, host, repository, scope, &login, &grant, err);
    } else if (grant.login.is_set && login.is_identity_token) {
        status = err_set(err, EACCES,
                         "the credentials for %s (%s) are an identity token, which only a token "
                         "server takes, and it asks for a user and a password",
                         host->name, login.whose);
    } else if (grant.login.is_set) {
        grant.authorization = basic_authorization(&login);
        status = grant.authorization == NULL ? err_no_memory(err) : 0;
    }
    if (status < 0) {
        registry_grant_done(&grant);
        return status;
    }
    *ret_grant = grant;
    return 0;
}
