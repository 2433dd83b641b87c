#include "failure.h"

#include "base/buf.h"
#include "base/call.h"
#include "base/scope.h"
#include "xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// What the sentence says behind "S3 refuses s3:PutObject on bucket/key: ".
struct meaning {
    const char *code;
    int errnum;
    bool is_retryable;
    enum s3_remedy remedy;
    const char *text;
};

// Ceph says AccessDenied of unknown keys and wrong signatures too.
static const char ACCESS_DENIED[] = "the credentials lack this permission, which the policy of "
                                    "their user or role, or of the bucket, gives; or they are not "
                                    "known there";
#define EXPIRED "the credentials have expired: renew them"
#define WRONG_REGION "the bucket lives in another region"

static const struct meaning meanings[] = {
    // Who asks
    {"AccessDenied", EACCES, false, S3_REMEDY_NONE, ACCESS_DENIED},
    {"InvalidAccessKeyId", EACCES, false, S3_REMEDY_NONE, "the access key is not known there"},
    {"InvalidClientTokenId", EACCES, false, S3_REMEDY_NONE, "the access key is not known there"},
    {"SignatureDoesNotMatch", EACCES, false, S3_REMEDY_NONE,
     "the secret key does not belong to the access key"},
    {"InvalidToken", EACCES, false, S3_REMEDY_NONE,
     "the session token does not belong to the access key"},
    {"ExpiredToken", EACCES, false, S3_REMEDY_CREDENTIALS, EXPIRED},
    {"ExpiredTokenException", EACCES, false, S3_REMEDY_CREDENTIALS, EXPIRED},
    {"TokenRefreshRequired", EACCES, false, S3_REMEDY_CREDENTIALS, EXPIRED},
    {"RequestExpired", EACCES, false, S3_REMEDY_CLOCK,
     "this machine's clock differs too much from the server's: set it"},
    {"RequestTimeTooSkewed", EACCES, false, S3_REMEDY_CLOCK,
     "this machine's clock differs too much from the server's: set it"},
    {"AllAccessDisabled", EACCES, false, S3_REMEDY_NONE, "access to it is disabled"},
    {"AccountProblem", EACCES, false, S3_REMEDY_NONE, "there is a problem with the account"},
    {"InvalidObjectState", EACCES, false, S3_REMEDY_NONE,
     "the object is archived: restore it before it can be read"},
    // What is asked for
    {"NoSuchEntity", EACCES, false, S3_REMEDY_NONE, "there is no such role: check its ARN"},
    {"NoSuchBucket", ENOENT, false, S3_REMEDY_NONE,
     "there is no such bucket: check its name, and endpoint="},
    {"NoSuchKey", ENOENT, false, S3_REMEDY_NONE, "there is no such object"},
    {"NoSuchUpload", ENOENT, false, S3_REMEDY_NONE,
     "there is no such upload: it was completed or aborted"},
    {"NoSuchVersion", ENOENT, false, S3_REMEDY_NONE, "there is no such object"},
    {"InvalidBucketName", EINVAL, false, S3_REMEDY_NONE, "that is no bucket's name"},
    {"KeyTooLongError", ENAMETOOLONG, false, S3_REMEDY_NONE, "the key is too long"},
    {"MethodNotAllowed", EPERM, false, S3_REMEDY_NONE, "that is not allowed there"},
    {"EntityTooLarge", EFBIG, false, S3_REMEDY_NONE, "that is more than may be uploaded"},
    {"InvalidRange", EIO, false, S3_REMEDY_NONE, "the object is shorter than that"},
    // PreconditionFailed is worded by its condition, in explain().
    {"ConditionalRequestConflict", EEXIST, true, S3_REMEDY_NONE,
     "somebody else was writing it at the same time"},
    {"OperationAborted", EIO, true, S3_REMEDY_NONE, "another operation on it was under way"},
    {"NotImplemented", EOPNOTSUPP, false, S3_REMEDY_NONE, "this store cannot do that"},
    {"NotSupported", EOPNOTSUPP, false, S3_REMEDY_NONE, "this store cannot do that"},
    {"XNotImplemented", EOPNOTSUPP, false, S3_REMEDY_NONE, "this store cannot do that"},
    // Web identity
    {"InvalidIdentityToken", EACCES, false, S3_REMEDY_NONE,
     "the identity token is refused: its issuer is not known there as an identity provider, or the "
     "token is damaged"},
    {"IDPRejectedClaim", EACCES, false, S3_REMEDY_NONE,
     "the identity provider rejects the token, or the token is not for this audience"},
    {"IDPCommunicationError", EIO, true, S3_REMEDY_NONE, "the identity provider does not answer"},
    // Room
    {"QuotaExceeded", EDQUOT, false, S3_REMEDY_NONE, "the quota is used up"},
    {"XMinioStorageFull", ENOSPC, false, S3_REMEDY_NONE, "the store is full"},
    {"InsufficientCapacity", ENOSPC, false, S3_REMEDY_NONE, "the store is full"},
    // The way there: bytes that were altered, transfers that were cut
    {"BadDigest", EIO, true, S3_REMEDY_NONE, "the bytes that arrived were not those sent"},
    {"XAmzContentSHA256Mismatch", EIO, true, S3_REMEDY_NONE,
     "the bytes that arrived were not those sent"},
    {"XAmzContentChecksumMismatch", EIO, true, S3_REMEDY_NONE,
     "the bytes that arrived were not those sent"},
    {"IncompleteBody", EIO, true, S3_REMEDY_NONE, "not all bytes arrived"},
    {"RequestTimeout", EIO, true, S3_REMEDY_NONE, "the bytes did not arrive in time"},
    {"SlowDown", EIO, true, S3_REMEDY_NONE, "it is asked too often"},
    {"Throttling", EIO, true, S3_REMEDY_NONE, "it is asked too often"},
    {"ThrottlingException", EIO, true, S3_REMEDY_NONE, "it is asked too often"},
    {"RequestLimitExceeded", EIO, true, S3_REMEDY_NONE, "it is asked too often"},
    {"BandwidthLimitExceeded", EIO, true, S3_REMEDY_NONE, "it is asked too often"},
    {"InternalError", EIO, true, S3_REMEDY_NONE, "the store failed"},
    {"ServiceUnavailable", EIO, true, S3_REMEDY_NONE, "the store is not available"},
    // Where it is asked
    {"PermanentRedirect", EIO, false, S3_REMEDY_REGION, WRONG_REGION},
    {"TemporaryRedirect", EIO, false, S3_REMEDY_REGION, WRONG_REGION},
    {"Redirect", EIO, false, S3_REMEDY_REGION, WRONG_REGION},
    {"AuthorizationHeaderMalformed", EINVAL, false, S3_REMEDY_REGION, WRONG_REGION},
    {"AuthorizationQueryParametersError", EINVAL, false, S3_REMEDY_REGION, WRONG_REGION},
    {"IllegalLocationConstraintException", EINVAL, false, S3_REMEDY_REGION, WRONG_REGION},
    {"InvalidRegion", EINVAL, false, S3_REMEDY_REGION, WRONG_REGION},
};

// Where the code says nothing: HEAD's answers have no body, and proxies have words of their own.
static struct meaning meaning_of_status(int status)
{
    switch (status) {
    case 301:
    case 302:
    case 307:
    case 308:
        return (struct meaning){"", EIO, false, S3_REMEDY_REGION, WRONG_REGION};
    case 400: // HEAD's bare answer to expired credentials, and to a wrong region
        return (struct meaning){"", EIO, false, S3_REMEDY_CREDENTIALS, "the request is refused"};
    case 401:
    case 403:
        return (struct meaning){"", EACCES, false, S3_REMEDY_CLOCK, ACCESS_DENIED};
    case 404:
        return (struct meaning){"", ENOENT, false, S3_REMEDY_NONE, "it is not there"};
    case 409:
        return (struct meaning){"", EIO, false, S3_REMEDY_NONE, "something stands in the way"};
    case 413:
        return (struct meaning){"", EFBIG, false, S3_REMEDY_NONE, "it is too large"};
    case 416:
        return (struct meaning){"", EIO, false, S3_REMEDY_NONE, "the object is shorter than that"};
    case 501:
        return (struct meaning){"", EOPNOTSUPP, false, S3_REMEDY_NONE, "this store cannot do that"};
    case 507:
        return (struct meaning){"", ENOSPC, false, S3_REMEDY_NONE, "the store is full"};
    default:
        return (struct meaning){"", EIO, http_status_is_retryable(status), S3_REMEDY_NONE,
                                status >= 500 ? "the store failed" : "the request is refused"};
    }
}

static struct meaning meaning_of(const struct http_response *response,
                                 const struct s3_answer *answer)
{
    for (size_t i = 0; *answer->code && i < ARRAY_SIZE(meanings); i++)
        if (strcmp(answer->code, meanings[i].code) == 0)
            return meanings[i];
    struct meaning meaning = meaning_of_status(response->status);
    if (*answer->code && response->status == 400)
        meaning.remedy = S3_REMEDY_NONE; // a fault that has a name is not the nameless one
    return meaning;
}

// ---- the error document -------------------------------------------------------------------

static void keep(char *field, size_t field_size, const char *text)
{
    snprintf(field, field_size, "%s", text);
}

// S3: Error/Code. STS: ErrorResponse/Error/Code.
static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    (void)err;
    struct s3_answer *answer = context;
    if (strncmp(path, "ErrorResponse/", strlen("ErrorResponse/")) == 0)
        path += strlen("ErrorResponse/");
    if (strcmp(path, "Error/Code") == 0)
        keep(answer->code, sizeof(answer->code), text);
    else if (strcmp(path, "Error/Message") == 0)
        keep(answer->message, sizeof(answer->message), text);
    else if (strcmp(path, "Error/Region") == 0 && s3_region_is_valid(text))
        keep(answer->region, sizeof(answer->region), text);
    return 0;
}

bool s3_answer_read(const struct http_response *response, struct s3_answer *ret_answer)
{
    struct s3_answer answer = {0};
    struct err ignored = {0};
    if (response->body.size > 0)
        (void)xml_read(response->body.bytes, response->body.size, on_element, &answer, &ignored);
    const char *region = http_response_header(response, "x-amz-bucket-region");
    if (region && s3_region_is_valid(region))
        keep(answer.region, sizeof(answer.region), region);
    *ret_answer = answer;
    return *answer.code || *answer.region || http_response_header(response, "x-amz-request-id") ||
           http_response_header(response, "x-amzn-requestid");
}

enum s3_remedy s3_answer_remedy(const struct http_response *response,
                                const struct s3_answer *answer)
{
    struct meaning meaning = meaning_of(response, answer);
    // The bucket's region on a bare 400 says what is wrong better than the status does.
    if (!*answer->code && response->status == 400 && *answer->region)
        return S3_REMEDY_REGION;
    return meaning.remedy;
}

// ---- the sentence -------------------------------------------------------------------------

static bool is_sts(const struct s3_question *question)
{
    return strcmp(question->service, "sts") == 0;
}

// What the table's words say too little of, or cannot know.
static const char *explain(const struct s3_question *question, const struct meaning *meaning)
{
    if (meaning->errnum == EEXIST && !meaning->is_retryable)
        return "an object of that name is already there";
    if (meaning->errnum == ESTALE)
        return "the object is another by now";
    if (is_sts(question) && !question->access_key && meaning->errnum == EACCES) {
        if (meaning->text == ACCESS_DENIED)
            return "the role's trust policy does not let this identity token assume it";
        if (meaning->remedy == S3_REMEDY_CREDENTIALS)
            return "the identity token has expired";
    }
    if (is_sts(question) && meaning->text == ACCESS_DENIED)
        return "these credentials may not assume it; the role's trust policy must name their user";
    return meaning->text;
}

// Of an access key only the end: enough to tell two apart.
static const char *key_tail(const char *access_key)
{
    size_t size = strlen(access_key);
    return size > 4 ? access_key + size - 4 : access_key;
}

static void append_advice(struct buf *text, const struct s3_question *question,
                          const struct meaning *meaning, const struct s3_answer *answer)
{
    if (meaning->errnum == EACCES && question->access_key)
        (void)buf_printf(text, "; signed with the access key ...%s",
                         key_tail(question->access_key));
    if (meaning->remedy != S3_REMEDY_REGION)
        return;
    if (*answer->region && strcmp(answer->region, question->place->region) != 0)
        (void)buf_printf(text, ", %s: set region=%s", answer->region, answer->region);
    else
        (void)buf_printf(text, " than %s: set region= to it", question->place->region);
}

int s3_failure(const struct s3_question *question, const struct http_response *response,
               const struct s3_answer *answer, int64_t now_ms, struct err *err)
{
    struct meaning meaning = meaning_of(response, answer);
    if (response->status == 412 || strcmp(answer->code, "PreconditionFailed") == 0)
        meaning = (struct meaning){.errnum = question->is_about_etag ? ESTALE : EEXIST};
    auto_buf struct buf advice = BUF_INIT(ERR_TEXT_SIZE);
    append_advice(&advice, question, &meaning, answer);
    err_set(err, meaning.errnum, "%s at %s %s %s on %s: %s%s (%d%s%s%s%s)",
            is_sts(question) ? "STS" : "S3", question->place->origin,
            response->status >= 400 && response->status < 500 ? "refuses" : "fails",
            question->action, question->subject, explain(question, &meaning), buf_text(&advice),
            response->status, *answer->code ? " " : "", answer->code, *answer->message ? ": " : "",
            answer->message);
    err->http_status = response->status;
    err->is_retryable = meaning.is_retryable;
    if (meaning.is_retryable)
        err->retry_after_ms =
            retry_after_parse(http_response_header(response, "retry-after"), now_ms);
    keep(err->code, sizeof(err->code), answer->code);
    return -err->errnum;
}
