// image_twin.h - a tarball that holds an image's very bytes already, under another name.
//
// The bytes depend on image, platform, tag and format alone. So a second name of the same needs
// none moved and none copied part by part: the store copies the whole object (CopyObject), which
// some do by counting references. That takes effect without a condition on the new name and at
// once. So it is done only
//   - while the name's claim is held (claim.h), which is where the store needs claims,
//   - where the store binds a copy to its source's ETag (tried once, s3.h),
//   - for a write of one image without signatures: another image's copy may have to wait long after
//   it was checked,
//     and all of a write's tarballs appear together.
// Everything that copied layers must prove, a twin must prove as well: see layer_index.h.
#pragma once

#include "image.h"

// After layer_index_find and planning: sets image->twin where there is one that may be used.
void image_find_twin(struct image *image, struct call *call);
// Whether the record is of this image's tarball, in this format.
bool image_is_recorded(const struct image *image, const struct record *record);
// After the pump: ESTALE where the image's SHA-256 is not what the twin's record says.
int image_check_twin(const struct image *image, struct err *err);
// For completion.h: what is copied. All point into the image, the metadata and each other.
struct image_twin_copy {
    struct image_metadata metadata;
    struct s3_copy copy;
};
void image_fill_twin_copy(const struct image *image, struct image_twin_copy *ret_copy);
