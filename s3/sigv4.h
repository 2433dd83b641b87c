// sigv4.h - AWS Signature Version 4, of headers and of a query. Pure: no clock, no network, no
// environment; the same arguments give the same signature.
//
// Spec: "Authenticating Requests: Using the Authorization Header" and "... Using Query
// Parameters" of the Amazon S3 API reference, and "Signing AWS API requests" of the IAM guide.
// Where S3 differs from every other service:
//   - the path is percent-encoded once and not normalised: no dot segment is resolved and no
//     slash is merged. Other services encode the (already encoded) path a second time;
//   - the session token belongs to what a presigned query signs.
// Encoding is RFC 3986's: A-Za-z0-9-._~ stay, everything else is %XX in upper case, a space
// %20, '/' stays in paths only. In particular ':' is %3A, both in what is signed and in what is
// sent: a client that sends it bare is refused by stores that compare the bytes.
//
// Not done here: chunked signatures (aws-chunked), SigV4A, trailing checksums.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/http.h"
#include "base/secret.h"
#include "s3.h"

#include <stddef.h>
#include <stdint.h>

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

enum {
    SIGV4_PAIRS_MAX = 96,               // headers, or query parameters, of one request
    SIGV4_CANONICAL_LIMIT = 128 * 1024, // bytes of a canonical request: twice the largest headers
};

struct sigv4_pair { // of a query, neither side encoded
    const char *name;
    const char *value;
};

struct sigv4_key { // who signs, and for where
    const struct s3_credentials *credentials;
    const char *region;
    const char *service; // "s3", "sts"
};

struct sigv4_request {
    const char *method;
    const char *path; // percent-encoded, as it is sent
    const struct sigv4_pair *query;
    size_t query_count;
    const struct http_header *headers; // all of those that are to be signed; "host" is needed
    size_t header_count;
    const char *payload; // SHA-256 of the body in hex, or SIGV4_UNSIGNED_PAYLOAD
};

// The value of the Authorization header. The request's headers hold x-amz-date already, as
// clock_format_basic writes now_ms, and x-amz-security-token where the credentials have one.
// Errors: E2BIG (more than SIGV4_PAIRS_MAX, SIGV4_CANONICAL_LIMIT), ENOMEM.
int sigv4_sign_headers(const struct sigv4_key *key, const struct sigv4_request *request,
                       int64_t now_ms, struct secret **ret_authorization, struct err *err);

// Appends the whole query of a presigned URL to *query, without '?': the request's own
// parameters, X-Amz-Algorithm, -Credential, -Date, -Expires, -SignedHeaders, -Security-Token
// where there is one, and X-Amz-Signature last.
int sigv4_sign_query(const struct sigv4_key *key, const struct sigv4_request *request,
                     int64_t now_ms, int expires_s, struct buf *query, struct err *err);

// Appends "a=1&b=2", encoded and in canonical order: what is signed is also what is sent.
int sigv4_query_text(const struct sigv4_pair *pairs, size_t count, struct buf *text,
                     struct err *err);

// The canonical request (the text whose SHA-256 is signed), for tests that compare it.
int sigv4_canonical_request(const struct sigv4_key *key, const struct sigv4_request *request,
                            struct buf *text, struct err *err);
