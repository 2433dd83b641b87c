// Which revisions fit which directories.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/revision.h"

#include <string.h>

#define FULL "abc1234def5678901234567890abcdef12345678"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *directory, *label, *attested, *misfit;
    } cases[] = {
        {"a/b/abc1234", NULL, NULL, NULL},
        {"a/b/abc1234", "abc1234", NULL, NULL},
        {"a/b/abc1234", FULL, NULL, NULL},
        {"a/b/abc1234", "ABC1234DEF", NULL, NULL},
        {"a/b/abc1234", "abc1234-dirty", NULL, NULL},
        {"a/b/" FULL, "abc1234", NULL, NULL},
        {"a/b/" FULL, "abc123", NULL, "abc123"}, // could be anybody's
        {"a/b/" FULL, "abc1235", NULL, "abc1235"},
        {"a/b/abc1234", "abc1235" FULL, NULL, "abc1235" FULL},
        {"a/b/abc1234", "v1.2.3", NULL, "v1.2.3"},
        {"abc1234", "v1.2.3", NULL, "v1.2.3"},
        {"a/b/abc1234", NULL, "fff1234", "fff1234"},
        {"a/b/abc1234", FULL, "fff1234", "fff1234"},
        {"a/b/abc1234", "fff", "eee", "fff"},
        // Not named after a commit
        {"a/b/main", "fff1234", NULL, NULL},
        {"a/b/ABC1234", "fff1234", NULL, NULL},
        {"a/b/abc123", "fff1234", NULL, NULL},
        {"", "fff1234", NULL, NULL},
        {"releases/v1.2.3", "fff1234", NULL, NULL},
        {"releases/abc1234", "fff1234", NULL, NULL},
        {"releases-2/abc1234", "fff1234", NULL, "fff1234"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct registry_provenance provenance = {
            .facts = {[REGISTRY_FACT_REVISION] = (char *)cases[i].label,
                      [REGISTRY_FACT_BUILT_REVISION] = (char *)cases[i].attested}};
        const char *misfit = revision_misfit_in(&provenance, cases[i].directory);
        const char *is = misfit ? misfit : "-", *wanted = cases[i].misfit ? cases[i].misfit : "-";
        if (strcmp(is, wanted) != 0)
            fail_msg("%s, %s: %s", cases[i].directory, wanted, is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
