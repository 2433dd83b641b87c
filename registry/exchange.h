// exchange.h - one request to a registry or its token server, and the redirects it leads to.
//
// Redirects are followed by hand, because each is a chance to leak: at most
// REGISTRY_REDIRECTS_MAX, never from https to http, in plain only to hosts that may be spoken to
// so, never to a link-local address (where clouds keep their credentials), and Authorization goes
// to the first origin alone: a storage's signed link is refused with it, and a stranger's must not
// see it. No retries here, and no thought about 401.
#pragma once

#include "client.h"

enum { EXCHANGE_REFUSAL_LIMIT = 16 * 1024 }; // bytes that are kept of the body of a refusal

struct exchange {
    const char *method; // redirects are followed for GET and HEAD alone
    const char *url;
    const struct secret *authorization; // NULL for none
    const struct http_header *headers;
    size_t header_count;
    const struct http_piece *body; // for a POST; NULL for none
    size_t body_limit;             // of a body that is kept
    bool stays;                    // a redirect to another origin is the answer, not followed
    // As http_request has them, but asked for answers of 200 to 299 alone.
    bool (*wants_bytes)(void *context, const struct http_response *response);
    int (*on_bytes)(void *context, const void *bytes, size_t size);
    void *context;
};

struct exchange_end {
    char host[300];      // who gave the last answer, with its port where it is not the usual one
    bool was_redirected; // it is not who was asked
    bool has_answered;   // who was asked has answered, be it with a redirect
};

// 0 when an answer came back, whatever its status but a redirect's. The body of an answer other
// than 200 to 299 is in ret_response->body as far as EXCHANGE_REFUSAL_LIMIT. Errors:
// http_perform's; EPROTO for a redirect that is not followed. *ret_response and *ret_end are filled
// as far as it came in either case; http_response_done is the caller's.
int registry_exchange(struct registry_client *client, struct call *call,
                      const struct exchange *exchange, struct http_response *ret_response,
                      struct exchange_end *ret_end, struct err *err);
