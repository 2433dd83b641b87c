// image_record.h - what is recorded of an image whose pump has ended well (record.h).
#pragma once

#include "base/err.h"
#include "image.h"
#include "record.h"
#include "s3.h"

// The ETag that most stores give a multipart object: the MD5 of its parts' MD5s, and their count.
// Stores that encrypt with KMS give another; then the record is stored once more under that.
// -EINVAL where the parts' ETags are no MD5s.
int image_predict_etag(const struct image *image, char ret_etag[S3_ETAG_SIZE]);
// The caller's to free.
int image_make_record(const struct image *image, const char *etag, struct record **ret_record,
                      struct err *err);
