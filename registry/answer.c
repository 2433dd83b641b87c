#include "answer.h"

#include "base/call.h"
#include "base/digest.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { WORDS_MAX = 200 }; // bytes of a registry's own words that enter a sentence

// "Basic dTpw": the registry knows `p` as well, which must not come back either.
static bool repeats_password(const char *words, const char *basic)
{
    size_t size;
    char *login = digest_from_base64(basic, &size);
    const char *colon = login == NULL ? NULL : memchr(login, ':', size);
    bool repeats = colon != NULL && colon[1] != '\0' && strstr(words, colon + 1) != NULL;
    if (login != NULL)
        secret_wipe(login, size);
    free(login);
    return repeats;
}

static bool repeats_secret(const char *words, const struct secret *authorization)
{
    const char *text = secret_text(authorization);
    const char *space = strchr(text, ' ');
    if (space == NULL || space[1] == '\0')
        return false;
    return strstr(words, space + 1) != NULL ||
           (strncmp(text, "Basic ", 6) == 0 && repeats_password(words, space + 1));
}

// A code is one word of the specification's kind; anything else is no code.
static void take_code(const json_t *error, struct err *err)
{
    const char *code = json_document_text(error, "code");
    size_t size = code == NULL ? 0 : strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    if (size > 0 && code[size] == '\0' && size < sizeof(err->code))
        memcpy(err->code, code, size + 1);
}

// {"errors":[{"code":"NAME_UNKNOWN","message":"...","detail":...}]}; token servers may say
// {"details":"incorrect username or password"} instead.
static void take_words(const struct http_response *response, const struct secret *authorization,
                       struct err *err, char *words, size_t words_size)
{
    struct err ignored;
    words[0] = '\0';
    auto_json json_t *body =
        json_document_parse(buf_text(&response->body), response->body.size, false, "it", &ignored);
    const json_t *error = json_array_get(json_object_get(body, "errors"), 0);
    const char *message = json_document_text(error, "message");
    take_code(error, err);
    if (message == NULL)
        message = json_document_text(body, "details");
    if (message == NULL || message[0] == '\0' || repeats_secret(message, authorization) ||
        repeats_secret(err->code, authorization))
        return;
    // What follows a '?' may be a signed link's query.
    snprintf(words, words_size, " (%.*s)", (int)strcspn(message, "?"), message);
    if (strlen(words) == words_size - 1)
        memcpy(words + words_size - 5, "...)", 5);
}

// GitHub answers 403 where others answer 429.
static bool is_rate_limit(const struct http_response *response)
{
    const char *body = buf_text(&response->body);
    return response->status == 429 ||
           (response->status == 403 &&
            (http_response_header(response, "retry-after") != NULL ||
             strcasestr(body, "rate limit") != NULL || strstr(body, "TOOMANYREQUESTS") != NULL ||
             strcasestr(body, "toomanyrequests") != NULL));
}

static int errnum_of(const struct http_response *response, const char *code)
{
    switch (response->status) {
    case 404:
    case 410:
        return ENOENT;
    case 401:
    case 403:
    case 451:
        return EACCES;
    case 400:
        return strcmp(code, "NAME_INVALID") == 0 || strcmp(code, "TAG_INVALID") == 0 ? EINVAL
                                                                                     : EPROTO;
    default:
        return response->status >= 500 ? EIO : EPROTO;
    }
}

static int retry_after_of(const struct http_response *response, int64_t now_ms)
{
    const char *header = http_response_header(response, "retry-after");
    int retry_after_ms = header == NULL ? -1 : retry_after_parse(header, now_ms);
    return retry_after_ms >= 0 ? retry_after_ms : retry_after_parse_body(buf_text(&response->body));
}

int registry_answer_err(const struct http_response *response, const char *host,
                        const struct secret *authorization, int64_t now_ms, struct err *err)
{
    struct err told = {0};
    char words[WORDS_MAX];
    take_words(response, authorization, &told, words, sizeof(words));
    bool is_limited = is_rate_limit(response);
    bool is_retryable = is_limited || http_status_is_retryable(response->status);
    int errnum = is_retryable ? EIO : errnum_of(response, told.code);
    err_set(err, errnum, "%s answers %d%s%s%s%s", host, response->status,
            told.code[0] != '\0' ? " " : "", told.code, words,
            is_limited ? ": it limits how often it may be asked" : "");
    err->http_status = response->status;
    memcpy(err->code, told.code, sizeof(err->code));
    err->is_retryable = is_retryable;
    err->retry_after_ms = is_retryable ? retry_after_of(response, now_ms) : -1;
    return -errnum;
}
