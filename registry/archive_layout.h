// archive_layout.h - an archive in the making, member by member, in the order of the calls. Pure.
//
// The first failure stays: what is added after it changes nothing, and archive_layout_end says it.
// Bytes and descriptors that are handed in are kept by pointer and outlive the archive.
#pragma once

#include "registry.h"

struct layout {
    struct err *err; // the caller's
    struct archive *archive;
    const struct registry_descriptor **known; // blobs that stand in it
    size_t known_count;
    int failure; // 0 or -errno
};

// json_max: files beside the blobs. ENOMEM; archive_layout_done follows either way.
int archive_layout_begin(struct layout *layout, enum archive_format format, size_t blob_max,
                         size_t json_max);
// A blob of the registry, and one whose bytes are known; each digest stands once.
void archive_layout_blob(struct layout *layout, const struct registry_descriptor *blob);
void archive_layout_known_blob(struct layout *layout, const struct registry_descriptor *descriptor,
                               const char *bytes);
void archive_layout_literal(struct layout *layout, const char *name, const char *bytes,
                            uint64_t size);
// A blob that is the whole file: the format is ARCHIVE_FORMAT_PAYLOAD.
void archive_layout_payload(struct layout *layout, const struct registry_descriptor *blob);
// A JSON file; takes the text over. NULL is a failure that has been reported.
void archive_layout_json(struct layout *layout, const char *name, char *text);
// The end of the tar, and of its gzip. *ret_archive is the caller's.
int archive_layout_end(struct layout *layout, struct archive **ret_archive);
void archive_layout_done(struct layout *layout);
