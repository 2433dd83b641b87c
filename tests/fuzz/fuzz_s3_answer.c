// Refusals of S3 and STS: what they mean, and the sentence.

#include "fuzz.h"

#include "s3/failure.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct http_response response = {.status = 100 + (size > 0 ? bytes[0] * 2 : 0)};
    if (size > 0)
        response.body = (struct buf){.bytes = fuzz_text(bytes + 1, size - 1), .size = size - 1};
    static char region[] = "us-east-1", origin[] = "https://s3:443";
    struct s3_place place = {.region = region, .origin = origin};
    struct s3_question question = {
        .service = "s3", .action = "s3:GetObject", .subject = "b/k", .place = &place};
    struct s3_answer answer;
    struct err err = {0};
    (void)s3_answer_read(&response, &answer);
    (void)s3_answer_remedy(&response, &answer);
    if (s3_failure(&question, &response, &answer, 0, &err) >= 0 || !*err.text)
        abort();
    free(response.body.bytes);
    return 0;
}
