#include "base/http_exchange.h"

#include "base/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    // Bytes; one for each exchange under way. libcurl hands out 16 KiB of it at a time. Of 256 KiB
    // it would be a mapping of its own (main.c), faulted in anew by each exchange.
    RECEIVE_BUFFER_SIZE = 128 * 1024,
    SEND_BUFFER_SIZE = 256 * 1024, // bytes; larger ones are not faster
};

static size_t send_body(char *buffer, size_t size, size_t count, void *context)
{
    struct http_exchange *x = context;
    size_t room = size * count;
    size_t used = 0;
    while (used < room && x->piece_index < x->request->body_count) {
        const struct http_piece *piece = &x->request->body[x->piece_index];
        size_t chunk = piece->size - x->piece_offset;
        if (chunk > room - used)
            chunk = room - used;
        if (chunk > 0)
            memcpy(buffer + used, (const char *)piece->bytes + x->piece_offset, chunk);
        used += chunk;
        x->piece_offset += chunk;
        if (x->piece_offset == piece->size) {
            x->piece_index++;
            x->piece_offset = 0;
        }
    }
    return used;
}

// A kept connection may turn out to be dead after part of the body went into it; libcurl then
// begins again on a new one.
static int rewind_body(void *context, curl_off_t offset, int origin)
{
    struct http_exchange *x = context;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_FAIL;
    x->piece_index = 0;
    x->piece_offset = 0;
    return CURL_SEEKFUNC_OK;
}

// A line that begins with a blank continues the one before it (RFC 9112 section 5.2).
static bool continue_header(struct http_exchange *x, const char *text, size_t size)
{
    if (x->headers.size == 0)
        return true;
    x->headers.bytes[x->headers.size - 1] = ' '; // the NUL behind the value so far
    buf_append(&x->headers, text, size);
    return buf_append_char(&x->headers, '\0') == 0;
}

// false when memory is out. A line that is no header is passed over, as libcurl does.
static bool keep_header(struct http_exchange *x, const char *line, size_t size)
{
    const char *end = line + size;
    const char *colon = memchr(line, ':', size);
    if (memchr(line, '\0', size))
        return true;
    bool is_continued = *line == ' ' || *line == '\t';
    if (!is_continued && (!colon || colon == line))
        return true;
    const char *value = is_continued ? line : colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    if (is_continued)
        return continue_header(x, value, (size_t)(end - value));

    size_t name_at = x->headers.size;
    buf_append(&x->headers, line, (size_t)(colon - line));
    buf_append_char(&x->headers, '\0');
    buf_append(&x->headers, value, (size_t)(end - value));
    if (buf_append_char(&x->headers, '\0') < 0)
        return false;
    for (char *c = x->headers.bytes + name_at; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return true;
}

// -1 where the length is not said, or said in two ways.
static int64_t announced_length(const struct http_response *response)
{
    if (http_response_header(response, "transfer-encoding"))
        return -1;
    int64_t length = -1;
    const char *at = response->headers;
    while (*at) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, "content-length") == 0) {
            char *end;
            errno = 0;
            long long number = strtoll(value, &end, 10);
            if (errno != 0 || end == value || *end != '\0' || number < 0 ||
                (length >= 0 && length != number))
                return -1;
            length = number;
        }
        at = value + strlen(value) + 1;
    }
    return length;
}

// The blank line behind the headers. false when memory is out.
static bool finish_headers(struct http_exchange *x)
{
    if (x->status < 200) { // 100 Continue, 103 Early Hints: the answer is still to come
        buf_clear(&x->headers);
        return true;
    }
    struct http_response *response = x->response;
    size_t size = x->headers.size; // the NUL behind it is the empty name that ends the list
    response->headers = buf_take(&x->headers);
    if (!response->headers)
        return false;
    response->headers_size = size;
    response->status = x->status;
    response->content_length = announced_length(response);
    x->has_headers = true;
    const struct http_request *request = x->request;
    if (request->on_bytes && request->wants_bytes)
        x->goes_to_sink = request->wants_bytes(request->context, response);
    return true;
}

static int parse_status(const char *line, size_t size)
{
    const char *at = memchr(line, ' ', size);
    if (!at || line + size - at < 4)
        return 0;
    int status = 0;
    for (int i = 1; i <= 3; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        status = status * 10 + (at[i] - '0');
    }
    return status;
}

// Called with one line at a time, its line break included, and no NUL behind.
static size_t receive_header(char *line, size_t one, size_t size, void *context)
{
    (void)one;
    struct http_exchange *x = context;
    if (x->has_headers) // trailers of a chunked body: nothing here means anything to anybody
        return size;
    x->headers_size += size;
    if (x->headers_size > HTTP_HEADERS_LIMIT) {
        x->stop = HTTP_STOP_HEADERS;
        return 0;
    }
    size_t text_size = size;
    while (text_size > 0 && (line[text_size - 1] == '\n' || line[text_size - 1] == '\r' ||
                             line[text_size - 1] == ' ' || line[text_size - 1] == '\t'))
        text_size--;
    bool is_kept = true;
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        x->status = parse_status(line, text_size);
        buf_clear(&x->headers);
    } else if (text_size == 0) {
        is_kept = finish_headers(x);
    } else {
        is_kept = keep_header(x, line, text_size);
    }
    if (!is_kept) {
        x->stop = HTTP_STOP_MEMORY;
        return 0;
    }
    return size;
}

static size_t receive_body(char *bytes, size_t one, size_t size, void *context)
{
    (void)one;
    struct http_exchange *x = context;
    x->received_bytes += (int64_t)size;
    if (x->goes_to_sink) {
        int r = x->request->on_bytes(x->request->context, bytes, size);
        if (r >= 0)
            return size;
        x->stop = HTTP_STOP_SINK;
        x->sink_result = r;
        return 0;
    }
    int r = buf_append(&x->response->body, bytes, size);
    if (r == 0)
        return size;
    x->stop = r == -ENOMEM ? HTTP_STOP_MEMORY : HTTP_STOP_BODY;
    return 0;
}

// Called often while bytes move, and about once a second while none do.
static int look_at_progress(void *context, curl_off_t down_total, curl_off_t down,
                            curl_off_t up_total, curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    struct http_exchange *x = context;
    if (!atomic_load(&x->call->is_cancelled))
        return 0;
    x->stop = HTTP_STOP_CANCELLED;
    return 1;
}

// Called when the connection, TLS included, stands and the request is about to be sent. A second
// time where a kept connection died under the request: libcurl would send it once more without a
// word, and whoever asked would not know that the first one may have taken effect.
// NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's
static int note_connected(void *context, char *remote_ip, char *local_ip, int remote_port,
                          int local_port)
{
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    struct http_exchange *x = context;
    if (x->was_connected) {
        x->stop = HTTP_STOP_REPEATED;
        return CURL_PREREQFUNC_ABORT;
    }
    x->was_connected = true;
    return CURL_PREREQFUNC_OK;
}

// The moment at which it shows where a name leads. Looking it up beforehand would not do: the
// second answer of a hostile name server may be another.
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct http_exchange *x = context;
    if (x->request->avoids_link_local && url_address_is_link_local(&address->addr)) {
        x->stop = HTTP_STOP_LINK_LOCAL;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void http_exchange_init(struct http_exchange *x, struct call *call,
                        const struct http_request *request, struct http_response *response)
{
    *x = (struct http_exchange){
        .call = call,
        .request = request,
        .response = response,
        // Each line is at most a byte longer here than as received; the limit is checked there.
        .headers = BUF_INIT(2 * HTTP_HEADERS_LIMIT),
    };
}

void http_exchange_done(struct http_exchange *x)
{
    buf_done(&x->headers);
}

static curl_off_t body_size(const struct http_request *request)
{
    curl_off_t size = 0;
    for (size_t i = 0; i < request->body_count; i++)
        size += (curl_off_t)request->body[i].size;
    return size;
}

// The first failure sticks: with it, none of the following is tried.
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(easy, option, value);                                          \
    } while (0)

static CURLcode attach_request(struct http_exchange *x, CURL *easy)
{
    const struct http_request *request = x->request;
    CURLcode code = CURLE_OK;
    if (request->has_body || request->body_count > 0) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, body_size(request));
        SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER_SIZE);
        SET(CURLOPT_READFUNCTION, send_body);
        SET(CURLOPT_READDATA, x);
        SET(CURLOPT_SEEKFUNCTION, rewind_body);
        SET(CURLOPT_SEEKDATA, x);
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L); // or libcurl would wait for the body that is announced
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    return code;
}

CURLcode http_exchange_attach(struct http_exchange *x, CURL *easy)
{
    CURLcode code = attach_request(x, easy);
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_SIZE);
    SET(CURLOPT_ERRORBUFFER, x->curl_text);
    SET(CURLOPT_HEADERFUNCTION, receive_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_WRITEFUNCTION, receive_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_XFERINFOFUNCTION, look_at_progress);
    SET(CURLOPT_XFERINFODATA, x);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_PREREQFUNCTION, note_connected);
    SET(CURLOPT_PREREQDATA, x);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, x);
    return code;
}
