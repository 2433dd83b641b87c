// object.h - what the files on single objects share.
#pragma once

#include "client.h"
#include "request.h"

// Puts content_type and metadata (x-amz-meta-NAME) of a put into headers, from *count on; the
// names are appended to *names, which must outlive the headers. EINVAL for a name or value that
// is no header's, E2BIG for too many.
int s3_put_headers(const struct s3_put *put, struct http_header *headers, size_t *count,
                   struct buf *names, struct err *err);

// For s3_request.read: the ETag header into ret_etag, of S3_ETAG_SIZE. EPROTO where there is none,
// or one that is too long.
int s3_etag_read(void *ret_etag, struct s3_reply *reply, struct err *err);
