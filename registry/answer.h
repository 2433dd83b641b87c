// answer.h - what a registry means by an answer that is no success: an errno, whether to try
// again, and a sentence. Pure but for the time that Retry-After needs.
#pragma once

#include "base/err.h"
#include "base/http.h"

#include <stdint.h>

// Fills *err with "HOST answers 404 NAME_UNKNOWN (repository name not known to registry)": the
// code and words of the distribution specification's error body, where it has one. Words that
// repeat the Authorization that was sent are left out: a hostile registry might.
//
// ENOENT 404, 410; EACCES 401, 403, 451; EIO and retryable 408, 429, 500 and what http.h says,
// also a 403 that is really a rate limit; EINVAL a name that the registry finds malformed;
// EPROTO all else. Returns -err->errnum.
int registry_answer_err(const struct http_response *response, const char *host,
                        const struct secret *authorization, int64_t now_ms, struct err *err);
