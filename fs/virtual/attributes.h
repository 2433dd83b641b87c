// attributes.h - a file's extended attributes (xattr(7)): what urls.tsv says of it, one by one.
//
//     user.prerelease.etag                                      every object
//     user.prerelease.{sha256,image,digest,platform}            a tarball with a record
//     user.prerelease.{url,expires}                             never listed, so that a copy of all
//                                                               attributes carries no link away
//
//     user.prerelease.allow_delete                              a directory: "yes" or "no", what
//                                                               the mount lets rm do; not listed
//
// Values are text without a NUL. Blocks as virtual_render does: a record is read at most once, and
// nothing is minted but for the last two.
#pragma once

#include "virtual.h"

#define ATTRIBUTE_PREFIX "user.prerelease."
#define ATTRIBUTE_ALLOW_DELETE ATTRIBUTE_PREFIX "allow_delete"

struct attributes_of { // an object of this mount; stays the caller's
    const char *directory;
    const char *name;
    const char *etag;
    uint64_t size_bytes;
};

bool attribute_is_ours(const char *attribute);    // begins with ATTRIBUTE_PREFIX
bool attribute_is_guarded(const char *attribute); // url and expires: linkmode= says who reads them
bool attribute_is_link(const char *attribute);

// ENODATA where the object has no such attribute; for those of links also what virtual_render
// answers.
int attributes_get(struct virtuals *virtuals, struct call *call, const struct attributes_of *object,
                   const char *attribute, struct buf *ret_value, struct err *err);
// The names of what is listed, a NUL behind each, as listxattr(2) has them.
int attributes_list(struct virtuals *virtuals, struct call *call,
                    const struct attributes_of *object, struct buf *ret_names, struct err *err);
