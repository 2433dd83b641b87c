// blob.h - small blobs, whole. The door's registry_blob_read is in blob.c too.
#pragma once

#include "client.h"

// A blob of at most `limit` bytes, verified against its digest (one more try where it does not
// match). malloc'ed, with a NUL behind. EFBIG, EBADMSG, and registry_blob_read's.
int registry_blob_fetch(struct registry_client *client, struct call *call,
                        const struct registry_reference *reference,
                        const struct registry_descriptor *blob, size_t limit, char **ret_bytes,
                        struct err *err);
