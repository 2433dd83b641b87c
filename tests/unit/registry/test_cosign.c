#include "../base/test.h"
#include "corpus.h"

#include "registry/cosign.h"
#include "registry/referrer_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define OTHER "sha256:0000456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool is(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

static void check_accept(const char *name, char *text, size_t size)
{
    struct cosign_signatures signatures = {0};
    struct cosign_bundle bundle = {0};
    struct err err = {0};
    if (is(name, "payload")) {
        assert_true(cosign_payload_is_about(text, size, DIGEST));
        assert_false(cosign_payload_is_about(text, size, OTHER));
        assert_false(cosign_statement_is_about(text, size, DIGEST));
    } else if (is(name, "statement")) {
        assert_true(cosign_statement_is_about(text, size, DIGEST));
        assert_false(cosign_statement_is_about(text, size, OTHER));
        assert_false(cosign_payload_is_about(text, size, DIGEST));
    } else if (is(name, "bundle")) {
        if (cosign_bundle_parse(text, size, &bundle, &err) < 0)
            fail_msg("%s: %s", name, err.text);
        assert_int_equal(bundle.signature_count, 1);
        assert_int_equal(bundle.signed_bytes == NULL, is(name, "bundle-of-a-message"));
        assert_true(bundle.signed_bytes == NULL ||
                    cosign_statement_is_about(bundle.statement, bundle.statement_size, DIGEST));
    } else {
        if (cosign_signatures_parse(text, size, &signatures, &err) < 0)
            fail_msg("%s: %s", name, err.text);
        assert_int_equal(signatures.count, is(name, "two") ? 2 : 1);
        assert_true(signatures.list[0].size > 60);
    }
    cosign_signatures_done(&signatures);
    cosign_bundle_done(&bundle);
}

static void check_reject(const char *name, char *text, size_t size)
{
    struct cosign_signatures signatures = {0};
    struct cosign_bundle bundle = {0};
    struct err err = {0};
    bool is_manifest = !is(name, "bundle");
    int status = is_manifest ? cosign_signatures_parse(text, size, &signatures, &err)
                             : cosign_bundle_parse(text, size, &bundle, &err);
    if (status == 0)
        fail_msg("%s is taken", name);
    assert_false(cosign_payload_is_about(text, size, DIGEST));
    assert_false(cosign_statement_is_about(text, size, DIGEST));
}

static void documents(void **state)
{
    (void)state;
    corpus_replay("cosign/accept", check_accept);
    corpus_replay("cosign/reject", check_reject);
}

static void check_page(const char *name, char *text, size_t size)
{
    (void)size;
    char *path = NULL;
    struct err err = {0};
    if (referrer_next_page(text, "a/b", &path, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    if ((path == NULL) != is(name, "no-") || (path && strncmp(path, "referrers/", 10) != 0))
        fail_msg("%s: %s", name, path ? path : "none");
    free(path);
}

static void check_no_page(const char *name, char *text, size_t size)
{
    (void)size;
    char *path = NULL;
    struct err err = {0};
    if (referrer_next_page(text, "a/b", &path, &err) != -EPROTO)
        fail_msg("%s leads to %s", name, path ? path : "none");
}

static void pages(void **state)
{
    (void)state;
    corpus_replay("referrer_page/accept", check_page);
    corpus_replay("referrer_page/reject", check_no_page);
}

static void names_and_kinds(void **state)
{
    (void)state;
    char tag[REGISTRY_REFERRER_TAG_SIZE];
    referrer_name_tag(&referrer_names[0], DIGEST, tag);
    assert_string_equal(tag, "sha256-" HEX ".sig");
    referrer_name_tag(NULL, DIGEST, tag);
    assert_string_equal(tag, "sha256-" HEX);
    static const struct {
        const char *artifact, *config, *predicate;
        enum registry_referrer_kind kind;
    } rows[] = {
        {"application/vnd.dev.sigstore.bundle.v0.3+json", NULL,
         "https://sigstore.dev/cosign/sign/v1", REGISTRY_SIGNATURE},
        {"application/vnd.dev.sigstore.bundle.v0.3+json", NULL, "https://slsa.dev/provenance/v1",
         REGISTRY_ATTESTATION},
        {"application/vnd.dev.sigstore.bundle.v0.3+json", NULL, NULL, REGISTRY_ATTESTATION},
        {"application/vnd.cncf.notary.signature", NULL, NULL, REGISTRY_SIGNATURE},
        {NULL, "application/vnd.cncf.notary.signature", NULL, REGISTRY_SIGNATURE},
        {"application/vnd.in-toto+json", NULL, NULL, REGISTRY_ATTESTATION},
        {"application/spdx+json", "application/vnd.oci.empty.v1+json", NULL, REGISTRY_SBOM},
        {"application/vnd.cyclonedx+json", NULL, NULL, REGISTRY_SBOM},
        {"text/plain", NULL, NULL, REGISTRY_OTHER_REFERRER},
        {NULL, NULL, NULL, REGISTRY_OTHER_REFERRER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(referrer_kind(rows[i].artifact, rows[i].config, rows[i].predicate),
                         rows[i].kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(pages),
        cmocka_unit_test(names_and_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
