// metadata.h - one small question to a service that gives credentials to who is where it listens:
// a container's, an instance's, a CI job's. The answers and what is sent with them are secrets.
#pragma once

#include "provider.h"

enum { METADATA_ANSWER_LIMIT = 64 * 1024 }; // bytes

struct metadata_question {
    const char *method;
    const char *url;
    const struct http_header *headers; // may hold secrets
    size_t header_count;
    int attempts; // the first included; waits lie between them
    // What the sentence adds to a refusal, by its status; NULL for nothing.
    const char *(*advise)(int status);
};

// 0 with a 200 and a body. EACCES for any other status, which is in err->http_status; else what
// http.h says. Wipe the answer with metadata_answer_done.
int metadata_ask(struct http_client *http, struct call *call,
                 const struct metadata_question *question, struct http_response *ret_answer,
                 struct err *err);
void metadata_answer_done(struct http_response *answer); // accepts zeroed
#define auto_metadata_answer AUTO(metadata_answer_done)

// For addresses that are a hop away: short limits, and never through a proxy.
int metadata_http_new(int timeout_ms, struct http_client **ret_http, struct err *err);
DEFINE_SCOPE_CLEANUP(metadata_http, struct http_client, http_client_free)
#define auto_metadata_http AUTO(metadata_http_scope)
