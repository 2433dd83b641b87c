// What images say of their own making: labels, and statements by the corpus, whose accepted files
// begin with "BUILDER|BUILT_FROM|BUILT_REVISION".
#include "../base/test.h"
#include "corpus.h"

#include "base/json.h"
#include "registry/provenance.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char subject[] =
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void check_accept(const char *name, char *text, size_t size)
{
    static const enum registry_fact facts[] = {REGISTRY_FACT_BUILDER, REGISTRY_FACT_BUILT_FROM,
                                               REGISTRY_FACT_BUILT_REVISION};
    char *expected = corpus_line(&text), *rest = expected;
    AUTO(registry_provenance_done) struct registry_provenance provenance = {0};
    struct err err = {0};
    size -= (size_t)(text - expected);
    if (registry_statement_parse(text, size, subject, &provenance, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        const char *wanted = strsep(&rest, "|");
        const char *is = provenance.facts[facts[i]] ? provenance.facts[facts[i]] : "-";
        if (strcmp(is, wanted) != 0)
            fail_msg("%s: %s, not %s", name, is, wanted);
        assert_true(strcmp(is, "-") == 0 || registry_fact_is_wellformed(is));
    }
}

static void check_reject(const char *name, char *text, size_t size)
{
    AUTO(registry_provenance_done) struct registry_provenance provenance = {0};
    struct err err = {0};
    if (registry_statement_parse(text, size, subject, &provenance, &err) != -EPROTO)
        fail_msg("%s is taken, or fails as it should not: %s", name, err.text);
    assert_int_equal(err.errnum, EPROTO);
}

static void reads_statements(void **state)
{
    (void)state;
    corpus_replay("statement/accept", check_accept);
    corpus_replay("statement/reject", check_reject);
}

static void cut_everywhere(const char *name, char *text, size_t size)
{
    (void)name;
    char *begin = strchr(text, '{');
    for (size_t cut = 0; begin && cut < size - (size_t)(begin - text) && cut < 2000; cut++) {
        AUTO(registry_provenance_done) struct registry_provenance provenance = {0};
        struct err err;
        (void)registry_statement_parse(begin, cut, subject, &provenance, &err);
    }
}

static void is_total(void **state)
{
    (void)state;
    corpus_replay("statement/accept", cut_everywhere);
}

static void who_says_it_first_is_believed(void **state)
{
    (void)state;
    AUTO(registry_provenance_done) struct registry_provenance provenance = {0}, other = {0};
    auto_json json_t *labels =
        json_pack("{s:s, s:s, s:s, s:i}", "org.opencontainers.image.source", "https://a",
                  "org.opencontainers.image.revision", "", "org.opencontainers.image.version",
                  "1\t2", "org.opencontainers.image.created", 5);
    auto_json json_t *annotations = json_pack("{s:s, s:s, s:s}", "org.opencontainers.image.source",
                                              "https://b", "org.opencontainers.image.revision",
                                              "abc", "org.opencontainers.image.title", "x");
    assert_int_equal(registry_provenance_take_labels(&provenance, NULL), 0);
    assert_int_equal(registry_provenance_take_labels(&provenance, labels), 0);
    assert_string_equal(provenance.facts[REGISTRY_FACT_SOURCE], "https://a");
    for (enum registry_fact fact = REGISTRY_FACT_REVISION; fact < REGISTRY_FACT_COUNT; fact++)
        assert_null(provenance.facts[fact]);
    assert_int_equal(registry_provenance_take_labels(&other, annotations), 0);
    assert_int_equal(registry_provenance_take(&provenance, &other), 0);
    assert_string_equal(provenance.facts[REGISTRY_FACT_SOURCE], "https://a");
    assert_string_equal(provenance.facts[REGISTRY_FACT_REVISION], "abc");
}

int main(void)
{
    json_document_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_statements),
        cmocka_unit_test(is_total),
        cmocka_unit_test(who_says_it_first_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
