// image_record.h - what is recorded of an image whose pump has ended well (record.h).
#pragma once

#include "base/err.h"
#include "image.h"
#include "record.h"
#include "s3.h"

// The caller's to free.
int image_make_record(const struct image *image, const char *etag, struct record **ret_record,
                      struct err *err);
