#include "base/digest.h"

// The hashes use OpenSSL's low-level functions, which 3.0 deprecates, for two reasons: EVP does
// not show SHA-256's midstate, and an EVP digest allocates and may fail, which a hash that runs
// over every byte of an image should not. They take the same assembly (SHA-NI, AVX2) as EVP.
#define OPENSSL_SUPPRESS_DEPRECATED

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct sha256 *)NULL)->context),
               "digest.h's opaque context is too small for this OpenSSL");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct sha256),
               "digest.h's opaque context is not aligned enough for this OpenSSL");
_Static_assert(SHA256_SIZE == SHA256_DIGEST_LENGTH && SHA256_BLOCK == SHA256_CBLOCK &&
                   MD5_SIZE == MD5_DIGEST_LENGTH,
               "digest.h's sizes are those of the standards");

static SHA256_CTX *context_of(struct sha256 *sha)
{
    return (SHA256_CTX *)(void *)sha->context;
}

void sha256_init(struct sha256 *sha)
{
    SHA256_Init(context_of(sha));
}

void sha256_update(struct sha256 *sha, const void *bytes, size_t size)
{
    if (size > 0)
        SHA256_Update(context_of(sha), bytes, size);
}

void sha256_final(const struct sha256 *sha, uint8_t ret_digest[SHA256_SIZE])
{
    struct sha256 copy = *sha;
    SHA256_Final(ret_digest, context_of(&copy));
}

void sha256_final_hex(const struct sha256 *sha, char ret_hex[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256_final(sha, digest);
    digest_hex(digest, sizeof(digest), ret_hex);
}

void sha256_save(const struct sha256 *sha, struct sha256_midstate *ret_midstate)
{
    SHA256_CTX context;
    memcpy(&context, sha->context, sizeof(context));
    // Nh and Nl are the two halves of the count of bits.
    uint64_t size_bytes = ((uint64_t)context.Nh << 32 | context.Nl) / 8;
    *ret_midstate = (struct sha256_midstate){.size_bytes = size_bytes};
    memcpy(ret_midstate->words, context.h, sizeof(ret_midstate->words));
    memcpy(ret_midstate->rest, context.data, size_bytes % SHA256_BLOCK);
}

bool sha256_restore(struct sha256 *sha, const struct sha256_midstate *midstate)
{
    // FIPS 180-4 counts bits in 64: more than 2^61 bytes is no state that a hash can be in.
    if (midstate->size_bytes > UINT64_MAX / 8)
        return false;
    size_t rest_size = midstate->size_bytes % SHA256_BLOCK;
    uint64_t bits = (midstate->size_bytes - rest_size) * 8;
    SHA256_CTX context;
    SHA256_Init(&context);
    memcpy(context.h, midstate->words, sizeof(midstate->words));
    context.Nl = (uint32_t)bits;
    context.Nh = (uint32_t)(bits >> 32);
    memcpy(sha->context, &context, sizeof(context));
    sha256_update(sha, midstate->rest, rest_size);
    return true;
}

void sha256_of(const void *bytes, size_t size, uint8_t ret_digest[SHA256_SIZE])
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, bytes, size);
    sha256_final(&sha, ret_digest);
}

void sha256_hex_of(const void *bytes, size_t size, char ret_hex[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256_of(bytes, size, digest);
    digest_hex(digest, sizeof(digest), ret_hex);
}

// RFC 2104, spelled out: OpenSSL's HMAC() allocates and may fail, and a signature made with
// whatever stands in ret_mac after a failure would be refused for no visible reason.
void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                 uint8_t ret_mac[SHA256_SIZE])
{
    uint8_t block[SHA256_BLOCK] = {0};
    if (key_size > sizeof(block))
        sha256_of(key, key_size, block);
    else if (key_size > 0)
        memcpy(block, key, key_size);

    struct sha256 inner;
    struct sha256 outer;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    sha256_init(&inner);
    sha256_update(&inner, block, sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5C;
    sha256_init(&outer);
    sha256_update(&outer, block, sizeof(block));

    uint8_t inner_digest[SHA256_SIZE];
    sha256_update(&inner, bytes, size);
    sha256_final(&inner, inner_digest);
    sha256_update(&outer, inner_digest, sizeof(inner_digest));
    sha256_final(&outer, ret_mac);

    // What is derived from the key is as good as the key.
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(inner_digest, sizeof(inner_digest));
    OPENSSL_cleanse(&inner, sizeof(inner));
    OPENSSL_cleanse(&outer, sizeof(outer));
}

void md5_of(const struct digest_piece *pieces, size_t count, uint8_t ret_digest[MD5_SIZE])
{
    MD5_CTX context;
    MD5_Init(&context);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].size > 0)
            MD5_Update(&context, pieces[i].bytes, pieces[i].size);
    MD5_Final(ret_digest, &context);
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static pthread_once_t race_once = PTHREAD_ONCE_INIT;
static bool is_sha256_faster;

// The best of a few runs: what else the machine does only ever makes one slower.
static void race(void)
{
    enum { RUNS = 5 };
    static const uint8_t bytes[64 * 1024];
    const struct digest_piece piece = {bytes, sizeof(bytes)};
    int64_t best[2] = {INT64_MAX, INT64_MAX};
    for (int i = 0; i < RUNS; i++) {
        uint8_t digest[SHA256_SIZE];
        int64_t start = nanoseconds();
        sha256_of(bytes, sizeof(bytes), digest);
        int64_t middle = nanoseconds();
        md5_of(&piece, 1, digest);
        int64_t end = nanoseconds();
        best[0] = middle - start < best[0] ? middle - start : best[0];
        best[1] = end - middle < best[1] ? end - middle : best[1];
    }
    is_sha256_faster = best[0] < best[1];
}

bool digest_sha256_is_faster(void)
{
    pthread_once(&race_once, race);
    return is_sha256_faster;
}

void digest_hex(const uint8_t *bytes, size_t size, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 0x0F];
    }
    ret_hex[2 * size] = '\0';
}

// 16 where c is no lower-case hexadecimal digit.
static unsigned hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return 16;
}

bool digest_from_hex(const char *hex, size_t hex_size, uint8_t *ret_bytes)
{
    if (hex_size % 2 != 0)
        return false;
    for (size_t i = 0; i < hex_size; i++)
        if (hex_value(hex[i]) > 15)
            return false;
    for (size_t i = 0; i < hex_size / 2; i++)
        ret_bytes[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    return true;
}

char *digest_base64(const void *bytes, size_t size)
{
    if (size > INT_MAX / 2) // EVP counts in int, and four characters stand for three bytes
        return NULL;
    char *text = malloc((size + 2) / 3 * 4 + 1);
    if (text)
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
    return text;
}

// EVP_DecodeBlock alone is no check: it trims white space and takes '=' in any place for zeros.
static bool is_base64(const char *text, size_t size, size_t *ret_padding)
{
    if (size % 4 != 0 || size > INT_MAX)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < size - padding; i++) {
        char c = text[i];
        bool is_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (!is_digit)
            return false;
    }
    *ret_padding = padding;
    return true;
}

char *digest_from_base64(const char *text, size_t *ret_size)
{
    size_t size = strlen(text);
    size_t padding;
    if (!is_base64(text, size, &padding))
        return NULL;
    char *bytes = malloc(size / 4 * 3 + 1);
    if (!bytes)
        return NULL;
    int decoded = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)size);
    if (decoded < 0) {
        free(bytes);
        return NULL;
    }
    size_t decoded_size = (size_t)decoded - padding; // EVP counts the padding as zero bytes
    bytes[decoded_size] = '\0';
    if (ret_size)
        *ret_size = decoded_size;
    return bytes;
}

bool digest_random(void *bytes, size_t size)
{
    // The kernel's own: nothing to seed, and a fork does not repeat it.
    unsigned char *at = bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}
