#include "document.h"

#include "manifest.h"
#include "reference.h"
#include "request.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void registry_document_done(struct document *document)
{
    free(document->bytes);
    free(document->content_type);
    *document = (struct document){0};
}

static void digest_of(const char *bytes, size_t size, char ret_digest[REGISTRY_DIGEST_SIZE])
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex_of(bytes, size, hex);
    snprintf(ret_digest, REGISTRY_DIGEST_SIZE, "sha256:%s", hex);
}

static int check_document(const struct document *document, const char *digest,
                          const struct http_response *response, struct err *err)
{
    const char *said = http_response_header(response, "docker-content-digest");
    const char *expected = digest;
    if (expected == NULL && said != NULL && registry_digest_is_sha256(said))
        expected = said;
    if (expected == NULL || strcmp(document->digest, expected) == 0)
        return 0;
    return err_set(err, EBADMSG, "the bytes that came for the manifest %s are others: they are %s",
                   expected, document->digest);
}

static int fetch_once(struct registry_client *client, struct call *call,
                      const struct registry_reference *reference, const char *digest,
                      struct document *ret_document, struct err *err)
{
    auto_free char *path = NULL;
    if (asprintf(&path, "manifests/%s", digest != NULL ? digest : reference->tag) < 0) {
        path = NULL;
        return err_no_memory(err);
    }
    const struct registry_request request = {
        .method = "GET",
        .reference = reference,
        .path = path,
        .accept = MANIFEST_ACCEPT,
        .body_limit = REGISTRY_MANIFEST_LIMIT,
    };
    auto_http_response struct http_response response = {0};
    AUTO(registry_document_done) struct document document = {0};
    int status = registry_request_perform(client, call, &request, &response, err);
    if (status < 0)
        return status;
    const char *type = http_response_header(&response, "content-type");
    document.size = response.body.size;
    document.bytes = buf_take(&response.body);
    document.content_type = type == NULL ? NULL : strdup(type);
    if (document.bytes == NULL || (type != NULL && document.content_type == NULL))
        return err_no_memory(err);
    digest_of(document.bytes, document.size, document.digest);
    status = check_document(&document, digest, &response, err);
    if (status < 0)
        return status;
    *ret_document = document;
    document = (struct document){0};
    return 0;
}

int registry_document_fetch(struct registry_client *client, struct call *call,
                            const struct registry_reference *reference, const char *digest,
                            struct document *ret_document, struct err *err)
{
    int status = fetch_once(client, call, reference, digest, ret_document, err);
    if (status == -EBADMSG) {
        err->is_retryable = true;
        err->retry_after_ms = -1;
        if (call_should_retry(call, 1, err))
            status = fetch_once(client, call, reference, digest, ret_document, err);
    }
    if (status == -ENOENT)
        err_wrap(err, "no such %s: check the spelling, and that it was pushed",
                 strcmp(err->code, "NAME_UNKNOWN") == 0 ? "repository"
                 : digest != NULL                       ? "digest"
                                                        : "tag");
    return status < 0 ? -err->errnum : 0;
}

int registry_document_fetch_entry(struct registry_client *client, struct call *call,
                                  const struct registry_reference *reference,
                                  const struct registry_descriptor *descriptor,
                                  struct document *ret_document, struct err *err)
{
    AUTO(registry_document_done) struct document document = {0};
    if (descriptor->size_bytes > REGISTRY_MANIFEST_LIMIT)
        return err_set(err, EFBIG,
                       "its manifest %s is said to have %" PRIu64 " bytes, more than %d",
                       descriptor->digest, descriptor->size_bytes, REGISTRY_MANIFEST_LIMIT);
    int status =
        registry_document_fetch(client, call, reference, descriptor->digest, &document, err);
    if (status < 0)
        return err_wrap(err, "its manifest %s", descriptor->digest);
    if (document.size != descriptor->size_bytes)
        return err_set(err, EBADMSG, "its manifest %s has %zu bytes, its index says %" PRIu64,
                       descriptor->digest, document.size, descriptor->size_bytes);
    // The server's word for what it is counts less than the index's, which a digest vouches for.
    free(document.content_type);
    document.content_type = strdup(descriptor->media_type);
    if (document.content_type == NULL)
        return err_no_memory(err);
    *ret_document = document;
    document = (struct document){0};
    return 0;
}
