// request.h - one request to a registry's API, with the credentials that it asks for.
//
// The first request to a host is sent without credentials and its challenge remembered; from then
// on each repository's token is fetched first, so that nothing is asked twice. A token that is
// refused is renewed once; credentials that are refused are followed by one anonymous try.
#pragma once

#include "client.h"

struct registry_request {
    const char *method;
    const struct registry_reference *reference; // host and repository
    const char *path;   // below the repository: "manifests/1.2", "blobs/sha256:..."
    const char *accept; // NULL for none
    const char *range;  // "bytes=0-99", NULL for none
    size_t body_limit;
    bool stays; // as struct exchange has it
    // As struct exchange has them.
    bool (*wants_bytes)(void *context, const struct http_response *response);
    int (*on_bytes)(void *context, const void *bytes, size_t size);
    void *context;
};

// 0 when the answer was a success (200 to 299). Errors: registry_answer_err's, http_perform's,
// registry_grant_obtain's; a 401 or 403 that remains is EACCES. is_retryable says whether
// call_should_retry may be asked. *ret_response as http_perform fills it, in either case.
int registry_request_once(struct registry_client *client, struct call *call,
                          const struct registry_request *request,
                          struct http_response *ret_response, struct err *err);

// The same, tried again as the call allows. For requests whose body is kept.
int registry_request_perform(struct registry_client *client, struct call *call,
                             const struct registry_request *request,
                             struct http_response *ret_response, struct err *err);
