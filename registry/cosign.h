// cosign.h - the signatures of sigstore's clients, as documents; pure.
//
// Two forms, both of which cosign writes and reads: a manifest whose layers are payloads ("simple
// signing"), each with its signature in an annotation; and a bundle (v0.3), a JSON document that
// holds a statement in a DSSE envelope, or a signature over the image's manifest itself.
// Every function takes any bytes. What a signature is worth, the key tells (base/public_key.h).
#pragma once

#include "registry.h"

enum {
    COSIGN_PAYLOAD_LIMIT = 256 * 1024,     // bytes; cosign's have some 250
    COSIGN_BUNDLE_LIMIT = 4 * 1024 * 1024, // bytes; with certificates and log entries some 10,000
    COSIGN_SIGNATURES_MAX = 1000,          // that are looked at; cosign's own limit
};

struct cosign_signature {
    struct registry_descriptor payload; // a blob; media_type NULL
    char *bytes;
    size_t size;
};
struct cosign_signatures {
    struct cosign_signature *list;
    size_t count;
};
// Of such a manifest; layers without a signature are passed over. EPROTO; EFBIG.
int cosign_signatures_parse(const char *manifest, size_t size,
                            struct cosign_signatures *ret_signatures, struct err *err);
void cosign_signatures_done(struct cosign_signatures *signatures); // accepts zeroed

// Whether a payload says that it is about the image of that digest.
bool cosign_payload_is_about(const char *payload, size_t size, const char *digest);

struct cosign_bundle {
    // What is signed: of an envelope its pre-authentication encoding, which ends in the statement;
    // NULL: the bytes of the image's manifest.
    char *signed_bytes;
    size_t signed_size;
    const char *statement; // in it
    size_t statement_size;
    struct cosign_signature *signatures; // without payloads
    size_t signature_count;
};
// EPROTO.
int cosign_bundle_parse(const char *json, size_t size, struct cosign_bundle *ret_bundle,
                        struct err *err);
void cosign_bundle_done(struct cosign_bundle *bundle); // accepts zeroed
// Whether a statement says nothing but that the image of that digest is signed.
bool cosign_statement_is_about(const char *statement, size_t size, const char *digest);
