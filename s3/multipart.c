// multipart.c - uploads in parts. Declared in s3.h. Spec: CreateMultipartUpload, UploadPart,
// UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload, ListMultipartUploads.
//
// A lost reply:
//   - to a part's upload or copy: it is sent again; the later one counts;
//   - to an abort: it is sent again; NoSuchUpload is what was wanted;
//   - to a completion: the object itself is asked (s3_multipart_complete);
//   - to a creation: it is sent again, and the first upload, of which nobody has the id, stays
//     behind without a part. Nothing in a listing tells it from one that another host began for
//     the same key a moment ago, so it is not aborted here; whoever keeps account of what it
//     begins finds and aborts it (s3_multipart_list), or the bucket's lifecycle rule does.

#include "object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- create -------------------------------------------------------------------------------

static int read_created(void *context, struct s3_reply *reply, struct err *err)
{
    struct s3_upload *upload = context;
    const struct s3_reply_field field = {"InitiateMultipartUploadResult/UploadId", "an upload id",
                                         upload->id, sizeof(upload->id)};
    return s3_reply_read_field(reply, &field, err);
}

int s3_multipart_create(struct s3_client *client, struct call *call, const struct s3_put *put,
                        struct s3_upload *ret_upload, struct err *err)
{
    if (strlen(put->key) > S3_KEY_SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "a key of more than %d bytes", S3_KEY_SIZE_MAX);
    struct http_header headers[S3_REQUEST_HEADERS_MAX + 1];
    size_t count = 0;
    auto_buf struct buf names = BUF_INIT(S3_PUT_NAMES_LIMIT);
    int r = s3_put_headers(put, headers, &count, &names, err);
    if (r < 0)
        return r;
    auto_free struct s3_upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return err_no_memory(err);
    memcpy(upload->key, put->key, strlen(put->key) + 1);
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "POST",
        .key = put->key,
        .query = {{"uploads", ""}},
        .query_count = 1,
        .headers = headers,
        .header_count = count,
        .has_body = true,
        .read = read_created,
        .context = upload,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == 0)
        *ret_upload = *upload;
    return r;
}

// ---- parts --------------------------------------------------------------------------------

static int check_part_number(int part_number, struct err *err)
{
    if (part_number < 1 || part_number > S3_PARTS_MAX)
        return err_set(err, EINVAL, "part number %d is not 1 to %d", part_number, S3_PARTS_MAX);
    return 0;
}

int s3_multipart_upload_part(struct s3_client *client, struct call *call,
                             const struct s3_upload *upload, int part_number,
                             const struct http_piece *body, size_t body_count,
                             struct s3_part *ret_part, struct err *err)
{
    int r = check_part_number(part_number, err);
    if (r < 0)
        return r;
    char number[16];
    snprintf(number, sizeof(number), "%d", part_number);
    struct s3_part part = {.number = part_number};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "PUT",
        .key = upload->key,
        .query = {{"partNumber", number}, {"uploadId", upload->id}},
        .query_count = 2,
        .body = body,
        .body_count = body_count,
        .has_body = true,
        .payload = S3_PAYLOAD_BULK,
        .read = s3_etag_read,
        .context = part.etag,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == 0)
        *ret_part = part;
    return r;
}

static int read_copied(void *context, struct s3_reply *reply, struct err *err)
{
    struct s3_part *part = context;
    const struct s3_reply_field field = {"CopyPartResult/ETag", "an ETag", part->etag,
                                         sizeof(part->etag)};
    return s3_reply_read_field(reply, &field, err);
}

int s3_multipart_copy_part(struct s3_client *client, struct call *call,
                           const struct s3_upload *upload, int part_number, const char *source_key,
                           const char *source_etag, uint64_t offset, uint64_t size,
                           struct s3_part *ret_part, struct err *err)
{
    int r = check_part_number(part_number, err);
    if (r < 0)
        return r;
    if ((size == 0 && offset > 0) || size > S3_PART_SIZE_MAX || size > UINT64_MAX - offset)
        return err_set(err, EINVAL, "a copied part of %" PRIu64 " bytes", size);
    char number[16];
    snprintf(number, sizeof(number), "%d", part_number);
    auto_buf struct buf source = {0};
    r = s3_copy_source(client, source_key, &source, err);
    if (r < 0)
        return r;
    char range[64];
    snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, offset, offset + size - 1);
    struct s3_part part = {.number = part_number};
    struct http_header headers[3] = {{"x-amz-copy-source", buf_text(&source)}};
    size_t count = 1;
    if (size > 0)
        headers[count++] = (struct http_header){"x-amz-copy-source-range", range};
    if (source_etag)
        headers[count++] = (struct http_header){"x-amz-copy-source-if-match", source_etag};
    struct s3_request request = {
        .action = "s3:PutObject",
        .method = "PUT",
        .key = upload->key,
        .query = {{"partNumber", number}, {"uploadId", upload->id}},
        .query_count = 2,
        .headers = headers,
        .header_count = count,
        .has_body = true,
        .is_about_etag = true,
        .may_fail_with_200 = true,
        .is_slow = true, // AWS sends white space while it copies, others nothing
        .read = read_copied,
        .context = &part,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r == 0)
        *ret_part = part;
    return r;
}
