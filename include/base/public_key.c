#include "base/public_key.h"

#include "base/buf.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192 };

struct public_key {
    EVP_PKEY *key;
    bool is_hashed; // its signatures are over a SHA-256; Ed25519's are not
    char sha256[SHA256_HEX_SIZE];
};

void public_key_free(struct public_key *key)
{
    if (key)
        EVP_PKEY_free(key->key);
    free(key);
}
DEFINE_SCOPE_CLEANUP(public_key, struct public_key, public_key_free)

const char *public_key_sha256(const struct public_key *key)
{
    return key->sha256;
}

// ---- reading -----------------------------------------------------------------------------------

static int refuse_text(const char *pem, size_t size, struct err *err)
{
    static const char right[] = "it takes the PEM of a public key (\"-----BEGIN PUBLIC KEY-----\")";
    if (memmem(pem, size, "PRIVATE KEY-----", strlen("PRIVATE KEY-----")))
        return err_set(err, EINVAL, "it holds a private key, which belongs to whoever signs: %s",
                       right);
    if (memmem(pem, size, "-----BEGIN CERTIFICATE", strlen("-----BEGIN CERTIFICATE")))
        return err_set(err, EINVAL,
                       "it holds a certificate: %s; openssl x509 -pubkey -noout takes it out",
                       right);
    return err_set(err, EINVAL, "it holds no public key: %s", right);
}

static int check_kind(struct public_key *key, struct err *err)
{
    int bits = EVP_PKEY_get_bits(key->key);
    char group[64] = "";
    key->is_hashed = true;
    switch (EVP_PKEY_get_base_id(key->key)) {
    case EVP_PKEY_ED25519:
        key->is_hashed = false;
        return 0;
    case EVP_PKEY_RSA:
        if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
            return 0;
        return err_set(err, EINVAL, "its RSA key has %d bits: one of %d to %d is wanted", bits,
                       RSA_BITS_MIN, RSA_BITS_MAX);
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(key->key, group, sizeof(group), NULL) == 1 &&
            (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0))
            return 0;
        return err_set(err, EINVAL,
                       "its key is on the curve %s: ECDSA on P-256, Ed25519 and RSA are taken",
                       group);
    default:
        return err_set(err, EINVAL,
                       "its key is of another kind: ECDSA on P-256, Ed25519 and RSA are taken");
    }
}

static int name_key(struct public_key *key, struct err *err)
{
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(key->key, &der);
    if (size <= 0)
        return err_no_memory(err);
    sha256_hex_of(der, (size_t)size, key->sha256);
    OPENSSL_free(der);
    return 0;
}

// What follows the key would be read by nobody, and looks as if it counted.
static bool has_another(BIO *bio)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long size;
    bool has = PEM_read_bio(bio, &name, &header, &data, &size) == 1;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    return has;
}

// OpenSSL would ask the terminal for one.
// NOLINTNEXTLINE(readability-non-const-parameter): it is a pem_password_cb
static int no_password(char *password, int size, int is_writing, void *context)
{
    (void)password, (void)size, (void)is_writing, (void)context;
    return -1;
}

int public_key_parse(const char *pem, size_t size, struct public_key **ret_key, struct err *err)
{
    AUTO(public_key_scope) struct public_key *key = calloc(1, sizeof(*key));
    BIO *bio = key && size <= PUBLIC_KEY_FILE_LIMIT ? BIO_new_mem_buf(pem, (int)size) : NULL;
    if (size > PUBLIC_KEY_FILE_LIMIT)
        return err_set(err, EINVAL, "it is larger than any public key");
    if (!bio)
        return err_no_memory(err);
    key->key = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    bool has_more = key->key && has_another(bio);
    BIO_free(bio);
    ERR_clear_error();
    if (!key->key)
        return refuse_text(pem, size, err);
    if (has_more)
        return err_set(err, EINVAL, "it holds more than one key: one is wanted");
    if (check_kind(key, err) < 0 || name_key(key, err) < 0)
        return -err->errnum;
    *ret_key = TAKE(key);
    return 0;
}

int public_key_load(const char *path, struct public_key **ret_key, struct err *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    auto_buf struct buf pem = BUF_INIT(PUBLIC_KEY_FILE_LIMIT + 1);
    char piece[4096];
    ssize_t size;
    if (fd < 0)
        return err_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
    while ((size = read(fd, piece, sizeof(piece))) > 0)
        if (buf_append(&pem, piece, (size_t)size) < 0)
            return err_set(err, EINVAL, "%s: it is larger than any public key", path);
    if (size < 0)
        return err_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
    int error = public_key_parse(buf_text(&pem), pem.size, ret_key, err);
    return error < 0 ? err_wrap(err, "%s", path) : 0;
}

// ---- verifying ---------------------------------------------------------------------------------

bool public_key_verify(const struct public_key *key, const void *bytes, size_t size,
                       const void *signature, size_t signature_size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_right = context &&
                    EVP_DigestVerifyInit(context, NULL, key->is_hashed ? EVP_sha256() : NULL, NULL,
                                         key->key) == 1 &&
                    EVP_DigestVerify(context, signature, signature_size, bytes, size) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error(); // what it holds against a wrong signature is nobody else's error
    return is_right;
}
