// image_record.h - what is recorded of an image whose pump has ended well (record.h).
#pragma once

#include "base/err.h"
#include "image.h"
#include "record.h"
#include "s3.h"

// As completion_record, of a struct image.
int image_make_record(void *context, const char *etag, struct record **ret_record, struct err *err);
