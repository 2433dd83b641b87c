// object_copy.c - whole objects copied inside the store. Declared in s3.h. Spec: CopyObject.

#include "base/scope.h"
#include "base/url.h"
#include "object.h"

#include <errno.h>
#include <string.h>

enum { COPY_SOURCE_LIMIT = 8 * 1024 };

int s3_copy_source(const struct s3_client *client, const char *key, struct buf *ret_source,
                   struct err *err)
{
    *ret_source = (struct buf)BUF_INIT(COPY_SOURCE_LIMIT);
    (void)buf_printf(ret_source, "/%s/", client->service.bucket);
    (void)url_encode(ret_source, key, strlen(key), true);
    return ret_source->is_full
               ? err_set(err, ENAMETOOLONG, "the key of a copy's source is too long")
               : 0;
}

// One copy, over all its attempts.
struct copying {
    struct s3_client *client;
    struct call *call;
    const struct s3_copy *copy;
    char etag[S3_ETAG_SIZE];
};

static int read_copied(void *context, struct s3_reply *reply, struct err *err)
{
    struct copying *copying = context;
    const struct s3_reply_field field = {"CopyObjectResult/ETag", "an ETag", copying->etag,
                                         sizeof(copying->etag)};
    return s3_reply_read_field(reply, &field, err);
}

static bool is_settled(void *context)
{
    struct copying *copying = context;
    const struct s3_copy *copy = copying->copy;
    return copy->identity && s3_object_is_identified(copying->client, copying->call, copy->put.key,
                                                     copy->identity, copying->etag, NULL);
}

int s3_object_copy(struct s3_client *client, struct call *call, const struct s3_copy *copy,
                   char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    auto_buf struct buf source = {0};
    auto_buf struct buf names = BUF_INIT(S3_PUT_NAMES_LIMIT);
    struct http_header headers[S3_REQUEST_HEADERS_MAX + 5];
    size_t count = 0;
    int r = s3_copy_source(client, copy->source_key, &source, err);
    if (r < 0)
        return r;
    headers[count++] = (struct http_header){"x-amz-copy-source", buf_text(&source)};
    headers[count++] = (struct http_header){"x-amz-copy-source-if-match", copy->source_etag};
    // What Ceph calls it: it passes over the other without a word.
    headers[count++] = (struct http_header){"x-amz-copy-if-match", copy->source_etag};
    headers[count++] = (struct http_header){"x-amz-metadata-directive", "REPLACE"};
    r = s3_put_headers(&copy->put, headers, &count, &names, err);
    if (r < 0)
        return r;
    struct copying copying = {.client = client, .call = call, .copy = copy};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "PUT",
        .key = copy->put.key,
        .headers = headers,
        .header_count = count,
        .has_body = true,
        .is_about_etag = true,
        .may_fail_with_200 = true,
        .is_slow = true, // AWS sends white space while it copies, others nothing
        .read = read_copied,
        .is_settled = is_settled,
        .context = &copying,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == 0 && ret_etag)
        memcpy(ret_etag, copying.etag, sizeof(copying.etag));
    return r;
}

// ---- whether copies are bound to their source ------------------------------------------------

enum { BINDING_UNKNOWN, BINDING_HONOURED, BINDING_IGNORED };

bool s3_client_copies_conditionally(struct s3_client *client, struct call *call,
                                    const char *source_key, const char *scratch_key)
{
    int binding = atomic_load(&client->copy_binding);
    if (binding != BINDING_UNKNOWN)
        return binding == BINDING_HONOURED;
    const struct s3_copy copy = {
        .put = {.key = scratch_key},
        .source_key = source_key,
        .source_etag = "\"00000000000000000000000000000000\"",
    };
    struct err err = {0};
    int error = s3_object_copy(client, call, &copy, NULL, &err);
    if (error == 0)
        (void)s3_object_delete(client, call, scratch_key, &err);
    if (error == -ESTALE)
        binding = BINDING_HONOURED;
    else if (error == 0)
        binding = BINDING_IGNORED;
    atomic_store(&client->copy_binding, binding);
    return binding == BINDING_HONOURED;
}
