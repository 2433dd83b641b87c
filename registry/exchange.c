#include "exchange.h"

#include "base/scope.h"
#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSAL_PATIENCE = 256 * 1024 }; // bytes of a refusal that are read to keep the connection

struct receiver {
    const struct exchange *exchange;
    bool is_refusal;
    struct buf refusal;
    size_t refusal_size; // as it arrived
};

static bool receiver_wants(void *context, const struct http_response *response)
{
    struct receiver *receiver = context;
    const struct exchange *exchange = receiver->exchange;
    receiver->is_refusal = response->status < 200 || response->status > 299;
    if (receiver->is_refusal)
        return true;
    return exchange->wants_bytes != NULL && exchange->wants_bytes(exchange->context, response);
}

static int receiver_take(void *context, const void *bytes, size_t size)
{
    struct receiver *receiver = context;
    if (!receiver->is_refusal)
        return receiver->exchange->on_bytes(receiver->exchange->context, bytes, size);
    size_t room = EXCHANGE_REFUSAL_LIMIT - receiver->refusal.size;
    if (room > 0 && buf_append(&receiver->refusal, bytes, size < room ? size : room) < 0)
        return -ENOMEM;
    receiver->refusal_size += size;
    return receiver->refusal_size > REFUSAL_PATIENCE ? -ECANCELED : 0;
}

static int perform_once(struct registry_client *client, struct call *call,
                        const struct exchange *exchange, const char *url, const struct url *parsed,
                        const struct secret *authorization, struct http_response *ret_response,
                        struct err *err)
{
    struct receiver receiver = {.exchange = exchange};
    buf_init(&receiver.refusal, EXCHANGE_REFUSAL_LIMIT);
    struct http_request request = {
        .method = exchange->method,
        .url = url,
        .headers = exchange->headers,
        .header_count = exchange->header_count,
        .authorization = authorization,
        .body = exchange->body,
        .body_count = exchange->body == NULL ? 0 : 1,
        .has_body = exchange->body != NULL,
        .wants_bytes = receiver_wants,
        .on_bytes = receiver_take,
        .context = &receiver,
        .body_limit = exchange->body_limit,
        // Whoever named a host in insecure_registry= knows where it leads.
        .avoids_link_local = !registry_client_may_speak_plain(client, parsed->host, parsed->port),
    };
    int status = http_perform(client->http, call, &request, ret_response, err);
    if (receiver.is_refusal) {
        buf_done(&ret_response->body);
        ret_response->body = receiver.refusal;
    }
    return status;
}

static bool is_redirect(const struct exchange *exchange, int status)
{
    bool is_followed =
        strcmp(exchange->method, "GET") == 0 || strcmp(exchange->method, "HEAD") == 0;
    return is_followed &&
           (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

static void name_host(const struct url *url, struct exchange_end *end)
{
    int usual_port = strcmp(url->scheme, "https") == 0 ? 443 : 80;
    if (url->port == usual_port)
        snprintf(end->host, sizeof(end->host), "%s", url->host);
    else
        snprintf(end->host, sizeof(end->host), "%s:%d", url->host, url->port);
}

static int check_redirect(const struct registry_client *client, const struct url *from,
                          const struct url *to, struct err *err)
{
    bool is_plain = strcmp(to->scheme, "http") == 0;
    const char *reason = NULL;
    if (is_plain && strcmp(from->scheme, "https") == 0)
        reason = "from https to plain http";
    else if (is_plain && !registry_client_may_speak_plain(client, to->host, to->port))
        reason = "to a host that may not be spoken to over plain http "
                 "(the mount's option insecure_registry= names those that may)";
    else if (url_host_is_link_local(to->host))
        reason = "to a link-local address";
    if (reason == NULL)
        return 0;
    return err_set(err, EPROTO, "redirects to %s are not followed when they lead %s", to->host,
                   reason);
}

// The URL that a redirect leads to. `*url` is where it came from, and becomes where it leads.
static int next_url(const struct registry_client *client, const struct http_response *response,
                    char **url, struct url *parsed, struct err *err)
{
    const char *location = http_response_header(response, "location");
    auto_free char *next = NULL;
    struct url to = {0};
    if (location == NULL)
        return err_set(err, EPROTO, "it redirects (%d) without saying where to", response->status);
    int status = url_resolve(*url, location, &next, err);
    if (status == 0)
        status = url_parse(next, &to, err);
    if (status == -EINVAL) {
        err_wrap(err, "it redirects to where nothing can be");
        err->errnum = EPROTO;
    }
    if (status == 0)
        status = check_redirect(client, parsed, &to, err);
    if (status != 0) {
        url_done(&to);
        return -err->errnum;
    }
    free(*url);
    *url = TAKE(next);
    url_done(parsed);
    *parsed = to;
    return 0;
}

int registry_exchange(struct registry_client *client, struct call *call,
                      const struct exchange *exchange, struct http_response *ret_response,
                      struct exchange_end *ret_end, struct err *err)
{
    AUTO(url_done) struct url first = {0};
    AUTO(url_done) struct url parsed = {0};
    const struct secret *authorization = exchange->authorization;
    auto_free char *url = strdup(exchange->url);
    *ret_response = (struct http_response){0};
    *ret_end = (struct exchange_end){0};
    if (url == NULL)
        return err_no_memory(err);
    int status = url_parse(url, &first, err);
    if (status == 0)
        status = url_parse(url, &parsed, err);
    if (status != 0)
        return status;
    for (int redirects = 0;; redirects++) {
        name_host(&parsed, ret_end);
        status =
            perform_once(client, call, exchange, url, &parsed, authorization, ret_response, err);
        ret_end->has_answered = ret_end->has_answered || ret_response->status != 0;
        if (status < 0 || !is_redirect(exchange, ret_response->status))
            break;
        status =
            redirects == REGISTRY_REDIRECTS_MAX
                ? err_set(err, EPROTO, "it redirects more than %d times", REGISTRY_REDIRECTS_MAX)
                : next_url(client, ret_response, &url, &parsed, err);
        if (exchange->stays && (status == -EPROTO || !url_same_origin(&first, &parsed)))
            return 0;
        if (status < 0)
            break;
        ret_end->was_redirected = true;
        if (!url_same_origin(&first, &parsed))
            authorization = NULL; // for good: the way back is not the way we asked
        http_response_done(ret_response);
        *ret_response = (struct http_response){0};
    }
    return status;
}
