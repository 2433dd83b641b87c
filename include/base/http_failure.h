// http_failure.h - what libcurl's result means, as an errno and a sentence. Private to http.c.
#pragma once

#include "base/err.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct http_failure {
    CURLcode code;
    CURL *easy;             // asked for details
    const char *host;       // "host:port", what the sentences name
    const char *curl_text;  // libcurl's error buffer, "" where it said nothing
    bool was_connected;     // the request was begun to be sent
    bool has_headers;       // the response's headers had come
    int64_t content_length; // as announced, -1 where it was not
    int64_t received_bytes; // of the body
    int connect_timeout_ms;
    int stall_timeout_ms;
    int total_timeout_ms; // 0: none
};

// Fills *err; returns -err->errnum.
int http_failure_explain(const struct http_failure *failure, struct err *err);
