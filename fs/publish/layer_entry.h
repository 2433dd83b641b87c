// layer_entry.h - the bytes of one entry of the layer index (layer_index.h). Pure.
#pragma once

#include "base/err.h"

#include <stddef.h>

enum { LAYER_ENTRY_LIMIT = 8 * 1024 }; // bytes: a key and an ETag, however they are escaped

// malloc'ed JSON; NULL on no memory.
char *layer_entry_format(const char *key, const char *etag);
// Total: anyone who may write to the bucket may have written it. EBADMSG for what is no entry of
// this version, or names no tarball of the mount: one below `prefix` (as in tree_prefix) and not in
// .prereleasefs/. Unknown members are passed over. Key and ETag are malloc'ed.
int layer_entry_parse(const char *json, size_t size, const char *prefix, char **ret_key,
                      char **ret_etag, struct err *err);
