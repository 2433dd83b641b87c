// http.h - performs one HTTP exchange over libcurl; the only user of its easy API.
//
// It does not retry, sign, or follow redirects: those are the protocol rooms' business. It
// verifies TLS (1.2 or newer) always, keeps connections alive between exchanges (a pool of
// handles, one exchange each at a time), and gives up on a transfer that stalls rather than on
// one that takes long. Thread-safe; a call blocks its thread until the exchange has ended.
#pragma once

#include "base/buf.h"
#include "base/call.h"
#include "base/err.h"
#include "base/secret.h"

#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_CONNECT_TIMEOUT_MS = 10 * 1000,
    HTTP_STALL_TIMEOUT_MS = 30 * 1000, // no byte in either direction for this long; see below
    HTTP_SLOW_FACTOR = 20,             // by which slow requests have longer: 10 minutes
    HTTP_HEADERS_LIMIT = 64 * 1024,    // bytes of one response's headers
    HTTP_BODY_LIMIT = 8 * 1024 * 1024, // bytes of a body kept in memory, unless a request differs
};

// A stall is less than one byte a second, averaged over about five seconds, for the whole seconds
// of the timeout: it is noticed up to six seconds late. The wait for an answer's first byte is a
// stall as well, so a request that takes the server long (completing an upload) says is_slow.

struct http_client;

struct http_options {
    const char *ca_bundle;  // file of CA certificates, NULL for the system's
    const char *user_agent; // "prereleasefs/1.0.0"
    int connect_timeout_ms; // 0: HTTP_CONNECT_TIMEOUT_MS
    int stall_timeout_ms;   // 0: HTTP_STALL_TIMEOUT_MS
    int total_timeout_ms;   // of an exchange as a whole; 0: it may take as long as it moves
    bool is_direct;         // never through a proxy, whatever the environment says
};

int http_client_new(const struct http_options *options, struct http_client **ret_client,
                    struct err *err);
void http_client_free(struct http_client *client); // no exchange may be under way

struct http_header {
    const char *name;
    const char *value;
};

struct http_piece {
    const void *bytes; // stays the caller's, unchanged until the exchange has ended
    size_t size;
};

struct http_response {
    int status;
    int64_t content_length; // -1 where the server did not say
    char *headers; // "name\0value\0name\0value\0\0"; names lower case; see http_response_header
    size_t headers_size;
    struct buf body; // what no sink took
};

struct http_request {
    const char *method; // "GET", "PUT", ...
    const char *url;    // http or https, sent as it is: no normalising of dots or escapes
    const struct http_header *headers;
    size_t header_count;
    const struct secret *authorization; // sent as "Authorization: ..." ; NULL for none
    // Further secret headers (a session token); sent beside `headers`.
    const struct http_header *secret_headers;
    size_t secret_header_count;

    const struct http_piece *body; // sent with Content-Length; NULL with count 0 and
    size_t body_count;             // has_body for an empty one ("Content-Length: 0")
    bool has_body;

    // Asked once, when the status line and headers are in, before the first body byte. Answer
    // true to have this response's body go to on_bytes, false to keep it in response->body.
    // NULL: always kept.
    bool (*wants_bytes)(void *context, const struct http_response *response);
    // Body bytes as they arrive. A negative errno ends the exchange with that error; -ECANCELED
    // ends it as a success ("I have what I wanted").
    int (*on_bytes)(void *context, const void *bytes, size_t size);
    void *context;

    size_t body_limit; // of response->body; 0: HTTP_BODY_LIMIT. Past it: EFBIG
    bool is_slow;      // has HTTP_SLOW_FACTOR times the client's stall timeout
    // EACCES rather than a connection to a link-local address, whatever name led there. Where a
    // proxy stands in between, it is the proxy's address that is looked at.
    bool avoids_link_local;
};

// 0 when an HTTP response came back whole, whatever its status (a body that has neither a length
// nor chunks ends where its connection does, cut off or not; who can, checks its size). Errors:
// ETIMEDOUT (connect, stall), EHOSTUNREACH (no route, name, or connection refused), EPROTO (TLS;
// the sentence says which check failed), EIO (connection lost, body short), EINTR (call cancelled),
// EFBIG, or what on_bytes answered; EINVAL for a request that cannot be sent as it is (a control
// character in a header, a URL that url_parse refuses). is_retryable is set for what a retry may
// mend. *ret_response is filled as far as it came also on failure; the caller ends it with
// http_response_done in either case.
int http_perform(struct http_client *client, struct call *call, const struct http_request *request,
                 struct http_response *ret_response, struct err *err);

// The first header of that name (any case), or NULL. Valid as long as the response.
const char *http_response_header(const struct http_response *response, const char *name);
void http_response_done(struct http_response *response);
static inline void http_response_scope(struct http_response *response)
{
    http_response_done(response);
}
#define auto_http_response __attribute__((cleanup(http_response_scope)))

// Statuses that a later try may mend: 408, 429, 500, 502, 503, 504.
bool http_status_is_retryable(int status);
