// document.h - manifests and indexes as a registry serves them, verified against the digests they
// are asked for by.
#pragma once

#include "registry.h"

struct document {
    char *bytes;
    size_t size;
    char *content_type; // the answer's, or what its index says; NULL where nothing does
    char digest[REGISTRY_DIGEST_SIZE];
};
void registry_document_done(struct document *document); // accepts zeroed

// digest: NULL for the reference's tag; the answer's own header is compared then, so that bytes
// that were mangled on their way show. Bytes that do not match are fetched once more. EBADMSG;
// ENOENT with what there is not.
int registry_document_fetch(struct registry_client *client, struct call *call,
                            const struct registry_reference *reference, const char *digest,
                            struct document *ret_document, struct err *err);
// One that an index names, whose word for its size and media type counts. EFBIG.
int registry_document_fetch_entry(struct registry_client *client, struct call *call,
                                  const struct registry_reference *reference,
                                  const struct registry_descriptor *descriptor,
                                  struct document *ret_document, struct err *err);
