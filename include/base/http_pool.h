// http_pool.h - libcurl handles, kept between exchanges for the connections they hold. Private to
// http.c.
//
// A handle belongs to one exchange at a time and keeps its one connection inside. Connections
// are not shared between handles, since libcurl's shared connection cache is not safe across
// threads; names looked up and TLS sessions are. Thread-safe.
#pragma once

#include <curl/curl.h>

enum {
    // Handles kept while nobody uses them. As many transfers as a mount is likely to run at once,
    // each talking to a registry, its blob store and S3 in turn; more would only hold sockets.
    HTTP_POOL_IDLE_LIMIT = 48,
};

struct http_pool;

struct http_handle {
    CURL *easy;               // reset: no option set but the share
    char *origin;             // the one it last talked to
    struct http_handle *next; // the pool's
};

struct http_pool *http_pool_new(void);       // NULL when memory is out
void http_pool_free(struct http_pool *pool); // accepts NULL; every handle must be back

// An idle handle that last talked to `origin` ("https://host:443"), else a new one. NULL when
// memory is out.
struct http_handle *http_pool_take(struct http_pool *pool, const char *origin);
// Resets the handle and keeps it, or the one that was idle for longest goes.
void http_pool_give_back(struct http_pool *pool, struct http_handle *handle);
// Instead of the above, for a handle that found no connection: libcurl 7.88 keeps its buffer after
// a failed name lookup, and takes no buffer size on it any more.
void http_pool_drop(struct http_handle *handle);
