// public_key.h - a public key, and whether a signature over some bytes is by it; with digest.h and
// http_trust.c the only user of OpenSSL.
//
// As sigstore's clients sign: ECDSA on P-256 over the SHA-256 of the bytes (ASN.1, RFC 3279), RSA
// of 2048 to 8192 bits likewise (PKCS #1 v1.5, RFC 8017), Ed25519 over the bytes themselves (RFC
// 8032). A key is immutable; any number of threads may use one.
#pragma once

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { PUBLIC_KEY_FILE_LIMIT = 64 * 1024 }; // bytes of PEM

struct public_key;

// PEM of a SubjectPublicKeyInfo ("BEGIN PUBLIC KEY"), of which there is one. Total. EINVAL with
// what it is instead: a private key, a certificate, another kind of key.
int public_key_parse(const char *pem, size_t size, struct public_key **ret_key, struct err *err);
// EINVAL, and what open and read say.
int public_key_load(const char *path, struct public_key **ret_key, struct err *err);
void public_key_free(struct public_key *key); // accepts NULL

// The SHA-256 of the SubjectPublicKeyInfo (DER): the key's name, whatever file it is in.
const char *public_key_sha256(const struct public_key *key);

// Total: false also where the bytes are no signature, or memory is out.
bool public_key_verify(const struct public_key *key, const void *bytes, size_t size,
                       const void *signature, size_t signature_size);
