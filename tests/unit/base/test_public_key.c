#include "test.h"

#include "../registry/corpus.h"

#include "base/public_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static void check_accept(const char *name, char *text, size_t size)
{
    struct public_key *key;
    struct err err = {0};
    if (public_key_parse(text, size, &key, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    assert_int_equal(strlen(public_key_sha256(key)), 64);
    public_key_free(key);
}

static void check_reject(const char *name, char *text, size_t size)
{
    struct public_key *key;
    struct err err = {0};
    if (public_key_parse(text, size, &key, &err) != -EINVAL)
        fail_msg("%s is taken", name);
}

static void files(void **state)
{
    (void)state;
    corpus_replay("public_key/accept", check_accept);
    corpus_replay("public_key/reject", check_reject);
    struct public_key *key;
    struct err err = {0};
    assert_int_equal(public_key_load("/nonexistent/key.pub", &key, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/key.pub: No such file"));
    assert_int_equal(public_key_load("/", &key, &err), -EISDIR);
}

// By every kind of key: its own signature over the bytes, and nothing else.
static void check_kind(EVP_PKEY *private, const EVP_MD *digest)
{
    static const unsigned char bytes[] = "what is signed", other[] = "what is sIgned";
    unsigned char signature[1024];
    size_t size = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, digest, NULL, private), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &size, bytes, sizeof(bytes)), 1);
    EVP_MD_CTX_free(context);

    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    struct public_key *key;
    struct err err = {0};
    assert_int_equal(PEM_write_bio_PUBKEY(bio, private), 1);
    long pem_size = BIO_get_mem_data(bio, &pem);
    assert_int_equal(public_key_parse(pem, (size_t)pem_size, &key, &err), 0);
    assert_true(public_key_verify(key, bytes, sizeof(bytes), signature, size));
    assert_false(public_key_verify(key, other, sizeof(other), signature, size));
    assert_false(public_key_verify(key, bytes, sizeof(bytes), signature, size - 1));
    assert_false(public_key_verify(key, bytes, sizeof(bytes), signature, 0));
    signature[size / 2] ^= 1;
    assert_false(public_key_verify(key, bytes, sizeof(bytes), signature, size));
    public_key_free(key);
    BIO_free(bio);
    EVP_PKEY_free(private);
}

static void signatures(void **state)
{
    (void)state;
    check_kind(EVP_EC_gen("P-256"), EVP_sha256());
    check_kind(EVP_RSA_gen(2048), EVP_sha256());
    check_kind(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files), cmocka_unit_test(signatures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
