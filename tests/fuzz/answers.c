#include "answers.h"

#include "base/http.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *text;
    char *next; // the answer that is given next, NULL for none
    char *end;
} answers;

static int64_t now_ms(const struct clock *clock)
{
    (void)clock;
    return INT64_C(1369353600000);
}

static void correct(const struct clock *clock, int64_t offset_ms)
{
    (void)clock;
    (void)offset_ms;
}

const struct clock answers_clock = {now_ms, now_ms, correct};

void answers_call(struct call *call)
{
    call_init(call, &answers_clock);
    atomic_store(&call->retries_left, 0);
}

const char *answers_begin(const uint8_t *bytes, size_t size)
{
    answers.text = fuzz_text(bytes, size);
    answers.end = answers.text + size;
    answers.next = memchr(answers.text, '\n', size);
    if (answers.next)
        *answers.next++ = '\0';
    return answers.text;
}

void answers_end(void)
{
    free(answers.text);
}

// The next line, its end cut off; NULL at the end.
static char *take_line(char **at, char *end)
{
    char *line = *at;
    char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    if (!newline)
        return NULL;
    *newline = '\0';
    *at = newline + 1;
    return line;
}

// As http.c leaves them: names in lower case, each behind a NUL, no control characters.
static void add_header(struct buf *headers, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon || colon == line)
        return;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (char *c = line; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    buf_append(headers, line, strlen(line) + 1);
    buf_append(headers, value, strlen(value) + 1);
}

static int give_body(const struct http_request *request, struct http_response *response,
                     const char *bytes, size_t size, struct err *err)
{
    if (request->on_bytes && request->wants_bytes &&
        request->wants_bytes(request->context, response)) {
        for (size_t at = 0, piece; at < size; at += piece) {
            piece = size - at < 100 ? size - at : 100;
            int r = request->on_bytes(request->context, bytes + at, piece);
            if (r < 0)
                return r == -ECANCELED ? 0 : err_set(err, -r, "not taken");
        }
        return 0;
    }
    return buf_append(&response->body, bytes, size) < 0 ? err_set(err, EFBIG, "too large") : 0;
}

int __wrap_http_perform(struct http_client *client, struct call *call,
                        const struct http_request *request, struct http_response *ret_response,
                        struct err *err);
int __wrap_http_perform(struct http_client *client, struct call *call,
                        const struct http_request *request, struct http_response *ret_response,
                        struct err *err)
{
    (void)client;
    (void)call;
    *ret_response = (struct http_response){
        .content_length = -1,
        .body = BUF_INIT(request->body_limit > 0 ? request->body_limit : HTTP_BODY_LIMIT),
    };
    char *at = answers.next;
    if (!at || at >= answers.end)
        return err_set(err, EIO, "no answer");
    size_t left = (size_t)(answers.end - at);
    char *gap = memmem(at, left, "\n%%\n", 4);
    char *end = gap ? gap : answers.end;
    answers.next = gap ? gap + 4 : NULL;

    char *line = take_line(&at, end);
    ret_response->status = line ? (int)strtol(line, NULL, 10) : 0;
    if (ret_response->status < 200 || ret_response->status > 599)
        return err_set(err, EIO, "no HTTP");
    struct buf headers = BUF_INIT(HTTP_HEADERS_LIMIT);
    while ((line = take_line(&at, end)) && *line)
        add_header(&headers, line);
    ret_response->headers_size = headers.size;
    ret_response->headers = buf_take(&headers);
    const char *length = http_response_header(ret_response, "content-length");
    ret_response->content_length = length ? strtoll(length, NULL, 10) : -1;
    return give_body(request, ret_response, at, (size_t)(end - at), err);
}
