// What S3 and STS answer to each kind of request: lists, uploads, copies, heads, sessions.

#include "answers.h"

#include "s3.h"
#include "s3/provider.h"
#include "s3/sts.h"

#include "base/http.h"

#include <stdlib.h>
#include <string.h>

static struct call call;
static struct err err;

static int on_upload(void *context, const struct s3_upload *upload, int64_t initiated_ms)
{
    (void)initiated_ms;
    *(size_t *)context += strlen(upload->key) + strlen(upload->id);
    return 0;
}

static int sink(void *context, const void *bytes, size_t size)
{
    (void)bytes;
    *(size_t *)context += size;
    return 0;
}

static void list(struct s3_client *client)
{
    struct s3_page page = {0};
    size_t total = 0;
    if (s3_list_page(client, &call, "p/", "/", NULL, NULL, 1000, &page, &err) < 0)
        return;
    for (size_t i = 0; i < page.object_count; i++)
        total += strlen(page.objects[i].key) + strlen(page.objects[i].etag) +
                 strlen(page.objects[i].storage_class);
    for (size_t i = 0; i < page.prefix_count; i++)
        total += strlen(page.prefixes[i]);
    if (total > 1 << 24)
        abort();
    s3_page_done(&page);
}

static void upload(struct s3_client *client)
{
    const struct s3_put put = {.key = "k"};
    const struct s3_metadata identity = {"id", "1"};
    struct s3_upload made;
    struct s3_part part = {.number = 1, .etag = "\"e\""};
    char etag[S3_ETAG_SIZE];
    bool is_open;
    if (s3_multipart_create(client, &call, &put, &made, &err) < 0)
        return;
    (void)s3_multipart_upload_part(client, &call, &made, 1, NULL, 0, &part, &err);
    (void)s3_multipart_copy_part(client, &call, &made, 1, "s", "\"e\"", 0, 10, &part, &err);
    (void)s3_multipart_is_open(client, &call, &made, &is_open, &err);
    (void)s3_multipart_complete(client, &call, &made, &part, 1, S3_CONDITION_ABSENT, 10, &identity,
                                etag, &err);
    (void)s3_multipart_abort(client, &call, &made, &err);
}

static void object(struct s3_client *client)
{
    struct s3_head head = {0};
    struct buf bytes = {0};
    size_t total = 0;
    char etag[S3_ETAG_SIZE];
    if (s3_object_head(client, &call, "k", &head, &err) == 0)
        s3_head_done(&head);
    (void)s3_object_get(client, &call, "k", 1000, &bytes, etag, &err);
    (void)s3_object_read(client, &call, "k", NULL, 5, 10, sink, &total, &err);
    const struct s3_put put = {.key = "k", .condition = S3_CONDITION_ABSENT};
    (void)s3_object_put(client, &call, &put, etag, &err);
    const struct s3_copy copy = {.put = put, .source_key = "s", .source_etag = "\"e\""};
    (void)s3_object_copy(client, &call, &copy, etag, &err);
    (void)s3_object_delete(client, &call, "k", &err);
    if (total > 10)
        abort();
    buf_done(&bytes);
}

static void session(struct s3_client *client, struct s3_provider *provider)
{
    struct s3_presigner *presigner = NULL;
    struct s3_session *made = NULL;
    const struct s3_presigner_options options = {
        .role_arn = "arn:aws:iam::1:role/R",
        .provider = provider,
        .sts_endpoint = "https://sts.example",
        .region = "us-east-1",
        .session_s = 3600,
        .prefix = "p/",
        .http = (struct http_client *)&call,
        .clock = &answers_clock,
    };
    if (s3_presigner_new(&options, client, &call, &presigner, &err) < 0)
        return;
    if (s3_presigner_session(presigner, &call, &made, &err) == 0)
        (void)s3_presigner_try(presigner, &call, made, "k", &err);
    s3_session_unref(made);
    s3_presigner_free(presigner);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *kind = answers_begin(bytes, size);
    auto_secret struct secret *secret = secret_from_text("s");
    struct s3_credentials *credentials = s3_credentials_new("AKID", secret, NULL, INT64_MAX);
    struct s3_provider *provider = NULL;
    struct s3_client *client = NULL;
    size_t total = 0;
    answers_call(&call);
    if (!credentials || s3_provider_new_fixed(credentials, &answers_clock, &provider, &err) < 0)
        abort();
    const struct s3_options options = {
        .bucket = "b",
        .region = "us-east-1",
        .provider = provider,
        .http = (struct http_client *)&call, // never looked into: nothing is sent
        .clock = &answers_clock,
    };
    if (s3_client_new(&options, &client, &err) < 0)
        abort();
    if (strcmp(kind, "list") == 0)
        list(client);
    else if (strcmp(kind, "uploads") == 0)
        (void)s3_multipart_list(client, &call, "p/", on_upload, &total, &err);
    else if (strcmp(kind, "upload") == 0)
        upload(client);
    else if (strcmp(kind, "object") == 0)
        object(client);
    else
        session(client, provider);
    s3_client_free(client);
    s3_provider_free(provider);
    s3_credentials_unref(credentials);
    answers_end();
    return 0;
}
