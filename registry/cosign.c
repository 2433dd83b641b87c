#include "cosign.h"

#include "reference.h"
#include "referrer_names.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IN_TOTO "application/vnd.in-toto+json"

static void free_signatures(struct cosign_signature *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].bytes);
    free(list);
}

void cosign_signatures_done(struct cosign_signatures *signatures)
{
    free_signatures(signatures->list, signatures->count);
    *signatures = (struct cosign_signatures){0};
}

// ---- manifests and payloads --------------------------------------------------------------------

// false where the layer has none.
static bool take_layer(const json_t *layer, struct cosign_signature *signature)
{
    const char *digest = json_document_text(layer, "digest");
    const char *text = json_document_text(json_object_get(layer, "annotations"),
                                          "dev.cosignproject.cosign/signature");
    if (digest == NULL || !registry_digest_is_sha256(digest) || text == NULL ||
        !json_document_size(layer, "size", &signature->payload.size_bytes))
        return false;
    memcpy(signature->payload.digest, digest, REGISTRY_DIGEST_SIZE);
    signature->bytes = digest_from_base64(text, &signature->size);
    return signature->bytes != NULL;
}

int cosign_signatures_parse(const char *manifest, size_t size,
                            struct cosign_signatures *ret_signatures, struct err *err)
{
    auto_json json_t *json = json_document_parse(manifest, size, true, "its signature", err);
    if (json == NULL)
        return -err->errnum;
    const json_t *layers = json_object_get(json, "layers");
    size_t count = json_array_size(layers);
    if (count > COSIGN_SIGNATURES_MAX)
        return err_set(err, EFBIG, "it has %zu signatures under one tag, more than %d", count,
                       COSIGN_SIGNATURES_MAX);
    struct cosign_signatures signatures = {.list = calloc(count + 1, sizeof(*signatures.list))};
    if (signatures.list == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        signatures.count +=
            take_layer(json_array_get(layers, i), &signatures.list[signatures.count]);
    *ret_signatures = signatures;
    return 0;
}

bool cosign_payload_is_about(const char *payload, size_t size, const char *digest)
{
    struct err ignored = {0};
    auto_json json_t *json = json_document_parse(payload, size, true, "it", &ignored);
    const json_t *critical = json_object_get(json, "critical");
    const char *said =
        json_document_text(json_object_get(critical, "image"), "docker-manifest-digest");
    return said != NULL && strcmp(said, digest) == 0;
}

// ---- bundles -----------------------------------------------------------------------------------

void cosign_bundle_done(struct cosign_bundle *bundle)
{
    free_signatures(bundle->signatures, bundle->signature_count);
    free(bundle->signed_bytes);
    *bundle = (struct cosign_bundle){0};
}

static bool take_signature(const json_t *object, const char *key, struct cosign_bundle *bundle)
{
    const char *text = json_document_text(object, key);
    struct cosign_signature *signature = &bundle->signatures[bundle->signature_count];
    signature->bytes = text != NULL ? digest_from_base64(text, &signature->size) : NULL;
    bundle->signature_count += signature->bytes != NULL;
    return signature->bytes != NULL;
}

// DSSE's pre-authentication encoding (github.com/secure-systems-lab/dsse, protocol.md).
static int encode(const char *type, const char *payload, size_t size, struct cosign_bundle *bundle,
                  struct err *err)
{
    auto_buf struct buf encoded = BUF_INIT(size + strlen(type) + 64);
    buf_printf(&encoded, "DSSEv1 %zu %s %zu ", strlen(type), type, size);
    buf_append(&encoded, payload, size);
    bundle->signed_size = encoded.size;
    bundle->signed_bytes = buf_take(&encoded);
    if (bundle->signed_bytes == NULL)
        return err_no_memory(err);
    bundle->statement = bundle->signed_bytes + bundle->signed_size - size;
    bundle->statement_size = size;
    return 0;
}

static int take_envelope(const json_t *envelope, struct cosign_bundle *bundle, struct err *err)
{
    const char *type = json_document_text(envelope, "payloadType");
    const char *text = json_document_text(envelope, "payload");
    const json_t *signatures = json_object_get(envelope, "signatures");
    size_t size = 0, count = json_array_size(signatures);
    auto_free char *payload = text != NULL ? digest_from_base64(text, &size) : NULL;
    if (payload == NULL || type == NULL || strcmp(type, IN_TOTO) != 0 || count == 0 ||
        count > COSIGN_SIGNATURES_MAX)
        return err_set(err, EPROTO, "its bundle's envelope holds no signed statement");
    bundle->signatures = calloc(count, sizeof(*bundle->signatures));
    if (bundle->signatures == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        (void)take_signature(json_array_get(signatures, i), "sig", bundle);
    return encode(type, payload, size, bundle, err);
}

int cosign_bundle_parse(const char *json, size_t size, struct cosign_bundle *ret_bundle,
                        struct err *err)
{
    AUTO(cosign_bundle_done) struct cosign_bundle bundle = {0};
    auto_json json_t *root = json_document_parse(json, size, true, "its bundle", err);
    if (root == NULL)
        return -err->errnum;
    const json_t *envelope = json_object_get(root, "dsseEnvelope");
    const json_t *message = json_object_get(root, "messageSignature");
    if ((envelope != NULL) == (message != NULL))
        return err_set(err, EPROTO, "its bundle holds neither a statement nor a signature");
    if (envelope != NULL && take_envelope(envelope, &bundle, err) < 0)
        return -err->errnum;
    if (message != NULL) {
        bundle.signatures = calloc(1, sizeof(*bundle.signatures));
        if (bundle.signatures == NULL)
            return err_no_memory(err);
        if (!take_signature(message, "signature", &bundle))
            return err_set(err, EPROTO, "its bundle holds no signature");
    }
    *ret_bundle = bundle;
    bundle = (struct cosign_bundle){0};
    return 0;
}

static bool begins_with(const char *text, const char *beginning)
{
    return text != NULL && strncmp(text, beginning, strlen(beginning)) == 0;
}

bool cosign_statement_is_about(const char *statement, size_t size, const char *digest)
{
    struct err ignored = {0};
    auto_json json_t *json = json_document_parse(statement, size, true, "it", &ignored);
    const json_t *subjects = json_object_get(json, "subject");
    if (!begins_with(json_document_text(json, "_type"), "https://in-toto.io/Statement/") ||
        !begins_with(json_document_text(json, "predicateType"), REFERRER_SIGN_PREDICATE))
        return false;
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        const char *hex =
            json_document_text(json_object_get(json_array_get(subjects, i), "digest"), "sha256");
        if (hex != NULL && strcmp(hex, digest + strlen("sha256:")) == 0)
            return true;
    }
    return false;
}
