// Signatures as cosign's clients store them: manifests, payloads, bundles, statements.

#include "fuzz.h"

#include "registry/cosign.h"

#include <stdlib.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    struct cosign_signatures signatures = {0};
    struct cosign_bundle bundle = {0};
    struct err err = {0};
    if (cosign_signatures_parse(text, size, &signatures, &err) == 0 &&
        signatures.count > COSIGN_SIGNATURES_MAX)
        abort();
    cosign_signatures_done(&signatures);
    if (cosign_bundle_parse(text, size, &bundle, &err) == 0) {
        if (bundle.signature_count > COSIGN_SIGNATURES_MAX ||
            (bundle.signed_bytes &&
             bundle.statement + bundle.statement_size != bundle.signed_bytes + bundle.signed_size))
            abort();
        (void)cosign_statement_is_about(bundle.statement, bundle.statement_size, DIGEST);
    }
    cosign_bundle_done(&bundle);
    (void)cosign_payload_is_about(text, size, DIGEST);
    (void)cosign_statement_is_about(text, size, DIGEST);
    return 0;
}
