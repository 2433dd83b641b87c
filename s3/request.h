// request.h - one request to S3 or STS: built, signed, sent, tried again where that is safe.
//
// What is mended here, so that no caller has to:
//   - failures that a later try may mend (err->is_retryable): as call_should_retry says;
//   - the bucket lives in another region (301, 307, 400 with a region): remembered, signed for
//     that region and sent once more;
//   - expired credentials: the provider is asked again, and the request sent once more;
//   - a clock that is off: corrected from the answer's Date, and the request sent once more.
// Each of the last three at most once a request, and without waiting.
//
// Every request may be sent twice: the reply to the first may be lost, or be none that can be used.
// What became of a request that may have taken effect is settled here too, by request->is_settled:
// before it is sent again, and in the end, when no answer says (or what is refused now may be what
// an earlier attempt has done).
//
// Bodies: S3_PAYLOAD_SIGNED puts the body's SHA-256 into the signature. S3_PAYLOAD_BULK saves
// that where TLS guards the body. Over plain HTTP the store checks the SHA-256 all the same, or a
// Content-MD5 where that costs this CPU less. Thread-safe.
#pragma once

#include "service.h"
#include "sigv4.h"
#include "xml.h"

enum {
    S3_REQUEST_QUERY_MAX = 8,
    S3_REQUEST_HEADERS_MAX = 48, // given by the caller, metadata included
    S3_ERROR_BODY_LIMIT = 64 * 1024,
};

enum s3_payload { S3_PAYLOAD_SIGNED, S3_PAYLOAD_BULK };

struct s3_reply;

struct s3_request {
    const char *action; // what IAM calls it, for sentences: "s3:GetObject"
    const char *method;
    const char *key;     // NULL: the bucket, or the service, itself
    const char *subject; // for sentences; NULL: bucket/key
    struct sigv4_pair query[S3_REQUEST_QUERY_MAX];
    size_t query_count;
    const struct http_header *headers; // read anew at each attempt; all are signed
    size_t header_count;

    const struct http_piece *body;
    size_t body_count;
    bool has_body;
    bool is_unsigned; // the body says who asks: no credentials are taken from the provider
    enum s3_payload payload;

    bool is_about_etag;     // has a condition on an ETag: 412 is ESTALE, not EEXIST
    bool may_fail_with_200; // an <Error> document may stand in a 200's body
    bool is_conflict_final; // 409 ConditionalRequestConflict: to send it again is of no use

    // After a failed attempt: true when there was progress since the one before, so that attempts
    // are counted anew. May change what `headers` points to, and header_count. May be NULL.
    bool (*has_progressed)(void *context);
    // Reads a 2xx's answer. An error says that it cannot be used, and then the request counts as
    // not answered: it is tried again. May be called several times; may be NULL.
    int (*read)(void *context, struct s3_reply *reply, struct err *err);
    // Asked of a request that may have taken effect: true when it turns out that it has, which ends
    // it with 0 and no answer. May be NULL.
    bool (*is_settled)(void *context);
    // Asked for 2xx answers only: true to have the body go to on_bytes. NULL: kept in memory.
    bool (*wants_bytes)(void *context, const struct http_response *response);
    // As in base/http.h. An error of its own ends the request, without another attempt.
    int (*on_bytes)(void *context, const void *bytes, size_t size);
    void *context;

    size_t body_limit; // of the answer's body in memory; 0: HTTP_BODY_LIMIT
    bool is_slow;      // the store may need minutes in which not a byte comes
};

struct s3_reply {
    struct http_response http;
    bool is_in_doubt; // an earlier attempt failed and may have taken effect nevertheless
    bool is_settled;  // request->is_settled said so, and `read` has read nothing
};

// 0 for a 2xx; else -errno with *err filled, and the answer, where there was one, in *ret_reply
// all the same. The caller ends it with s3_reply_done in either case.
int s3_request_send(struct s3_service *service, struct call *call, const struct s3_request *request,
                    struct s3_reply *ret_reply, struct err *err);
void s3_reply_done(struct s3_reply *reply);
static inline void s3_reply_scope(struct s3_reply *reply)
{
    s3_reply_done(reply);
}
#define auto_reply AUTO(s3_reply_scope)

// Reads the answer's XML (see xml.h). An answer that repeats a key which XML cannot hold is masked
// and read a second time: on_element then sees all of it again. EPROTO where it is no XML.
int s3_reply_read(struct s3_reply *reply, xml_on_element *on_element, void *context,
                  struct err *err);

// One element of the answer's XML, which has to be there. EPROTO where it is not, or is too long.
struct s3_reply_field {
    const char *path; // of the element (xml.h)
    const char *what; // it is, for sentences: "an ETag"
    char *text;       // filled in
    size_t text_size; // with its end
};
int s3_reply_read_field(struct s3_reply *reply, const struct s3_reply_field *field,
                        struct err *err);

// "bucket/key", for sentences: written into buffer, cut where it does not fit.
const char *s3_request_subject(const struct s3_service *service, const struct s3_request *request,
                               char *buffer, size_t buffer_size);
