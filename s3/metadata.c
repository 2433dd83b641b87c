#include "metadata.h"

#include "base/url.h"

#include <errno.h>

int metadata_http_new(int timeout_ms, struct http_client **ret_http, struct err *err)
{
    struct http_options options = {
        .user_agent = "prereleasefs/" PRERELEASEFS_VERSION,
        .connect_timeout_ms = timeout_ms,
        .total_timeout_ms = timeout_ms,
        .is_direct = true,
    };
    return http_client_new(&options, ret_http, err);
}

void metadata_answer_done(struct http_response *answer)
{
    if (answer->body.bytes)
        secret_wipe(answer->body.bytes, answer->body.capacity);
    http_response_done(answer);
}

static int ask_once(struct http_client *http, struct call *call,
                    const struct metadata_question *question, struct http_response *ret_answer,
                    struct err *err)
{
    struct http_request request = {
        .method = question->method,
        .url = question->url,
        .secret_headers = question->headers,
        .secret_header_count = question->header_count,
        .has_body = question->method[0] == 'P', // a PUT without a length is no request
        .body_limit = METADATA_ANSWER_LIMIT,
    };
    int r = http_perform(http, call, &request, ret_answer, err);
    if (r < 0)
        return r;
    int status = ret_answer->status;
    if (status == 200 && ret_answer->body.size > 0)
        return 0;
    char shown[200];
    url_without_query(question->url, shown, sizeof(shown));
    const char *advice = question->advise ? question->advise(status) : NULL;
    if (status == 200)
        err_set(err, EACCES, "%s answers nothing", shown);
    else
        err_set(err, EACCES, "%s answers %d%s%s", shown, status, advice ? ": " : "",
                advice ? advice : "");
    err->http_status = status;
    err->is_retryable = status == 200 || http_status_is_retryable(status);
    err->retry_after_ms = -1;
    return -EACCES;
}

int metadata_ask(struct http_client *http, struct call *call,
                 const struct metadata_question *question, struct http_response *ret_answer,
                 struct err *err)
{
    for (int attempt = 1;; attempt++) {
        int r = ask_once(http, call, question, ret_answer, err);
        if (r == 0)
            return 0;
        metadata_answer_done(ret_answer);
        if (attempt >= question->attempts || !call_should_retry(call, attempt, err))
            return -err->errnum;
        *err = (struct err){0};
    }
}
