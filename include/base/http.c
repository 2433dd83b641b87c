#include "base/http.h"

#include "base/http_exchange.h"
#include "base/http_failure.h"
#include "base/http_pool.h"
#include "base/http_trust.h"
#include "base/scope.h"
#include "base/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct http_client {
    struct http_pool *pool;
    struct http_trust *trust;
    char *user_agent;
    int connect_timeout_ms;
    int stall_timeout_ms;
    int total_timeout_ms; // 0: none
    bool is_direct;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_once_code;

static void init_curl(void)
{
    curl_once_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(const struct http_options *options, struct http_client **ret_client,
                    struct err *err)
{
    pthread_once(&curl_once, init_curl);
    if (curl_once_code != CURLE_OK)
        return err_set(err, EIO, "libcurl cannot be initialised: %s",
                       curl_easy_strerror(curl_once_code));
    if (options->ca_bundle && access(options->ca_bundle, R_OK) < 0)
        return err_set(err, errno, "the CA certificates in %s cannot be read: %m",
                       options->ca_bundle);

    struct http_client *client = calloc(1, sizeof(*client));
    if (!client)
        return err_no_memory(err);
    client->pool = http_pool_new();
    client->user_agent = strdup(options->user_agent ? options->user_agent : "prereleasefs");
    client->trust = http_trust_new(options->ca_bundle);
    if (!client->pool || !client->user_agent || !client->trust) {
        http_client_free(client);
        return err_no_memory(err);
    }
    client->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
    client->stall_timeout_ms =
        options->stall_timeout_ms > 0 ? options->stall_timeout_ms : HTTP_STALL_TIMEOUT_MS;
    client->total_timeout_ms = options->total_timeout_ms;
    client->is_direct = options->is_direct;
    *ret_client = client;
    return 0;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    http_pool_free(client->pool);
    free(client->user_agent);
    http_trust_free(client->trust);
    free(client);
}

// ---- The request's headers ----------------------------------------------------------------

// Holds secrets after a while, so all of it is wiped.
static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at; at = at->next)
        secret_wipe(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

// RFC 9110 section 5.6.2.
static bool is_token(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789!#$%&'*+-.^_`|~";
    return text[0] != '\0' && text[strspn(text, letters)] == '\0';
}

static bool is_header_value(const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte < ' ' && byte != '\t') || byte == 0x7F)
            return false;
    }
    return true;
}

static int add_header(struct curl_slist **headers, const char *name, const char *value,
                      struct err *err)
{
    // A line break in a value would be a header, or a request, of somebody else's making.
    if (!is_token(name))
        return err_set(err, EINVAL, "a request header's name is no HTTP token");
    if (!is_header_value(value))
        return err_set(err, EINVAL, "the request header %s holds a control character", name);
    // libcurl takes "Name:" as the wish to leave a header out, and "Name;" for an empty one.
    bool is_empty = value[strspn(value, " \t")] == '\0';
    size_t line_size = strlen(name) + strlen(value) + sizeof(": ");
    char *line = malloc(line_size);
    if (!line)
        return err_no_memory(err);
    snprintf(line, line_size, is_empty ? "%s;%.0s" : "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    secret_wipe(line, line_size);
    free(line);
    if (!longer)
        return err_no_memory(err);
    *headers = longer;
    return 0;
}

static int add_headers(struct curl_slist **headers, const struct http_header *added, size_t count,
                       struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = add_header(headers, added[i].name, added[i].value, err);
    return r;
}

static int build_headers(const struct http_request *request, struct curl_slist **ret_headers,
                         struct err *err)
{
    struct curl_slist *headers = NULL;
    int r = add_headers(&headers, request->headers, request->header_count, err);
    if (r == 0)
        r = add_headers(&headers, request->secret_headers, request->secret_header_count, err);
    if (r == 0 && request->authorization)
        r = add_header(&headers, "Authorization", secret_text(request->authorization), err);
    // "Expect: 100-continue" would cost each upload a round trip, or a second against servers
    // that do not know it.
    if (r == 0) {
        struct curl_slist *longer = curl_slist_append(headers, "Expect:");
        if (longer)
            headers = longer;
        else
            r = err_no_memory(err);
    }
    if (r < 0) {
        free_headers(headers);
        return r;
    }
    *ret_headers = headers;
    return 0;
}

// ---- One exchange --------------------------------------------------------------------------

// The first failure sticks: with it, none of the following is tried.
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(easy, option, value);                                          \
    } while (0)

static CURLcode set_connection(const struct http_client *client, CURL *easy)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    // Not HTTP/2: transfers that run side by side want connections of their own, not one
    // window and one thread for all; and a handle, with its connection, serves one at a time.
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_MAXCONNECTS, 1L); // the pool has one handle for each origin and transfer
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)client->total_timeout_ms);
    if (client->is_direct)
        SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (code == CURLE_OK)
        code = http_trust_attach(client->trust, easy);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); // a proxy's headers are not the server's
#if LIBCURL_VERSION_NUM >= 0x075700
    // A cancelled or timed-out lookup is left to finish by itself; libcurl would wait for it,
    // and getaddrinfo takes as long as it likes.
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    return code;
}

static CURLcode set_options(const struct http_client *client, struct http_exchange *x, CURL *easy,
                            int stall_timeout_ms, struct curl_slist *headers)
{
    CURLcode code = set_connection(client, easy);
    if (code == CURLE_OK)
        code = http_exchange_attach(x, easy);
    SET(CURLOPT_URL, x->request->url);
    SET(CURLOPT_PATH_AS_IS, 1L); // an object's key may hold ".."
    SET(CURLOPT_USERAGENT, client->user_agent);
    SET(CURLOPT_HTTPHEADER, headers);
    // Less than one byte a second, averaged over the last few: that is a stall. It also ends the
    // wait for the first byte of an answer, so a request that takes the server long needs more.
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)((stall_timeout_ms + 999) / 1000));
    return code;
}
#undef SET

static const char *describe(int errnum)
{
    const char *text = strerrordesc_np(errnum);
    return text ? text : "unknown error";
}

static int explain_stop(const struct http_exchange *x, const char *host, struct err *err)
{
    switch (x->stop) {
    case HTTP_STOP_CANCELLED:
        return err_set(err, EINTR, "cancelled");
    case HTTP_STOP_SINK:
        return err_set(err, -x->sink_result, "the bytes from %s could not be taken: %s", host,
                       describe(-x->sink_result));
    case HTTP_STOP_HEADERS:
        err_set(err, EFBIG, "the headers that %s answered are larger than %d bytes", host,
                HTTP_HEADERS_LIMIT);
        err->is_retryable = true;
        return -err->errnum;
    case HTTP_STOP_BODY:
        return err_set(err, EFBIG, "the body that %s answered is larger than %zu bytes", host,
                       x->response->body.limit);
    case HTTP_STOP_REPEATED:
        err_set(err, EIO, "%s closed the connection without an answer", host);
        err->is_retryable = true;
        return -err->errnum;
    case HTTP_STOP_LINK_LOCAL:
        return err_set(err, EACCES,
                       "the name of %s leads to a link-local address, where clouds keep their "
                       "credentials: it is not asked",
                       host);
    case HTTP_STOP_MEMORY:
    case HTTP_STOP_NOT:
        break;
    }
    return err_no_memory(err);
}

static int conclude(const struct http_client *client, const struct http_exchange *x, CURL *easy,
                    CURLcode code, int stall_timeout_ms, const char *host, struct err *err)
{
    if (x->stop == HTTP_STOP_SINK && x->sink_result == -ECANCELED)
        return 0;
    if (code == CURLE_OK && x->has_headers)
        return 0;
    int r;
    if (x->stop != HTTP_STOP_NOT) {
        r = explain_stop(x, host, err);
    } else if (code == CURLE_OK) { // libcurl is content with a part of the headers
        r = err_set(err, EIO, "%s closed the connection before the answer's headers were whole",
                    host);
        err->is_retryable = true;
    } else {
        struct http_failure failure = {
            .code = code,
            .easy = easy,
            .host = host,
            .curl_text = x->curl_text,
            .was_connected = x->was_connected,
            .has_headers = x->has_headers,
            .content_length = x->response->content_length,
            .received_bytes = x->received_bytes,
            .connect_timeout_ms = client->connect_timeout_ms,
            .stall_timeout_ms = stall_timeout_ms,
            .total_timeout_ms = client->total_timeout_ms,
        };
        r = http_failure_explain(&failure, err);
    }
    err->http_status = x->response->status;
    return r;
}

static int perform_on(struct http_client *client, CURL *easy, struct http_exchange *x,
                      const char *host, struct err *err)
{
    struct curl_slist *headers = NULL;
    int r = build_headers(x->request, &headers, err);
    if (r < 0)
        return r;
    int stall_timeout_ms = client->stall_timeout_ms * (x->request->is_slow ? HTTP_SLOW_FACTOR : 1);
    CURLcode code = set_options(client, x, easy, stall_timeout_ms, headers);
    if (code == CURLE_OK)
        code = curl_easy_perform(easy);
    r = conclude(client, x, easy, code, stall_timeout_ms, host, err);
    free_headers(headers);
    return r;
}

int http_perform(struct http_client *client, struct call *call, const struct http_request *request,
                 struct http_response *ret_response, struct err *err)
{
    *ret_response = (struct http_response){
        .content_length = -1,
        .body = BUF_INIT(request->body_limit > 0 ? request->body_limit : HTTP_BODY_LIMIT),
    };
    if (atomic_load(&call->is_cancelled))
        return err_set(err, EINTR, "cancelled");
    if (!is_token(request->method))
        return err_set(err, EINVAL, "the request's method is no HTTP token");
    struct url url = {0};
    int r = url_parse(request->url, &url, err);
    if (r < 0)
        return r;

    auto_buf struct buf origin = BUF_INIT(URL_SIZE_LIMIT);
    buf_printf(&origin, "%s://%s:%d", url.scheme, url.host, url.port);
    url_done(&url);
    if (origin.is_full)
        return err_no_memory(err);
    const char *host = strstr(buf_text(&origin), "://") + strlen("://");
    struct http_handle *handle = http_pool_take(client->pool, buf_text(&origin));
    if (!handle)
        return err_no_memory(err);
    struct http_exchange x;
    http_exchange_init(&x, call, request, ret_response);
    r = perform_on(client, handle->easy, &x, host, err);
    http_exchange_done(&x);
    if (x.was_connected && x.stop == HTTP_STOP_NOT)
        http_pool_give_back(client->pool, handle);
    else
        http_pool_drop(handle);
    return r;
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    const char *at = response->headers;
    while (at && *at) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

void http_response_done(struct http_response *response)
{
    if (!response)
        return;
    free(response->headers);
    buf_done(&response->body);
    *response = (struct http_response){.content_length = -1};
}

bool http_status_is_retryable(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}
