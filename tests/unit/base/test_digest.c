#include "test.h"

#include "base/digest.h"
#include "base/scope.h"
#include "fault_memory.h"

#include <openssl/evp.h>
#include <string.h>

static void expect_sha256(const void *bytes, size_t size, const char *hex)
{
    char got[SHA256_HEX_SIZE];
    sha256_hex_of(bytes, size, got);
    assert_string_equal(got, hex);
}

// FIPS 180-4's examples.
static void sha256_known_answers(void **state)
{
    (void)state;
    expect_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void final_leaves_the_context_going(void **state)
{
    (void)state;
    struct sha256 sha;
    char hex[SHA256_HEX_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, "a", 1);
    sha256_final_hex(&sha, hex);
    assert_string_equal(hex, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    sha256_update(&sha, "bc", 2);
    sha256_final_hex(&sha, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
}

// At every size: a hash cut into a saved and a restored half, and EVP's opinion of the whole.
static void midstate_round_trips(void **state)
{
    (void)state;
    static uint8_t bytes[1024];
    fill(bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        struct sha256 sha;
        struct sha256_midstate midstate;
        sha256_init(&sha);
        sha256_update(&sha, bytes, cut);
        sha256_save(&sha, &midstate);
        assert_int_equal(midstate.size_bytes, cut);
        struct sha256 other;
        memset(&other, 0xEE, sizeof(other));
        assert_true(sha256_restore(&other, &midstate));
        sha256_update(&other, bytes + cut, sizeof(bytes) - cut);
        uint8_t digest[SHA256_SIZE];
        uint8_t expected[SHA256_SIZE];
        sha256_final(&other, digest);
        EVP_Digest(bytes, sizeof(bytes), expected, NULL, EVP_sha256(), NULL);
        assert_memory_equal(digest, expected, sizeof(expected));
    }
}

// The count of bits passes 2^32 at 512 MiB: both halves of it must be kept.
static void midstate_past_4_gibit(void **state)
{
    (void)state;
    static uint8_t bytes[1024 * 1024];
    fill(bytes, sizeof(bytes));
    struct sha256 sha;
    sha256_init(&sha);
    for (int i = 0; i < 513; i++)
        sha256_update(&sha, bytes, sizeof(bytes));
    struct sha256_midstate midstate;
    sha256_save(&sha, &midstate);
    assert_int_equal(midstate.size_bytes, 513LL * 1024 * 1024);
    struct sha256 other;
    assert_true(sha256_restore(&other, &midstate));
    sha256_update(&sha, "tail", 4);
    sha256_update(&other, "tail", 4);
    char hex[SHA256_HEX_SIZE];
    char other_hex[SHA256_HEX_SIZE];
    sha256_final_hex(&sha, hex);
    sha256_final_hex(&other, other_hex);
    assert_string_equal(hex, other_hex);
}

static void midstate_of_no_hash_is_refused(void **state)
{
    (void)state;
    struct sha256 sha;
    struct sha256 before;
    sha256_init(&sha);
    before = sha;
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 63, 1ULL << 61};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct sha256_midstate midstate = {.size_bytes = sizes[i]};
        assert_false(sha256_restore(&sha, &midstate));
        assert_memory_equal(sha.context, before.context, sizeof(sha.context));
    }
    struct sha256_midstate largest = {.size_bytes = (1ULL << 61) - 64};
    struct sha256_midstate again;
    assert_true(sha256_restore(&sha, &largest));
    sha256_save(&sha, &again);
    assert_int_equal(again.size_bytes, largest.size_bytes);
}

static void expect_hmac(const char *key, size_t key_size, const char *text, const char *hex)
{
    uint8_t mac[SHA256_SIZE];
    char got[SHA256_HEX_SIZE];
    hmac_sha256(key, key_size, text, strlen(text), mac);
    digest_hex(mac, sizeof(mac), got);
    assert_string_equal(got, hex);
}

// RFC 4231, test cases 1, 2, 6 and 7.
static void hmac_known_answers(void **state)
{
    (void)state;
    char key[131];
    memset(key, 0x0B, 20);
    expect_hmac(key, 20, "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect_hmac("Jefe", 4, "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xAA, sizeof(key));
    expect_hmac(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    expect_hmac(key, sizeof(key),
                "This is a test using a larger than block-size key and a larger than block-size "
                "data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
    expect_hmac(NULL, 0, "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void race_is_run_once(void **state)
{
    (void)state;
    bool first = digest_sha256_is_faster();
    for (int i = 0; i < 10; i++)
        assert_true(digest_sha256_is_faster() == first);
}

static void md5_of_pieces(void **state)
{
    (void)state;
    uint8_t digest[MD5_SIZE];
    char hex[MD5_HEX_SIZE];
    md5_of(NULL, 0, digest);
    digest_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
    const struct digest_piece pieces[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    md5_of(pieces, ARRAY_SIZE(pieces), digest);
    digest_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
    auto_free char *base64 = digest_base64(digest, sizeof(digest));
    assert_int_equal(strlen(base64) + 1, MD5_BASE64_SIZE);
}

static void hex_is_strict(void **state)
{
    (void)state;
    uint8_t bytes[2] = {7, 7};
    assert_true(digest_from_hex("", 0, bytes));
    assert_true(digest_from_hex("00ffzz", 4, bytes));
    assert_memory_equal(bytes, "\x00\xFF", 2);
    static const char *const bad[] = {"0",  "000",   "0g", "FF", " 0",
                                      "0x", "0\xC3", "-1", "/:", "`a"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_false(digest_from_hex(bad[i], strlen(bad[i]), bytes));
        assert_memory_equal(bytes, "\x00\xFF", 2);
    }
    assert_false(digest_from_hex("0\0", 2, bytes));
}

static void base64_round_trips(void **state)
{
    (void)state;
    uint8_t bytes[100];
    fill(bytes, sizeof(bytes));
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        auto_free char *text = digest_base64(bytes, size);
        size_t decoded_size = 999;
        auto_free char *decoded = digest_from_base64(text, &decoded_size);
        assert_int_equal(decoded_size, size);
        assert_memory_equal(decoded, bytes, size);
        assert_int_equal(decoded[size], 0);
    }
    auto_free char *known = digest_base64("user:p\xC3\xA4ss?>", 12);
    assert_string_equal(known, "dXNlcjpww6Rzcz8+");
    assert_null(digest_base64(bytes, SIZE_MAX));
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",    "AA",      "AAA",   "A===",  "====",        "=AAA",     "A=AA",     "AA=A",
        "AAA ", " AAA",    "AA\nA", "AAAA ", "AAAA\n",      "AAAA====", "AA==AAAA", "A-_A",
        "A*AA", "AAA\xC3", "AA=",   "AAAAA", "AAAA\177AAA", "AAA.",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        size_t size = 999;
        char *decoded = digest_from_base64(bad[i], &size);
        assert_null(decoded);
        assert_int_equal(size, 999);
    }
    auto_free char *without_size = digest_from_base64("YQ==", NULL);
    assert_string_equal(without_size, "a");
}

static void base64_out_of_memory(void **state)
{
    (void)state;
    memory_fail_at(1);
    assert_null(digest_base64("a", 1));
    memory_fail_at(1);
    assert_null(digest_from_base64("YQ==", NULL));
    memory_fail_at(0);
}

static void random_differs(void **state)
{
    (void)state;
    uint8_t a[1000] = {0};
    uint8_t b[1000] = {0};
    assert_true(digest_random(a, sizeof(a)));
    assert_true(digest_random(b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(digest_random(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(final_leaves_the_context_going),
        cmocka_unit_test(midstate_round_trips),
        cmocka_unit_test(midstate_past_4_gibit),
        cmocka_unit_test(midstate_of_no_hash_is_refused),
        cmocka_unit_test(hmac_known_answers),
        cmocka_unit_test(md5_of_pieces),
        cmocka_unit_test(race_is_run_once),
        cmocka_unit_test(hex_is_strict),
        cmocka_unit_test(base64_round_trips),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(base64_out_of_memory),
        cmocka_unit_test(random_differs),
    };
    return cmocka_run_group_tests_name("base/digest", tests, NULL, NULL);
}
