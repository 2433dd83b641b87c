// sigv4_driver.c - signs what sigv4_botocore.py tells it to, and prints the URL and the
// signature, so that both can be compared with botocore's.
//
// Standard input holds requests, each a run of lines "name hex-of-value" closed by an empty one.
// For each, two lines come back: the URL, and the Authorization header's value ("-" for a
// presigned URL, which has its signature in its query).

#include "base/digest.h"
#include "base/scope.h"
#include "base/url.h"
#include "s3/credentials.h"
#include "s3/place.h"
#include "s3/sigv4.h"

#include <stdio.h>
#include <string.h>

enum { PAIRS_MAX = 16, LINE_SIZE_MAX = 64 * 1024 };

struct job {
    char *mode; // "header" or "query"
    char *service;
    char *method;
    char *endpoint;
    char *bucket;
    char *key;
    char *region;
    char *access_key;
    char *secret_key;
    char *token;
    char *now_ms;
    char *expires_s;
    char *payload;
    struct sigv4_pair query[PAIRS_MAX];
    size_t query_count;
    struct http_header headers[PAIRS_MAX];
    size_t header_count;
};

static void fail(const char *why)
{
    fprintf(stderr, "sigv4_driver: %s\n", why);
    exit(1);
}

static char *from_hex(const char *hex)
{
    size_t size = strlen(hex);
    char *text = calloc(1, size / 2 + 1);
    if (!text || !digest_from_hex(hex, size, (uint8_t *)text))
        fail("a value is no hex");
    return text;
}

static char **field(struct job *job, const char *name)
{
    const struct {
        const char *name;
        char **value;
    } fields[] = {
        {"mode", &job->mode},
        {"service", &job->service},
        {"method", &job->method},
        {"endpoint", &job->endpoint},
        {"bucket", &job->bucket},
        {"key", &job->key},
        {"region", &job->region},
        {"access_key", &job->access_key},
        {"secret_key", &job->secret_key},
        {"token", &job->token},
        {"now_ms", &job->now_ms},
        {"expires_s", &job->expires_s},
        {"payload", &job->payload},
    };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].value;
    return NULL;
}

// "query" and "header" hold "name=value".
static void take(struct job *job, const char *name, char *value)
{
    char **simple = field(job, name);
    if (simple) {
        *simple = value;
        return;
    }
    char *equals = strchr(value, '=');
    if (!equals || job->query_count == PAIRS_MAX || job->header_count == PAIRS_MAX)
        fail("a line that is not understood");
    *equals = '\0';
    if (strcmp(name, "query") == 0)
        job->query[job->query_count++] = (struct sigv4_pair){value, equals + 1};
    else
        job->headers[job->header_count++] = (struct http_header){value, equals + 1};
}

static void print_signed(const struct job *job, const struct s3_place *place,
                         struct s3_credentials *credentials)
{
    struct err err = {0};
    auto_buf struct buf path = BUF_INIT(LINE_SIZE_MAX);
    auto_buf struct buf query = BUF_INIT(LINE_SIZE_MAX);
    (void)buf_printf(&path, "%s/", place->base_path);
    (void)url_encode(&path, job->key, strlen(job->key), true);
    struct sigv4_key key = {credentials, job->region, job->service};
    struct sigv4_request request = {job->method,  buf_text(&path),   job->query,  job->query_count,
                                    job->headers, job->header_count, job->payload};
    int64_t now_ms = strtoll(job->now_ms, NULL, 10);
    auto_secret struct secret *authorization = NULL;
    int r;
    if (strcmp(job->mode, "query") == 0) {
        r = sigv4_sign_query(&key, &request, now_ms, atoi(job->expires_s), &query, &err);
    } else {
        r = sigv4_query_text(job->query, job->query_count, &query, &err);
        if (r == 0)
            r = sigv4_sign_headers(&key, &request, now_ms, &authorization, &err);
    }
    if (r < 0)
        fail(err.text);
    printf("%s%s%s%s\n%s\n", place->url, buf_text(&path), query.size > 0 ? "?" : "",
           buf_text(&query), authorization ? secret_text(authorization) : "-");
}

static void run(const struct job *job)
{
    struct err err = {0};
    struct s3_place_options options = {
        .service = job->service,
        .region = job->region,
        .endpoint = *job->endpoint ? job->endpoint : NULL,
        .bucket = *job->bucket ? job->bucket : NULL,
    };
    struct s3_place *place = NULL;
    if (s3_place_new(&options, &place, &err) < 0)
        fail(err.text);
    auto_secret struct secret *secret_key = secret_from_text(job->secret_key);
    auto_secret struct secret *token = *job->token ? secret_from_text(job->token) : NULL;
    auto_credentials struct s3_credentials *credentials =
        s3_credentials_new(job->access_key, secret_key, token, INT64_MAX);
    print_signed(job, place, credentials);
    s3_place_free(place);
}

static void job_done(struct job *job)
{
    static const char *const names[] = {"mode",   "service",   "method",     "endpoint",   "bucket",
                                        "key",    "region",    "access_key", "secret_key", "token",
                                        "now_ms", "expires_s", "payload"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        free(*field(job, names[i]));
    for (size_t i = 0; i < job->query_count; i++)
        free((char *)job->query[i].name);
    for (size_t i = 0; i < job->header_count; i++)
        free((char *)job->headers[i].name);
    *job = (struct job){0};
}

int main(void)
{
    static char line[LINE_SIZE_MAX];
    struct job job = {0};
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (!*line) {
            run(&job);
            job_done(&job);
            continue;
        }
        char *space = strchr(line, ' ');
        if (!space)
            fail("a line without a value");
        *space = '\0';
        take(&job, line, from_hex(space + 1));
    }
    return 0;
}
