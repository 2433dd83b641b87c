// object.h - what the files on single objects share.
#pragma once

#include "client.h"
#include "request.h"

enum { S3_PUT_NAMES_LIMIT = 16 * 1024 }; // bytes for s3_put_headers; S3 takes 2 KiB of metadata

// Puts content_type and metadata (x-amz-meta-NAME) of a put into headers, from *count on; the
// names are appended to *names, which must outlive the headers. EINVAL for a name or value that
// is no header's, E2BIG for too many.
int s3_put_headers(const struct s3_put *put, struct http_header *headers, size_t *count,
                   struct buf *names, struct err *err);

// "/bucket/key" as x-amz-copy-source wants it; the caller ends the buffer.
int s3_copy_source(const struct s3_client *client, const char *key, struct buf *ret_source,
                   struct err *err);

// Whether the object bears that pair of metadata, which one write alone has: then its ETag and,
// where asked for, its size are given. false also where it cannot be looked at.
bool s3_object_is_identified(struct s3_client *client, struct call *call, const char *key,
                             const struct s3_metadata *identity, char ret_etag[S3_ETAG_SIZE],
                             uint64_t *ret_size_bytes);

// For s3_request.read: the ETag header into ret_etag, of S3_ETAG_SIZE. EPROTO where there is none,
// or one that is too long.
int s3_etag_read(void *ret_etag, struct s3_reply *reply, struct err *err);
