// object.c - whole objects: head, get, put, delete. Declared in s3.h. Spec: HeadObject,
// GetObject, PutObject, DeleteObject.

#include "object.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define METADATA_PREFIX "x-amz-meta-"

// ---- headers ------------------------------------------------------------------------------

static bool is_metadata_name(const char *name)
{
    return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0';
}

static bool is_metadata_value(const char *value)
{
    for (const char *c = value; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return true;
}

int s3_put_headers(const struct s3_put *put, struct http_header *headers, size_t *count,
                   struct buf *names, struct err *err)
{
    if (put->content_type)
        headers[(*count)++] = (struct http_header){"Content-Type", put->content_type};
    if (*count + put->metadata_count > S3_REQUEST_HEADERS_MAX)
        return err_set(err, E2BIG, "too much metadata for one object");
    for (size_t i = 0; i < put->metadata_count; i++) {
        const struct s3_metadata *metadata = &put->metadata[i];
        if (!is_metadata_name(metadata->name) || !is_metadata_value(metadata->value))
            return err_set(err, EINVAL, "metadata \"%s\" cannot go into a header", metadata->name);
        (void)buf_append_text(names, METADATA_PREFIX);
        (void)buf_append(names, metadata->name, strlen(metadata->name) + 1);
    }
    if (names->is_full)
        return err_no_memory(err);
    // Only now do the names stay where they are.
    const char *name = names->bytes;
    for (size_t i = 0; i < put->metadata_count; i++) {
        headers[(*count)++] = (struct http_header){name, put->metadata[i].value};
        name += strlen(name) + 1;
    }
    return 0;
}

int s3_etag_read(void *ret_etag, struct s3_reply *reply, struct err *err)
{
    const char *etag = http_response_header(&reply->http, "etag");
    if (!etag || strlen(etag) >= S3_ETAG_SIZE)
        return err_set(err, EPROTO, "the store answers without a usable ETag");
    memcpy(ret_etag, etag, strlen(etag) + 1);
    return 0;
}

// ---- head ---------------------------------------------------------------------------------

static const char *metadata_name(const char *header)
{
    size_t size = strlen(METADATA_PREFIX);
    return strncmp(header, METADATA_PREFIX, size) == 0 ? header + size : NULL;
}

static bool keep_metadata(struct s3_head *head, const char *name, const char *value)
{
    struct s3_metadata *longer =
        reallocarray(head->metadata, head->metadata_count + 1, sizeof(head->metadata[0]));
    if (!longer)
        return false;
    head->metadata = longer;
    struct s3_metadata kept = {strdup(name), strdup(value)};
    longer[head->metadata_count++] = kept;
    return kept.name && kept.value;
}

static int fill_head(struct s3_reply *reply, struct s3_head *head, struct err *err)
{
    const struct http_response *response = &reply->http;
    int r = s3_etag_read(head->etag, reply, err);
    if (r < 0)
        return r;
    if (response->content_length < 0)
        return err_set(err, EPROTO, "the store does not say how large the object is");
    head->size_bytes = (uint64_t)response->content_length;
    const char *modified = http_response_header(response, "last-modified");
    if (!modified || clock_parse_http(modified, &head->modified_ms) < 0)
        return err_set(err, EPROTO, "the store does not say when the object was modified");
    const char *type = http_response_header(response, "content-type");
    head->content_type = strdup(type ? type : "");
    const char *class = http_response_header(response, "x-amz-storage-class");
    snprintf(head->storage_class, sizeof(head->storage_class), "%s", class ? class : "STANDARD");
    if (!head->content_type)
        return err_no_memory(err);
    const char *at = response->headers;
    while (at && *at) {
        const char *value = at + strlen(at) + 1;
        const char *name = metadata_name(at);
        if (name && !keep_metadata(head, name, value))
            return err_no_memory(err);
        at = value + strlen(value) + 1;
    }
    return 0;
}

static int read_head(void *context, struct s3_reply *reply, struct err *err)
{
    struct s3_head head = {0};
    int r = fill_head(reply, &head, err);
    if (r < 0)
        s3_head_done(&head);
    else
        *(struct s3_head *)context = head;
    return r;
}

int s3_object_head(struct s3_client *client, struct call *call, const char *key,
                   struct s3_head *ret_head, struct err *err)
{
    struct s3_request request = {
        .action = "s3:GetObject",
        .method = "HEAD",
        .key = key,
        .read = read_head,
        .context = ret_head,
    };
    auto_reply struct s3_reply reply;
    return s3_request_send(&client->service, call, &request, &reply, err);
}

const char *s3_head_metadata(const struct s3_head *head, const char *name)
{
    for (size_t i = 0; i < head->metadata_count; i++)
        if (strcmp(head->metadata[i].name, name) == 0)
            return head->metadata[i].value;
    return NULL;
}

void s3_head_done(struct s3_head *head)
{
    if (!head)
        return;
    for (size_t i = 0; i < head->metadata_count; i++) {
        free((char *)head->metadata[i].name);
        free((char *)head->metadata[i].value);
    }
    free(head->metadata);
    free(head->content_type);
    *head = (struct s3_head){0};
}

bool s3_object_is_identified(struct s3_client *client, struct call *call, const char *key,
                             const struct s3_metadata *identity, char ret_etag[S3_ETAG_SIZE],
                             uint64_t *ret_size_bytes)
{
    struct s3_head head = {0};
    struct err ignored = {0}; // what the write itself met says more
    if (s3_object_head(client, call, key, &head, &ignored) < 0)
        return false;
    const char *value = s3_head_metadata(&head, identity->name);
    bool is = value && strcmp(value, identity->value) == 0;
    if (is)
        memcpy(ret_etag, head.etag, S3_ETAG_SIZE);
    if (is && ret_size_bytes)
        *ret_size_bytes = head.size_bytes;
    s3_head_done(&head);
    return is;
}

// ---- get ----------------------------------------------------------------------------------

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    char etag[S3_ETAG_SIZE];
    struct s3_request request = {
        .action = "s3:GetObject",
        .method = "GET",
        .key = key,
        .read = s3_etag_read, // asked for always: a proxy's login page has none
        .context = etag,
        // Room for a refusal's document, however small the object may be.
        .body_limit = limit_bytes > S3_ERROR_BODY_LIMIT ? limit_bytes : S3_ERROR_BODY_LIMIT,
    };
    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == -EFBIG || (r == 0 && reply.http.body.size > limit_bytes))
        return err_set(err, EFBIG, "%s/%s is larger than %zu bytes", client->service.bucket, key,
                       limit_bytes);
    if (r < 0)
        return r;
    if (ret_etag)
        memcpy(ret_etag, etag, sizeof(etag));
    *ret_bytes = reply.http.body;
    reply.http.body = (struct buf){0};
    return 0;
}

// ---- put ----------------------------------------------------------------------------------

static uint64_t body_size(const struct s3_put *put)
{
    uint64_t size = 0;
    for (size_t i = 0; i < put->body_count; i++)
        size += put->body[i].size;
    return size;
}

// Whether the object's bytes are those of the put.
static bool is_body(const struct s3_put *put, const struct buf *bytes)
{
    size_t offset = 0;
    for (size_t i = 0; i < put->body_count; i++) {
        const struct http_piece *piece = &put->body[i];
        if (piece->size > bytes->size - offset)
            return false;
        if (piece->size > 0 && memcmp(bytes->bytes + offset, piece->bytes, piece->size) != 0)
            return false;
        offset += piece->size;
    }
    return offset == bytes->size;
}

// One put, over all its attempts.
struct putting {
    struct s3_client *client;
    struct call *call;
    const struct s3_put *put;
    char etag[S3_ETAG_SIZE];
};

static int read_put(void *context, struct s3_reply *reply, struct err *err)
{
    struct putting *putting = context;
    return s3_etag_read(putting->etag, reply, err);
}

// Whether the object has the put's bytes. Its ETag alone would not tell: with SSE-KMS it is no
// MD5, though it looks like one.
static bool is_stored(void *context)
{
    struct putting *putting = context;
    auto_buf struct buf bytes = {0};
    struct err ignored = {0}; // what the put itself met says more
    return s3_object_get(putting->client, putting->call, putting->put->key,
                         (size_t)body_size(putting->put), &bytes, putting->etag, &ignored) == 0 &&
           is_body(putting->put, &bytes);
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    struct http_header headers[S3_REQUEST_HEADERS_MAX + 2];
    size_t count = 0;
    if (put->condition == S3_CONDITION_ABSENT)
        headers[count++] = (struct http_header){"If-None-Match", "*"};
    auto_buf struct buf names = BUF_INIT(S3_PUT_NAMES_LIMIT);
    int r = s3_put_headers(put, headers, &count, &names, err);
    if (r < 0)
        return r;
    struct putting putting = {.client = client, .call = call, .put = put};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "PUT",
        .key = put->key,
        .headers = headers,
        .header_count = count,
        .body = put->body,
        .body_count = put->body_count,
        .has_body = true,
        .payload = S3_PAYLOAD_SIGNED,
        .read = read_put,
        .is_settled = is_stored,
        .context = &putting,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == 0 && ret_etag)
        memcpy(ret_etag, putting.etag, sizeof(putting.etag));
    return r;
}

// ---- delete -------------------------------------------------------------------------------

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    struct s3_request request = {.action = "s3:DeleteObject", .method = "DELETE", .key = key};
    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &request, &reply, err);
    // S3 answers 204 whether or not there was such an object; others say that there was none.
    return r == -ENOENT && strcmp(err->code, "NoSuchBucket") != 0 ? 0 : r;
}
