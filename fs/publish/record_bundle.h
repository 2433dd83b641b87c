// record_bundle.h - the records of a directory's tarballs, many in one object.
//
// A bundle is a cache; records (record.h) stay the truth. It is text, a record per line, as
// record_format writes them but without their layers. Each line is parsed and checked as a record
// of its own and belongs to one (key, ETag), so that a bundle, whoever wrote it, can say nothing
// that a record could not. What is no record is passed over: it will be asked for by itself.
//
// A directory of many tarballs has several bundles, always a power of two, and a key's hash says
// in which of them it is looked for. A bundle of a set of 2n holds a part of what one of a set of
// n holds: where a directory has just outgrown its bundles, the older, larger one is read.
//
//     PREFIX.prereleasefs/bundles/SHA256-OF-DIRECTORY/INDEX-of-COUNT.jsonl
#pragma once

#include "record.h"

enum {
    BUNDLE_RECORDS = 2000,          // that one is to hold, more or less ...
    BUNDLE_COUNT_MAX = 64,          // ... unless there would be more of them than this
    BUNDLE_LIMIT = 8 * 1024 * 1024, // bytes; records take some 700 each, without layers
};

size_t bundle_count(size_t tarball_count); // how many bundles so many tarballs have; 1 at least
size_t bundle_index(const char *key, size_t count); // in which of them the key is looked for
// malloc'ed; NULL on no memory. prefix and directory as in tree.h.
char *bundle_object_key(const char *prefix, const char *directory, size_t index, size_t count);

// Appends the line of a record without its layers; -EBADMSG, -E2BIG or -ENOMEM, and then the text
// is as it was.
int bundle_append(struct buf *text, const struct record *record);
// Hands over each record that the text holds; the answer is how many lines were none.
size_t bundle_read(const char *text, size_t size,
                   void (*on_record)(void *context, struct record *record), void *context);
