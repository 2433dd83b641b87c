#include "link_trial.h"

#include "failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

// AWS names the action that is missing in the message of an AccessDenied; what is wrong with the
// key itself (disabled, about to be deleted) has codes of its own.
static bool is_about_kms(const struct s3_answer *answer)
{
    return begins_with(answer->code, "KMS.") ||
           (strcmp(answer->code, "AccessDenied") == 0 && strstr(answer->message, "kms:"));
}

static int kms_failure(const struct link_trial *trial, const struct http_response *response,
                       const struct s3_answer *answer, struct err *err)
{
    const char *given = trial->kms_key ? trial->kms_key : "";
    return err_set(
        err, EACCES,
        "a link to %s answers %d: it is encrypted with a KMS key, and %s may not decrypt "
        "with that; %s%s, and the policies of the role and of the key must allow "
        "kms:Decrypt (%s%s%s)",
        trial->key, response->status, trial->signer,
        trial->kms_key ? "kms_key= lets links use " : "mount with kms_key= and its ARN", given,
        answer->code, *answer->message ? ": " : "", answer->message);
}

static int refusal(const struct link_trial *trial, const struct http_response *response,
                   const struct s3_answer *answer, struct err *err)
{
    struct s3_client *client = trial->client;
    char subject[320];
    snprintf(subject, sizeof(subject), "%s/%s", s3_client_bucket(client), trial->key);
    const struct s3_question question = {
        .service = "s3",
        .action = "s3:GetObject",
        .subject = subject,
        .place = s3_service_place(&client->service),
        .access_key = trial->access_key,
    };
    (void)s3_failure(&question, response, answer, clock_now_ms(client->service.clock), err);
    err->errnum = EACCES;
    err->is_retryable = false;
    return err_wrap(err, "links that %s signs would not work", trial->signer);
}

// What the answer says of the link's holder.
static int judge(const struct link_trial *trial, const struct http_response *response,
                 bool *ret_is_proven, struct err *err)
{
    struct s3_answer answer;
    bool is_from_service = s3_answer_read(response, &answer);
    // 416: the object is empty. An archived one may be read as far as permissions go.
    if ((response->status >= 200 && response->status < 300) || response->status == 416 ||
        strcmp(answer.code, "InvalidObjectState") == 0) {
        *ret_is_proven = true;
        return 0;
    }
    if (is_from_service && is_about_kms(&answer))
        return kms_failure(trial, response, &answer, err);
    // A proxy's refusal, or a clock's, says nothing of the role.
    enum s3_remedy remedy = s3_answer_remedy(response, &answer);
    if (is_from_service && response->status == 403 && *answer.code && remedy == S3_REMEDY_NONE)
        return refusal(trial, response, &answer, err);
    return 0;
}

int link_trial_run(const struct link_trial *trial, struct call *call, bool *ret_is_proven,
                   struct err *err)
{
    static const struct http_header range = {"Range", "bytes=0-0"};
    const struct http_request request = {
        .method = "GET",
        .url = trial->url,
        .headers = &range,
        .header_count = 1,
        .body_limit = S3_ERROR_BODY_LIMIT,
    };
    struct err unanswered = {0};
    auto_http_response struct http_response response = {0};
    *ret_is_proven = false;
    int r = http_perform(trial->client->service.http, call, &request, &response, &unanswered);
    if (r == 0)
        return judge(trial, &response, ret_is_proven, err);
    if (r == -EINTR || r == -ENOMEM) {
        *err = unanswered;
        return r;
    }
    return 0; // that the store cannot be reached, whoever asks for a byte will see
}
