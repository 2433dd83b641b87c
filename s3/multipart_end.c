// multipart_end.c - how an upload ends: completed or aborted; and which ones there are. Declared
// in s3.h. See multipart.c for what is done about lost replies.

#include "base/digest.h"
#include "base/scope.h"
#include "object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    // Every byte of each ETag escaped, and the tags around it.
    COMPLETE_BODY_LIMIT = S3_PARTS_MAX * (S3_ETAG_SIZE * 6 + 80),
};

// ---- complete -----------------------------------------------------------------------------

static void append_escaped(struct buf *xml, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            (void)buf_append_text(xml, "&amp;");
            break;
        case '<':
            (void)buf_append_text(xml, "&lt;");
            break;
        case '>':
            (void)buf_append_text(xml, "&gt;");
            break;
        default:
            (void)buf_append_char(xml, *c);
        }
    }
}

static int build_parts(const struct s3_part *parts, size_t count, struct buf *xml, struct err *err)
{
    (void)buf_append_text(xml, "<CompleteMultipartUpload "
                               "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(xml, "<Part><PartNumber>%d</PartNumber><ETag>", parts[i].number);
        append_escaped(xml, parts[i].etag);
        (void)buf_append_text(xml, "</ETag></Part>");
    }
    (void)buf_append_text(xml, "</CompleteMultipartUpload>");
    return xml->is_full ? err_no_memory(err) : 0;
}

// One completion, over all its attempts.
struct completion {
    struct s3_client *client;
    struct call *call;
    const struct s3_upload *upload;
    uint64_t expected_size;
    const struct s3_metadata *identity;
    bool is_confirmed; // by the answer itself; Ceph leaves the ETag in it empty
    char etag[S3_ETAG_SIZE];
};

static int on_completed(void *context, const char *path, const char *text, struct err *err)
{
    struct completion *completion = context;
    if (strcmp(path, "CompleteMultipartUploadResult") == 0)
        completion->is_confirmed = true;
    if (strcmp(path, "CompleteMultipartUploadResult/ETag") != 0)
        return 0;
    if (strlen(text) >= S3_ETAG_SIZE)
        return err_set(err, EPROTO, "an ETag of %zu bytes", strlen(text));
    memcpy(completion->etag, text, strlen(text) + 1);
    return 0;
}

// Asks the object whether it is this upload's.
static bool is_settled(void *context)
{
    struct completion *completion = context;
    uint64_t size_bytes;
    return completion->identity &&
           s3_object_is_identified(completion->client, completion->call, completion->upload->key,
                                   completion->identity, completion->etag, &size_bytes) &&
           size_bytes == completion->expected_size;
}

static int read_completed(void *context, struct s3_reply *reply, struct err *err)
{
    struct completion *completion = context;
    completion->is_confirmed = false;
    completion->etag[0] = '\0';
    int r = s3_reply_read(reply, on_completed, completion, err);
    if (r == 0 && !completion->is_confirmed)
        r = err_set(err, EPROTO, "the store answers neither that it is done nor why not");
    return r;
}

static int complete(struct completion *completion, const struct buf *xml,
                    enum s3_condition condition, struct s3_reply *reply, struct err *err)
{
    const struct s3_upload *upload = completion->upload;
    struct http_header headers[] = {{"Content-Type", "application/xml"}, {"If-None-Match", "*"}};
    struct http_piece body = {xml->bytes, xml->size};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "POST",
        .key = upload->key,
        .query = {{"uploadId", upload->id}},
        .query_count = 1,
        .headers = headers,
        .header_count = condition == S3_CONDITION_ABSENT ? 2 : 1,
        .body = &body,
        .body_count = 1,
        .has_body = true,
        .may_fail_with_200 = true,
        .is_conflict_final = true, // S3 asks for a whole new upload then
        .read = read_completed,
        .is_settled = is_settled,
        .context = completion,
        .is_slow = true, // AWS sends white space while it joins 10,000 parts, others nothing
    };
    struct s3_client *client = completion->client;
    int r = s3_request_send(&client->service, completion->call, &request, reply, err);
    if (r == -EEXIST && err->http_status == 412)
        atomic_store(&client->has_refused_completion, true);
    return r;
}

// No answer says what became of the upload, and the store may still be at it. Once it is aborted,
// the object says it for good.
static bool is_settled_by_abort(struct completion *completion, const struct s3_reply *reply,
                                const struct err *err)
{
    struct err ignored = {0};
    return reply->is_in_doubt && err->errnum != EINTR && completion->identity &&
           s3_multipart_abort(completion->client, completion->call, completion->upload, &ignored) ==
               0 &&
           is_settled(completion);
}

int s3_multipart_complete(struct s3_client *client, struct call *call,
                          const struct s3_upload *upload, const struct s3_part *parts, size_t count,
                          enum s3_condition condition, uint64_t expected_size,
                          const struct s3_metadata *identity, char ret_etag[S3_ETAG_SIZE],
                          struct err *err)
{
    if (count == 0 || count > S3_PARTS_MAX)
        return err_set(err, EINVAL, "an upload of %zu parts is not 1 to %d", count, S3_PARTS_MAX);
    auto_buf struct buf xml = BUF_INIT(COMPLETE_BODY_LIMIT);
    int r = build_parts(parts, count, &xml, err);
    if (r < 0)
        return r;
    struct completion completion = {
        .client = client,
        .call = call,
        .upload = upload,
        .expected_size = expected_size,
        .identity = identity,
    };
    auto_reply struct s3_reply reply;
    r = complete(&completion, &xml, condition, &reply, err);
    if (r < 0 && is_settled_by_abort(&completion, &reply, err))
        r = 0;
    if (r == 0 && ret_etag)
        memcpy(ret_etag, completion.etag, sizeof(completion.etag));
    return r;
}

bool s3_multipart_etag(const struct s3_part *parts, size_t count, char ret_etag[S3_ETAG_SIZE])
{
    auto_free uint8_t *md5s = malloc(count ? count * MD5_SIZE : 1);
    if (!md5s)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strlen(parts[i].etag) != 2 + 2 * MD5_SIZE ||
            !digest_from_hex(parts[i].etag + 1, (size_t)2 * MD5_SIZE, md5s + i * MD5_SIZE))
            return false;
    struct digest_piece piece = {md5s, count * MD5_SIZE};
    uint8_t md5[MD5_SIZE];
    char hex[MD5_HEX_SIZE];
    md5_of(&piece, 1, md5);
    digest_hex(md5, sizeof(md5), hex);
    snprintf(ret_etag, S3_ETAG_SIZE, "\"%s-%zu\"", hex, count);
    return true;
}

// ---- abort --------------------------------------------------------------------------------

int s3_multipart_is_open(struct s3_client *client, struct call *call,
                         const struct s3_upload *upload, bool *ret_is_open, struct err *err)
{
    struct s3_request request = {
        .action = "s3:ListMultipartUploadParts",
        .method = "GET",
        .key = upload->key,
        .query = {{"max-parts", "1"}, {"uploadId", upload->id}},
        .query_count = 2,
    };
    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &request, &reply, err);
    bool is_gone = r == -ENOENT && strcmp(err->code, "NoSuchBucket") != 0; // Ceph: NoSuchKey
    if (r < 0 && !is_gone)
        return r;
    *ret_is_open = !is_gone;
    return 0;
}

int s3_multipart_abort(struct s3_client *client, struct call *call, const struct s3_upload *upload,
                       struct err *err)
{
    struct s3_request request = {
        .action = "s3:AbortMultipartUpload",
        .method = "DELETE",
        .key = upload->key,
        .query = {{"uploadId", upload->id}},
        .query_count = 1,
    };
    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &request, &reply, err);
    return r == -ENOENT && strcmp(err->code, "NoSuchBucket") != 0 ? 0 : r;
}
