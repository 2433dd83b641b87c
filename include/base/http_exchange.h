// http_exchange.h - one exchange as libcurl sees it: what its callbacks read and fill. Private to
// http.c.
#pragma once

#include "base/http.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

// Why the exchange was ended from our side.
enum http_stop {
    HTTP_STOP_NOT,
    HTTP_STOP_CANCELLED,
    HTTP_STOP_SINK,    // on_bytes said so
    HTTP_STOP_HEADERS, // past HTTP_HEADERS_LIMIT
    HTTP_STOP_BODY,    // past the body's limit
    HTTP_STOP_MEMORY,
    HTTP_STOP_REPEATED,   // libcurl was about to send the request a second time
    HTTP_STOP_LINK_LOCAL, // the name led to an address that the request avoids
};

struct http_exchange {
    struct call *call;
    const struct http_request *request;
    struct http_response *response; // filled as the answer comes in

    size_t piece_index; // of the next body byte to be sent
    size_t piece_offset;

    struct buf headers;  // as response->headers will be
    size_t headers_size; // bytes as received, interim responses included
    int status;          // of the response whose headers are coming in
    bool has_headers;    // the final response's headers are complete
    bool goes_to_sink;
    bool was_connected;     // the request was begun to be sent
    int64_t received_bytes; // of the body

    enum http_stop stop;
    int sink_result; // with HTTP_STOP_SINK
    char curl_text[CURL_ERROR_SIZE];
};

void http_exchange_init(struct http_exchange *x, struct call *call,
                        const struct http_request *request, struct http_response *response);
void http_exchange_done(struct http_exchange *x);

// Sets the callbacks, and the method and body that go with them. *x must stay in place until the
// handle is reset.
CURLcode http_exchange_attach(struct http_exchange *x, CURL *easy);
