#include "request.h"

#include "base/digest.h"
#include "base/url.h"
#include "failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    URL_LIMIT = 64 * 1024, // bytes: a key of 1024 escaped ones, and continuation tokens
    ADDED_HEADERS_MAX = 4, // host, date, payload hash, Content-MD5
    SUBJECT_SIZE = 320,    // of "bucket/key" in a sentence
};

// One request on its way, over all its attempts.
struct sending {
    struct s3_service *service;
    struct call *call;
    const struct s3_request *request;
    char payload[SHA256_HEX_SIZE]; // hash, or SIGV4_UNSIGNED_PAYLOAD
    char *content_md5;             // NULL where none is sent
    char subject[SUBJECT_SIZE];

    // Each mends a request once.
    bool has_moved;
    bool has_renewed;
    bool has_set_clock;
};

// One of its attempts.
struct attempt {
    struct sending *sending;
    const struct s3_place *place;
    struct s3_credentials *credentials; // NULL for an unsigned request
    struct s3_skew_reading reading;
    int sink_result; // what the caller's on_bytes answered, when that was an error
};

// ---- building -----------------------------------------------------------------------------

static void hash_payload(struct sending *sending)
{
    const struct s3_request *request = sending->request;
    struct sha256 sha;
    sha256_init(&sha);
    for (size_t i = 0; i < request->body_count; i++)
        sha256_update(&sha, request->body[i].bytes, request->body[i].size);
    sha256_final_hex(&sha, sending->payload);
}

static int sum_payload(struct sending *sending, struct err *err)
{
    const struct s3_request *request = sending->request;
    auto_free struct digest_piece *pieces = calloc(request->body_count + 1, sizeof(*pieces));
    if (!pieces)
        return err_no_memory(err);
    for (size_t i = 0; i < request->body_count; i++)
        pieces[i] = (struct digest_piece){request->body[i].bytes, request->body[i].size};
    uint8_t md5[MD5_SIZE];
    md5_of(pieces, request->body_count, md5);
    sending->content_md5 = digest_base64(md5, sizeof(md5));
    return sending->content_md5 ? 0 : err_no_memory(err);
}

static int guard_payload(struct sending *sending, struct err *err)
{
    bool is_bulk = sending->request->payload == S3_PAYLOAD_BULK;
    bool is_guarded = s3_service_place(sending->service)->is_tls;
    if (!is_bulk || (!is_guarded && sending->service->signs_bulk)) {
        hash_payload(sending);
        return 0;
    }
    snprintf(sending->payload, sizeof(sending->payload), "%s", SIGV4_UNSIGNED_PAYLOAD);
    return is_guarded ? 0 : sum_payload(sending, err);
}

// The path as it is sent and signed: percent-encoded once.
static int build_path(const struct attempt *attempt, struct buf *path, struct err *err)
{
    const char *key = attempt->sending->request->key ? attempt->sending->request->key : "";
    (void)buf_printf(path, "%s/", attempt->place->base_path);
    (void)url_encode(path, key, strlen(key), true);
    return path->is_full ? err_no_memory(err) : 0;
}

static int build_url(const struct attempt *attempt, const char *path, struct buf *url,
                     struct err *err)
{
    const struct s3_request *request = attempt->sending->request;
    (void)buf_printf(url, "%s%s%s", attempt->place->url, path, request->query_count ? "?" : "");
    int r = sigv4_query_text(request->query, request->query_count, url, err);
    if (r == 0 && url->is_full)
        r = err_no_memory(err);
    return r;
}

// What is sent in the open; returns how many.
static size_t build_headers(const struct attempt *attempt, const char *date,
                            struct http_header *headers)
{
    const struct sending *sending = attempt->sending;
    size_t count = sending->request->header_count;
    if (count > 0)
        memcpy(headers, sending->request->headers, count * sizeof(headers[0]));
    headers[count++] = (struct http_header){"Host", attempt->place->host};
    headers[count++] = (struct http_header){"x-amz-date", date};
    // STS has the hash in its signature, and no header for it.
    if (strcmp(sending->service->name, "s3") == 0)
        headers[count++] = (struct http_header){"x-amz-content-sha256", sending->payload};
    if (sending->content_md5)
        headers[count++] = (struct http_header){"Content-MD5", sending->content_md5};
    return count;
}

// ---- one attempt --------------------------------------------------------------------------

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

// Asked when the headers are in: the moment at which Date is to be compared.
static bool attempt_wants_bytes(void *context, const struct http_response *response)
{
    struct attempt *attempt = context;
    const struct s3_request *request = attempt->sending->request;
    s3_skew_arrived(attempt->sending->service->skew, &attempt->reading);
    return is_success(response->status) && request->wants_bytes &&
           request->wants_bytes(request->context, response);
}

static int attempt_on_bytes(void *context, const void *bytes, size_t size)
{
    struct attempt *attempt = context;
    const struct s3_request *request = attempt->sending->request;
    int r = request->on_bytes(request->context, bytes, size);
    if (r < 0 && r != -ECANCELED)
        attempt->sink_result = r;
    return r;
}

static int sign(const struct attempt *attempt, const char *path, const struct http_header *headers,
                size_t header_count, struct secret **ret_authorization, struct err *err)
{
    const struct sending *sending = attempt->sending;
    struct sigv4_key key = {
        .credentials = attempt->credentials,
        .region = attempt->place->region,
        .service = sending->service->name,
    };
    struct sigv4_request request = {
        .method = sending->request->method,
        .path = path,
        .query = sending->request->query,
        .query_count = sending->request->query_count,
        .headers = headers,
        .header_count = header_count,
        .payload = sending->payload,
    };
    return sigv4_sign_headers(&key, &request, attempt->reading.sent_ms, ret_authorization, err);
}

static int perform(struct attempt *attempt, struct http_response *ret_response, struct err *err)
{
    const struct sending *sending = attempt->sending;
    const struct s3_request *request = sending->request;
    auto_buf struct buf path = BUF_INIT(URL_LIMIT);
    auto_buf struct buf url = BUF_INIT(URL_LIMIT);
    int r = build_path(attempt, &path, err);
    if (r == 0)
        r = build_url(attempt, buf_text(&path), &url, err);
    if (r < 0)
        return r;

    s3_skew_sent(sending->service->skew, &attempt->reading);
    char date[CLOCK_BASIC_SIZE];
    clock_format_basic(attempt->reading.sent_ms, date);
    struct http_header headers[S3_REQUEST_HEADERS_MAX + ADDED_HEADERS_MAX + 1];
    size_t count = build_headers(attempt, date, headers);
    // The token is signed like every header, but sent apart: it is a secret.
    const struct secret *token =
        attempt->credentials ? s3_credentials_session_token(attempt->credentials) : NULL;
    struct http_header token_header = {"x-amz-security-token", secret_text(token)};
    headers[count] = token_header;
    auto_secret struct secret *authorization = NULL;
    if (attempt->credentials)
        r = sign(attempt, buf_text(&path), headers, count + (token ? 1 : 0), &authorization, err);
    if (r < 0)
        return r;

    struct http_request http = {
        .method = request->method,
        .url = buf_text(&url),
        .headers = headers,
        .header_count = count,
        .authorization = authorization,
        .secret_headers = &token_header,
        .secret_header_count = token ? 1 : 0,
        .body = request->body,
        .body_count = request->body_count,
        .has_body = request->has_body,
        .wants_bytes = attempt_wants_bytes,
        .on_bytes = attempt_on_bytes,
        .context = attempt,
        .body_limit = request->body_limit,
        .is_slow = request->is_slow,
    };
    return http_perform(sending->service->http, sending->call, &http, ret_response, err);
}

// ---- what came back -----------------------------------------------------------------------

static int not_the_service(const struct sending *sending, const struct s3_place *place,
                           const struct http_response *response, struct err *err)
{
    bool is_retryable = http_status_is_retryable(response->status);
    err_set(err, is_retryable ? EIO : EPROTO,
            "%s answers %d to %s on %s as no %s does: check the endpoint, and what stands in "
            "between",
            place->origin, response->status, sending->request->action, sending->subject,
            strcmp(sending->service->name, "s3") == 0 ? "S3" : "STS");
    err->http_status = response->status;
    err->is_retryable = is_retryable;
    return -err->errnum;
}

// What an answer that is not the one asked for says beside its error.
struct verdict {
    enum s3_remedy remedy;
    char region[S3_REGION_SIZE_MAX + 1];
    bool is_from_service; // not from a proxy, or whatever else listens there
};

// 0 when the answer is what was asked for.
static int judge(const struct attempt *attempt, const struct http_response *response,
                 struct verdict *ret_verdict, struct err *err)
{
    const struct sending *sending = attempt->sending;
    const struct s3_request *request = sending->request;
    ret_verdict->is_from_service = http_response_header(response, "x-amz-request-id") ||
                                   http_response_header(response, "x-amzn-requestid");
    if (is_success(response->status) && !request->may_fail_with_200)
        return 0;
    struct s3_answer answer;
    ret_verdict->is_from_service = s3_answer_read(response, &answer);
    if (is_success(response->status) && !*answer.code)
        return 0;
    // Refusals of HEAD have no document by which to know who speaks.
    bool is_expected = ret_verdict->is_from_service ||
                       (strcmp(request->method, "HEAD") == 0 && response->status < 500);
    if (!is_expected)
        return not_the_service(sending, attempt->place, response, err);
    struct s3_question question = {
        .service = sending->service->name,
        .action = request->action,
        .subject = sending->subject,
        .place = attempt->place,
        .access_key = attempt->credentials ? s3_credentials_access_key(attempt->credentials) : NULL,
        .is_about_etag = request->is_about_etag,
    };
    ret_verdict->remedy = s3_answer_remedy(response, &answer);
    memcpy(ret_verdict->region, answer.region, sizeof(answer.region));
    int r = s3_failure(&question, response, &answer, clock_now_ms(sending->service->clock), err);
    if (request->is_conflict_final && strcmp(err->code, "ConditionalRequestConflict") == 0)
        err->is_retryable = false;
    return r;
}

// True when the request should be sent once more at once.
static bool mend(const struct attempt *attempt, const struct verdict *verdict,
                 bool is_clock_corrected)
{
    struct sending *sending = attempt->sending;
    switch (verdict->remedy) {
    case S3_REMEDY_REGION:
        if (sending->has_moved || !*verdict->region)
            return false;
        sending->has_moved = true;
        return s3_service_move(sending->service, attempt->place, verdict->region);
    case S3_REMEDY_CREDENTIALS:
        if (sending->has_renewed || !attempt->credentials ||
            !s3_credentials_session_token(attempt->credentials))
            return false;
        sending->has_renewed = true;
        return s3_provider_replace(sending->service->provider, sending->call, attempt->credentials);
    case S3_REMEDY_CLOCK:
        if (sending->has_set_clock)
            return false;
        sending->has_set_clock = true;
        return is_clock_corrected;
    case S3_REMEDY_NONE:
        break;
    }
    return false;
}

// Only what the service itself says counts: the Date of a proxy's page, or of an answer from a
// cache, does not.
static bool learn_clock(const struct attempt *attempt, const struct http_response *response,
                        bool is_from_service)
{
    bool is_fresh = is_from_service && !http_response_header(response, "age");
    return s3_skew_observe(attempt->sending->service->skew, &attempt->reading,
                           is_fresh ? http_response_header(response, "date") : NULL);
}

// ---- the loop -----------------------------------------------------------------------------

// An answer that cannot be used is as good as none: what spoilt it may have passed.
static int read_answer(const struct attempt *attempt, struct s3_reply *reply, struct err *err)
{
    const struct sending *sending = attempt->sending;
    const struct s3_request *request = sending->request;
    if (!request->read || request->read(request->context, reply, err) == 0)
        return 0;
    err_wrap(err, "%s on %s at %s", request->action, sending->subject, attempt->place->origin);
    err->is_retryable = err->errnum != ENOMEM;
    err->retry_after_ms = -1;
    return -err->errnum;
}

enum outcome { OUTCOME_DONE, OUTCOME_AGAIN_NOW, OUTCOME_FAILED };

// One attempt, from credentials to judgement. *err is filled unless it is DONE.
static enum outcome try_once(struct sending *sending, struct s3_reply *reply, struct err *err)
{
    struct attempt attempt = {.sending = sending, .place = s3_service_place(sending->service)};
    auto_credentials struct s3_credentials *credentials = NULL;
    int r = 0;
    if (!sending->request->is_unsigned)
        r = s3_provider_get(sending->service->provider, sending->call, &credentials, err);
    if (r < 0)
        return OUTCOME_FAILED;
    attempt.credentials = credentials;
    http_response_done(&reply->http);
    r = perform(&attempt, &reply->http, err);
    if (r < 0) {
        if (attempt.sink_result != 0)
            err->is_retryable = false;
        else
            err_wrap(err, "%s on %s", sending->request->action, sending->subject);
        return OUTCOME_FAILED;
    }
    struct verdict verdict = {0};
    r = judge(&attempt, &reply->http, &verdict, err);
    bool is_clock_corrected = learn_clock(&attempt, &reply->http, verdict.is_from_service);
    if (r == 0)
        return read_answer(&attempt, reply, err) < 0 ? OUTCOME_FAILED : OUTCOME_DONE;
    return mend(&attempt, &verdict, is_clock_corrected) ? OUTCOME_AGAIN_NOW : OUTCOME_FAILED;
}

// Who refuses a request, or sends it elsewhere, has not done it.
static bool may_have_taken_effect(const struct err *failure)
{
    int status = failure->http_status;
    return status < 300 || (status >= 500 && status != 501);
}

static int send_until_settled(struct sending *sending, struct s3_reply *reply, struct err *err)
{
    const struct s3_request *request = sending->request;
    for (int attempt = 1;; attempt++) {
        struct err failure = {0};
        enum outcome outcome = try_once(sending, reply, &failure);
        if (outcome == OUTCOME_DONE) {
            call_went_well(sending->call);
            return 0;
        }
        if (request->has_progressed && request->has_progressed(request->context))
            attempt = 1;
        if (outcome == OUTCOME_AGAIN_NOW) {
            call_tell(sending->call, &failure, 0);
            continue;
        }
        reply->is_in_doubt |= may_have_taken_effect(&failure);
        bool is_again = call_should_retry(sending->call, attempt, &failure);
        if (reply->is_in_doubt && failure.errnum != EINTR && request->is_settled &&
            request->is_settled(request->context)) {
            reply->is_settled = true;
            return 0;
        }
        if (!is_again) {
            *err = failure;
            return -err->errnum;
        }
    }
}

const char *s3_request_subject(const struct s3_service *service, const struct s3_request *request,
                               char *buffer, size_t buffer_size)
{
    if (request->subject)
        snprintf(buffer, buffer_size, "%s", request->subject);
    else
        snprintf(buffer, buffer_size, "%s%s%s", service->bucket ? service->bucket : "",
                 request->key ? "/" : "", request->key ? request->key : "");
    return buffer;
}

int s3_request_send(struct s3_service *service, struct call *call, const struct s3_request *request,
                    struct s3_reply *ret_reply, struct err *err)
{
    *ret_reply = (struct s3_reply){0};
    if (request->header_count > S3_REQUEST_HEADERS_MAX)
        return err_set(err, E2BIG, "%s with more than %d headers", request->action,
                       S3_REQUEST_HEADERS_MAX);
    if (request->key && strlen(request->key) > S3_KEY_SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "a key of more than %d bytes", S3_KEY_SIZE_MAX);
    struct sending sending = {.service = service, .call = call, .request = request};
    s3_request_subject(service, request, sending.subject, sizeof(sending.subject));
    int r = guard_payload(&sending, err);
    if (r == 0)
        r = send_until_settled(&sending, ret_reply, err);
    free(sending.content_md5);
    return r;
}

int s3_reply_read(struct s3_reply *reply, xml_on_element *on_element, void *context,
                  struct err *err)
{
    struct buf *body = &reply->http.body;
    int r = xml_read(body->bytes, body->size, on_element, context, err);
    if (r == -EBADMSG && body->size > 0) {
        xml_mask(body->bytes, body->size);
        r = xml_read(body->bytes, body->size, on_element, context, err);
    }
    if (r == -EBADMSG) // no XML at all: then it is no S3
        err->errnum = EPROTO;
    return r < 0 ? -err->errnum : 0;
}

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    const struct s3_reply_field *field = context;
    size_t size = strlen(text) + 1;
    if (strcmp(path, field->path) != 0)
        return 0;
    if (size > field->text_size)
        return err_set(err, EPROTO, "%s of %zu bytes", field->what, size - 1);
    memcpy(field->text, text, size);
    return 0;
}

int s3_reply_read_field(struct s3_reply *reply, const struct s3_reply_field *field, struct err *err)
{
    struct s3_reply_field wanted = *field;
    field->text[0] = '\0';
    int r = s3_reply_read(reply, on_element, &wanted, err);
    if (r == 0 && field->text[0] == '\0')
        r = err_set(err, EPROTO, "the store answers without %s", field->what);
    return r;
}

void s3_reply_done(struct s3_reply *reply)
{
    // An answer of STS holds secrets.
    secret_wipe(reply->http.body.bytes, reply->http.body.capacity);
    http_response_done(&reply->http);
}
