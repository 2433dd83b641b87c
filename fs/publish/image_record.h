// image_record.h - what is recorded of an image whose pump has ended well (record.h).
#pragma once

#include "base/err.h"
#include "image.h"
#include "record.h"
#include "s3.h"

// What a record says of any file that a publish stored: its key, size, SHA-256, time and publisher.
// NULL on no memory.
struct record *image_begin_record(const struct image *image, const char *etag);

// As completion_record, of a struct image.
int image_make_record(void *context, const char *etag, struct record **ret_record, struct err *err);
