#include "request.h"

#include "answer.h"
#include "exchange.h"
#include "host.h"
#include "token.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Without a token; with one of the scope we thought; with one of the scope it wants; anonymously.
enum { ROUNDS_MAX = 4 };

struct round {
    struct registry_client *client;
    struct call *call;
    const struct registry_request *request;
    struct host *host;
    struct token_use use;
    struct http_response *response;
    struct exchange_end end;
};

// What a TLS server says to plain HTTP: Go's net/http, then nginx and Apache.
static bool wants_tls(const struct http_response *response)
{
    const char *body = buf_text(&response->body);
    return response->status == 400 && (strstr(body, "HTTP request to an HTTPS server") != NULL ||
                                       strstr(body, "plain HTTP") != NULL);
}

static int explain_failure(struct round *round, enum host_speech speech, struct err *err)
{
    if (round->end.has_answered) {
        registry_host_answered(round->client, round->host, speech);
    } else if (registry_host_failed(round->client, round->host, speech, err)) {
        err->is_retryable = true;
        err->retry_after_ms = -1;
    } else if (registry_host_has_no_tls(err)) {
        char text[ERR_TEXT_SIZE];
        memcpy(text, err->text, sizeof(text));
        return err_set(err, EPROTO,
                       "%.500s; if this registry speaks plain HTTP only, the mount's option "
                       "insecure_registry=%s lets it be asked so",
                       text, round->host->name);
    }
    return -err->errnum;
}

static int send(struct round *round, struct err *err)
{
    const struct registry_request *request = round->request;
    auto_free char *path = NULL;
    auto_free char *url = NULL;
    enum host_speech speech = registry_host_speech(round->client, round->host);
    if (asprintf(&path, "%s/%s", request->reference->repository, request->path) < 0) {
        path = NULL;
        return err_no_memory(err);
    }
    url = registry_host_url(round->host, speech, path);
    if (url == NULL)
        return err_no_memory(err);
    struct http_header headers[2];
    size_t header_count = 0;
    if (request->accept != NULL)
        headers[header_count++] = (struct http_header){"Accept", request->accept};
    if (request->range != NULL)
        headers[header_count++] = (struct http_header){"Range", request->range};
    const struct exchange exchange = {
        .method = request->method,
        .url = url,
        .authorization = round->use.authorization,
        .headers = headers,
        .header_count = header_count,
        .body_limit = request->body_limit,
        .stays = request->stays,
        .wants_bytes = request->wants_bytes,
        .on_bytes = request->on_bytes,
        .context = request->context,
    };
    int status =
        registry_exchange(round->client, round->call, &exchange, round->response, &round->end, err);
    if (status < 0)
        return explain_failure(round, speech, err);
    if (host_speech_is_plain(speech) && wants_tls(round->response)) {
        registry_host_wants_tls(round->client, round->host);
        err_set(err, EIO, "%s speaks TLS only", round->host->name);
        err->is_retryable = true;
        return -EIO;
    }
    registry_host_answered(round->client, round->host, speech);
    return 0;
}

// All WWW-Authenticate headers of an answer as one list: they may come in one line or in several.
// Those that break the grammar are passed over. -ENOMEM.
static int read_challenges(const struct http_response *response, struct challenges *challenges)
{
    const char *name = response->headers;
    while (name != NULL && *name != '\0') {
        const char *value = name + strlen(name) + 1;
        struct challenges more = {0};
        if (strcasecmp(name, "www-authenticate") == 0 &&
            registry_challenges_parse(value, &more) == -ENOMEM)
            return -ENOMEM;
        for (size_t i = 0; i < more.count && challenges->count < CHALLENGES_MAX; i++) {
            challenges->list[challenges->count++] = more.list[i];
            more.list[i] = (struct challenge){0};
        }
        registry_challenges_done(&more);
        name = value + strlen(value) + 1;
    }
    return 0;
}

// After a 401 or 403 of the registry's own.
static int refused(struct round *round, enum token_advice *ret_advice, struct err *err)
{
    AUTO(registry_challenges_done) struct challenges challenges = {0};
    auto_free char *scope = NULL;
    if (read_challenges(round->response, &challenges) < 0)
        return err_no_memory(err);
    bool has_learnt = registry_host_learn(round->client, round->host, &challenges, &scope);
    if (round->use.number == 0)
        *ret_advice = has_learnt ? TOKEN_RENEWED : TOKEN_REFUSED;
    else
        *ret_advice = registry_token_refused(round->client, round->host,
                                             round->request->reference->repository, &round->use,
                                             round->response->status, scope);
    return 0;
}

// One exchange, alone where it is the host's first. -EAGAIN: again, in the light of what was
// learnt.
static int run_round(struct round *round, bool is_last, struct err *err)
{
    const struct registry_request *request = round->request;
    bool is_first;
    int status = registry_host_enter(round->client, round->call, round->host, &is_first, err);
    if (status < 0)
        return status;
    registry_token_use_done(&round->use);
    status = registry_token_acquire(round->client, round->call, round->host,
                                    request->reference->repository, &round->use, err);
    if (status == 0)
        status = send(round, err);
    int answered = status == 0 ? round->response->status : 0;
    enum token_advice advice = TOKEN_REFUSED;
    if (answered >= 200 && answered <= 299 && round->use.number == 0)
        registry_host_is_open(round->client, round->host);
    if (status == 0 && (answered < 200 || answered > 299))
        status = registry_answer_err(round->response, round->end.host, round->use.authorization,
                                     clock_now_ms(round->client->clock), err);
    if (status == -EACCES && answered != 0 && !round->end.was_redirected &&
        refused(round, &advice, err) < 0)
        status = -err->errnum;
    if (is_first)
        registry_host_leave(round->client, round->host);
    if (advice == TOKEN_ANONYMOUS) {
        err_wrap(err, "the credentials for %s (%s) do not help", round->host->name,
                 round->use.whose);
        call_notice(round->call, err);
    } else if (advice == TOKEN_RENEWED && round->use.number != 0) {
        call_tell(round->call, err, 0);
    }
    return advice != TOKEN_REFUSED && !is_last ? -EAGAIN : status;
}

// A storage that refuses its own link lets us ask for a new one; a registry's refusal is final.
static int explain_refusal(const struct round *round, struct err *err)
{
    bool is_refused = err->errnum == EACCES;
    if (round->end.was_redirected)
        err_wrap(err, "the storage that %s sends us to", round->host->name);
    else if (is_refused)
        registry_grant_refused_err(err, round->host, round->use.whose, round->use.login_is_wrong);
    if (round->end.was_redirected && is_refused) {
        err->is_retryable = true;
        err->retry_after_ms = -1;
    }
    return -err->errnum;
}

int registry_request_once(struct registry_client *client, struct call *call,
                          const struct registry_request *request,
                          struct http_response *ret_response, struct err *err)
{
    struct round round = {
        .client = client, .call = call, .request = request, .response = ret_response};
    *ret_response = (struct http_response){.content_length = -1};
    int status = registry_host_get(client, request->reference->host, &round.host, err);
    if (status < 0)
        return status;
    for (int rounds = 1;; rounds++) {
        status = run_round(&round, rounds == ROUNDS_MAX, err);
        if (status != -EAGAIN)
            break;
        http_response_done(ret_response);
    }
    if (status == 0)
        call_went_well(call);
    if (status < 0 && ret_response->status >= 300)
        status = explain_refusal(&round, err);
    registry_token_use_done(&round.use);
    return status;
}

int registry_request_perform(struct registry_client *client, struct call *call,
                             const struct registry_request *request,
                             struct http_response *ret_response, struct err *err)
{
    for (int attempt = 1;; attempt++) {
        int status = registry_request_once(client, call, request, ret_response, err);
        if (status == 0 || !call_should_retry(call, attempt, err))
            return status < 0 ? -err->errnum : 0;
        http_response_done(ret_response);
    }
}
