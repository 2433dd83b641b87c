// failure.h - what a refusing answer of S3 or STS means: an errno, a sentence, and what might
// mend it.
//
// Spec: "Error responses" of the S3 API reference, "Common Errors" of the STS one. Codes that
// the table in failure.c does not know are judged by their HTTP status. A sentence names what
// was asked, of what, and where; it holds no secret, and of an access key the last letters only.
#pragma once

#include "base/err.h"
#include "base/http.h"
#include "place.h"

// What was asked: for sentences.
struct s3_question {
    const char *service; // "s3", "sts"
    const char *action;  // as IAM calls it: "s3:PutObject"
    const char *subject; // "bucket/key", or a role's ARN
    const struct s3_place *place;
    const char *access_key; // that signed it, NULL where nobody did
    bool is_about_etag;     // it had a condition on an ETag, not on absence
};

// What an answer's body says, as far as it says it.
struct s3_answer {
    char code[64];
    char message[256];
    char region[S3_REGION_SIZE_MAX + 1]; // where the bucket lives, from header or body; "" unknown
};

// Total. False where the answer is none of S3's or STS's: neither an error document, nor the
// headers that these services put on their answers.
bool s3_answer_read(const struct http_response *response, struct s3_answer *ret_answer);

// Fills *err (errno, status, code, whether a retry may help, sentence); returns -errno.
int s3_failure(const struct s3_question *question, const struct http_response *response,
               const struct s3_answer *answer, int64_t now_ms, struct err *err);

// What the answer's code, or the bare status where there is none, says of the way to go on.
enum s3_remedy {
    S3_REMEDY_NONE,        // final, or a retry as err->is_retryable says
    S3_REMEDY_CREDENTIALS, // expired: ask the provider again
    S3_REMEDY_CLOCK,       // the signature's time is off: look at Date
    S3_REMEDY_REGION,      // signed for, or sent to, another region than the bucket's
};
enum s3_remedy s3_answer_remedy(const struct http_response *response,
                                const struct s3_answer *answer);
