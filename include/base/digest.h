// digest.h - SHA-256, MD5, HMAC, hex and base64; of OpenSSL's libcrypto, which public_key.c
// uses too.
//
// SHA-256's running state can be saved and restored (a "midstate", FIPS 180-4 section 6.2.2: the
// eight words H, the count, and the bytes that do not fill a block yet): a file whose first bytes
// are known already can be hashed on from there.
// No function here blocks or locks; one context is used by one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHA256_SIZE = 32,
    SHA256_HEX_SIZE = 65, // with the NUL
    SHA256_BLOCK = 64,
    MD5_SIZE = 16,
    MD5_HEX_SIZE = 33,
    MD5_BASE64_SIZE = 25,
};

struct sha256 {
    _Alignas(16) unsigned char context[128]; // OpenSSL's, never looked into from outside
};

void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const void *bytes, size_t size);
// Writes the digest of all bytes so far; *sha itself is left able to go on.
void sha256_final(const struct sha256 *sha, uint8_t ret_digest[SHA256_SIZE]);
void sha256_final_hex(const struct sha256 *sha, char ret_hex[SHA256_HEX_SIZE]);

struct sha256_midstate {
    uint32_t words[8];
    uint64_t size_bytes;        // hashed so far
    uint8_t rest[SHA256_BLOCK]; // the last size_bytes % SHA256_BLOCK of them, then zeros
};

void sha256_save(const struct sha256 *sha, struct sha256_midstate *ret_midstate);
// false when no hash can have come that far; *sha is then untouched.
bool sha256_restore(struct sha256 *sha, const struct sha256_midstate *midstate);

void sha256_of(const void *bytes, size_t size, uint8_t ret_digest[SHA256_SIZE]);
void sha256_hex_of(const void *bytes, size_t size, char ret_hex[SHA256_HEX_SIZE]);
void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                 uint8_t ret_mac[SHA256_SIZE]);

// MD5 serves S3's Content-MD5 and ETags only; it proves nothing against an attacker.
// Pieces are hashed in order.
struct digest_piece {
    const void *bytes;
    size_t size;
};
void md5_of(const struct digest_piece *pieces, size_t count, uint8_t ret_digest[MD5_SIZE]);

// Whether this CPU computes SHA-256 faster than MD5, as those with SHA instructions do by far.
// The first call takes some milliseconds to try.
bool digest_sha256_is_faster(void);

void digest_hex(const uint8_t *bytes, size_t size, char *ret_hex); // 2 * size + 1 bytes, lower case
// Total; lower case alone, so that a digest has one spelling. hex_size / 2 bytes.
bool digest_from_hex(const char *hex, size_t hex_size, uint8_t *ret_bytes);
// Standard alphabet with padding (RFC 4648 section 4). The result is malloc'ed, NULL on no memory.
char *digest_base64(const void *bytes, size_t size);
// Total, white space refused; malloc'ed with a NUL behind, NULL where the text is not base64 or
// memory is out.
char *digest_from_base64(const char *text, size_t *ret_size);

bool digest_random(void *bytes, size_t size); // cryptographically random; false when there is none
