// multipart_list.c - the uploads under way. Declared in s3.h. Spec: ListMultipartUploads.
//
// Keys are not asked for percent-encoded, other than in list.c: Ceph then encodes keys but not the
// marker of the next page, and says of neither. So an upload whose key has characters that XML
// cannot hold is left out, and where a page ends at such a key, some that sort right behind it.

#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 8 * S3_KEY_SIZE_MAX }; // a key of masked references

struct uploads {
    int (*on_upload)(void *context, const struct s3_upload *upload, int64_t initiated_ms);
    void *context;
    bool is_listing;
    bool is_truncated;
    char next_key[NAME_SIZE];
    char next_id[S3_UPLOAD_ID_SIZE];
    // The upload that is being read
    char key[NAME_SIZE];
    char id[S3_UPLOAD_ID_SIZE];
    int64_t initiated_ms;
};

static int keep(char *field, size_t field_size, const char *text, struct err *err)
{
    if (strlen(text) >= field_size)
        return err_set(err, EPROTO, "a listing of uploads holds a name of %zu bytes", strlen(text));
    memcpy(field, text, strlen(text) + 1);
    return 0;
}

static int end_upload(struct uploads *uploads, struct err *err)
{
    struct s3_upload upload = {0};
    if (strchr(uploads->key, XML_MASK))
        return 0;
    int r = keep(upload.key, sizeof(upload.key), uploads->key, err);
    if (r < 0)
        return r;
    memcpy(upload.id, uploads->id, sizeof(upload.id));
    r = uploads->on_upload(uploads->context, &upload, uploads->initiated_ms);
    return r < 0 ? err_set(err, -r, "listing uploads was given up") : 0;
}

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    static const char root[] = "ListMultipartUploadsResult";
    struct uploads *uploads = context;
    size_t root_size = strlen(root);
    if (strncmp(path, root, root_size) != 0)
        return 0;
    if (!path[root_size])
        uploads->is_listing = true;
    if (path[root_size] != '/')
        return 0;
    path += root_size + 1;
    if (strcmp(path, "Upload/Key") == 0)
        return keep(uploads->key, sizeof(uploads->key), text, err);
    if (strcmp(path, "Upload/UploadId") == 0)
        return keep(uploads->id, sizeof(uploads->id), text, err);
    if (strcmp(path, "Upload/Initiated") == 0 &&
        clock_parse_rfc3339(text, &uploads->initiated_ms) < 0)
        return err_set(err, EPROTO, "a listing of uploads holds the time \"%s\"", text);
    if (strcmp(path, "Upload") == 0)
        return end_upload(uploads, err);
    if (strcmp(path, "NextKeyMarker") == 0)
        return keep(uploads->next_key, sizeof(uploads->next_key), text, err);
    if (strcmp(path, "NextUploadIdMarker") == 0)
        return keep(uploads->next_id, sizeof(uploads->next_id), text, err);
    if (strcmp(path, "IsTruncated") == 0)
        uploads->is_truncated = strcmp(text, "true") == 0;
    return 0;
}

// One page; the markers of the next are left in *uploads.
static int list_page(struct s3_client *client, struct call *call, const char *prefix,
                     struct uploads *uploads, struct err *err)
{
    struct s3_request request = {
        .action = "s3:ListBucketMultipartUploads",
        .method = "GET",
        .query = {{"uploads", ""}},
        .query_count = 1,
        .body_limit = XML_SIZE_MAX,
    };
    if (prefix && *prefix)
        request.query[request.query_count++] = (struct sigv4_pair){"prefix", prefix};
    char key[NAME_SIZE];
    char id[S3_UPLOAD_ID_SIZE];
    memcpy(key, uploads->next_key, sizeof(key));
    memcpy(id, uploads->next_id, sizeof(id));
    if (*key) {
        request.query[request.query_count++] = (struct sigv4_pair){"key-marker", key};
        request.query[request.query_count++] = (struct sigv4_pair){"upload-id-marker", id};
    }
    auto_reply struct s3_reply reply;
    int r = s3_request_send(&client->service, call, &request, &reply, err);
    if (r < 0)
        return r;
    uploads->is_listing = uploads->is_truncated = false;
    uploads->next_key[0] = uploads->next_id[0] = '\0';
    xml_mask(reply.http.body.bytes, reply.http.body.size);
    r = xml_read(reply.http.body.bytes, reply.http.body.size, on_element, uploads, err);
    if (r == 0 && !uploads->is_listing)
        r = err_set(err, EPROTO, "the answer is no listing of uploads");
    bool is_same = strcmp(key, uploads->next_key) == 0 && strcmp(id, uploads->next_id) == 0;
    if (r == 0 && uploads->is_truncated && is_same)
        r = err_set(err, EPROTO, "a listing of uploads does not say how it goes on");
    if (r == -EBADMSG)
        err->errnum = EPROTO;
    return r < 0 ? err_wrap(err, "listing the uploads of %s", client->service.bucket) : 0;
}

int s3_multipart_list(struct s3_client *client, struct call *call, const char *prefix,
                      int (*on_upload)(void *context, const struct s3_upload *upload,
                                       int64_t initiated_ms),
                      void *context, struct err *err)
{
    auto_free struct uploads *uploads = calloc(1, sizeof(*uploads));
    if (!uploads)
        return err_no_memory(err);
    uploads->on_upload = on_upload;
    uploads->context = context;
    int r;
    do
        r = list_page(client, call, prefix, uploads, err);
    while (r == 0 && uploads->is_truncated);
    return r;
}
