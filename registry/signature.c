// Whether an image is signed by a key.
#include "blob.h"
#include "cosign.h"
#include "referrer_names.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

// What the signatures that were looked at came to.
struct verdict {
    struct registry_client *client;
    struct call *call;
    const struct registry_image *image;
    const struct public_key *key;
    size_t looked_at;
    bool is_signed;
    bool is_about_another; // by the key, and naming another image
};

// A blob that was looked at last: signatures by many keys often share one payload.
struct held {
    char digest[REGISTRY_DIGEST_SIZE];
    char *bytes;
};

static int hold(struct verdict *verdict, const struct registry_descriptor *blob, size_t limit,
                struct held *held, struct err *err)
{
    if (strcmp(held->digest, blob->digest) == 0)
        return 0;
    char *bytes;
    if (registry_blob_fetch(verdict->client, verdict->call, &verdict->image->reference, blob, limit,
                            &bytes, err) < 0)
        return err_wrap(err, "a signature's payload");
    free(held->bytes);
    held->bytes = bytes;
    memcpy(held->digest, blob->digest, REGISTRY_DIGEST_SIZE);
    return 0;
}

// ---- payloads ----------------------------------------------------------------------------------

static int look_at_manifest(struct verdict *verdict, const struct registry_referrer *referrer,
                            struct err *err)
{
    AUTO(cosign_signatures_done) struct cosign_signatures signatures = {0};
    struct held held = {.digest = ""};
    int status = cosign_signatures_parse(referrer->manifest_bytes, referrer->manifest.size_bytes,
                                         &signatures, err);
    for (size_t i = 0; status == 0 && i < signatures.count && !verdict->is_signed; i++) {
        const struct cosign_signature *signature = &signatures.list[i];
        verdict->looked_at++;
        status = hold(verdict, &signature->payload, COSIGN_PAYLOAD_LIMIT, &held, err);
        if (status < 0 ||
            !public_key_verify(verdict->key, held.bytes, signature->payload.size_bytes,
                               signature->bytes, signature->size))
            continue;
        verdict->is_signed =
            cosign_payload_is_about(held.bytes, signature->payload.size_bytes, referrer->subject);
        verdict->is_about_another |= !verdict->is_signed;
    }
    free(held.bytes);
    return status;
}

// ---- bundles -----------------------------------------------------------------------------------

// The bytes of what is published, or of an index above it.
static const char *subject_bytes(const struct registry_image *image, const char *digest,
                                 size_t *ret_size)
{
    for (size_t i = 0; i < image->index_count; i++)
        if (strcmp(image->indexes[i].descriptor.digest, digest) == 0) {
            *ret_size = image->indexes[i].descriptor.size_bytes;
            return image->indexes[i].bytes;
        }
    *ret_size = image->manifest.size_bytes;
    return image->manifest_bytes;
}

static void look_at_bundle(struct verdict *verdict, const struct cosign_bundle *bundle,
                           const char *subject)
{
    size_t size = bundle->signed_size;
    const char *bytes = bundle->signed_bytes != NULL
                            ? bundle->signed_bytes
                            : subject_bytes(verdict->image, subject, &size);
    for (size_t i = 0; i < bundle->signature_count && !verdict->is_signed; i++) {
        const struct cosign_signature *signature = &bundle->signatures[i];
        verdict->looked_at++;
        if (!public_key_verify(verdict->key, bytes, size, signature->bytes, signature->size))
            continue;
        verdict->is_signed =
            bundle->signed_bytes == NULL ||
            cosign_statement_is_about(bundle->statement, bundle->statement_size, subject);
        verdict->is_about_another |= !verdict->is_signed;
    }
}

// A bundle that makes no sense is no signature, as one by another key is none.
static int look_at_bundles(struct verdict *verdict, const struct registry_referrer *referrer,
                           struct err *err)
{
    for (size_t i = 1; i < referrer->blob_count && !verdict->is_signed; i++) {
        AUTO(cosign_bundle_done) struct cosign_bundle bundle = {0};
        const struct registry_descriptor *blob = &referrer->blobs[i];
        struct err ignored = {0};
        auto_free char *json = NULL;
        if (registry_blob_fetch(verdict->client, verdict->call, &verdict->image->reference, blob,
                                COSIGN_BUNDLE_LIMIT, &json, err) < 0)
            return err_wrap(err, "a signature's bundle");
        if (cosign_bundle_parse(json, blob->size_bytes, &bundle, &ignored) == 0)
            look_at_bundle(verdict, &bundle, referrer->subject);
    }
    return 0;
}

// ---- all of them -------------------------------------------------------------------------------

static int refuse(const struct verdict *verdict, struct err *err)
{
    const char *text = verdict->image->reference.text,
               *digest = registry_image_digest(verdict->image);
    const char *key = public_key_sha256(verdict->key);
    if (verdict->looked_at == 0)
        return err_set(err, EKEYREJECTED,
                       "%s: %s has no signature, and verify_key= demands one by the key with the "
                       "SHA-256 %s: sign it (cosign sign --key), or publish one that is signed",
                       text, digest, key);
    return err_set(err, EKEYREJECTED,
                   "%s: none of the %zu signatures of %s is by the key of verify_key= (SHA-256 "
                   "%s)%s",
                   text, verdict->looked_at, digest, key,
                   verdict->is_about_another ? " and names it: one by that key names another image"
                                             : "");
}

int registry_signature_verify(struct registry_client *client, struct call *call,
                              const struct registry_image *image,
                              const struct registry_referrers *referrers,
                              const struct public_key *key, struct err *err)
{
    struct verdict verdict = {.client = client, .call = call, .image = image, .key = key};
    for (size_t i = 0; i < referrers->count && !verdict.is_signed; i++) {
        const struct registry_referrer *referrer = &referrers->list[i];
        if (referrer->kind != REGISTRY_SIGNATURE || !referrer->is_about_published)
            continue;
        bool is_bundle = referrer_is_bundle(referrer->artifact_type);
        if ((is_bundle ? look_at_bundles(&verdict, referrer, err)
                       : look_at_manifest(&verdict, referrer, err)) < 0)
            return err_wrap(err, "%s", image->reference.text);
    }
    return verdict.is_signed ? 0 : refuse(&verdict, err);
}
