#include "../base/test.h"
#include "corpus.h"

#include "registry.h"
#include "registry/reference.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void expect(const char *name, const char *field, const char *is, const char *should)
{
    if (is == NULL || should == NULL ? is != should : strcmp(is, should) != 0)
        fail_msg("%s: %s is '%s', not '%s'", name, field, is == NULL ? "-" : is,
                 should == NULL ? "-" : should);
}

static void check_accept(const char *name, char *text, size_t size)
{
    (void)size;
    static const char *const fields[] = {"host",   "repository",  "tag",
                                         "digest", "default-tag", "default-name"};
    const char *expected[ARRAY_SIZE(fields)] = {0};
    const char *line = corpus_line(&text);
    struct registry_reference reference = {0}, copy = {0};
    struct err err = {0};
    if (registry_reference_parse(line, &reference, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    for (char *more = corpus_line(&text); more != NULL; more = corpus_line(&text)) {
        char *field = strsep(&more, " ");
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
            if (strcmp(field, fields[i]) == 0)
                expected[i] = more;
    }
    auto_free char *tag = registry_reference_default_tag(&reference);
    auto_free char *file = registry_reference_default_name(&reference);
    expect(name, "text", reference.text, line);
    expect(name, "host", reference.host, expected[0]);
    expect(name, "repository", reference.repository, expected[1]);
    expect(name, "tag", reference.tag, expected[2]);
    expect(name, "digest", reference.digest, expected[3]);
    expect(name, "default tag", tag, expected[4]);
    expect(name, "default name", file, expected[5]);
    assert_int_equal(registry_reference_copy(&reference, &copy), 0);
    expect(name, "copied text", copy.text, line);
    expect(name, "copied tag", copy.tag, expected[2]);
    expect(name, "copied digest", copy.digest, expected[3]);
    registry_reference_done(&reference);
    registry_reference_done(&reference);
    registry_reference_done(&copy);
}

static void check_reject(const char *name, char *text, size_t size)
{
    char untouched[] = "untouched";
    struct registry_reference reference = {.host = untouched};
    struct err err = {0};
    if (size > 0 && text[size - 1] == '\n')
        text[size - 1] = '\0';
    if (registry_reference_parse(text, &reference, &err) != -EINVAL)
        fail_msg("%s: '%s' is accepted", name, text);
    assert_ptr_equal(reference.host, untouched);
    assert_int_equal(err.errnum, EINVAL);
    assert_non_null(strstr(err.text, "such as ghcr.io/"));
}

static void parses(void **state)
{
    (void)state;
    corpus_replay("reference/accept", check_accept);
    corpus_replay("reference/reject", check_reject);
    registry_reference_done(NULL);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"alpine:3.20", "host is missing"},
        {"library/alpine:3.20", "does not begin with a registry's host"},
        {"ghcr.io/owner/image", "neither tag nor digest"},
        {"ghcr.io/Owner/image:1", "upper-case"},
        {"docker.io/alpine:3", "docker.io/library/NAME:TAG"},
        {"ghcr.io/a/b@sha256:12", "64 lower-case hex digits"},
        {"https://ghcr.io/a/b:1", "no 'https://'"},
        {"user:hunter2@ghcr.io/a/b:1", "no user or password"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct registry_reference reference;
        struct err err = {0};
        assert_int_equal(registry_reference_parse(cases[i].text, &reference, &err), -EINVAL);
        if (strstr(err.text, cases[i].reason) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void never_repeats_a_pasted_password(void **state)
{
    (void)state;
    struct registry_reference reference;
    struct err err = {0};
    registry_reference_parse("https://user:hunter2@ghcr.io/a/b:1", &reference, &err);
    assert_null(strstr(err.text, "hunter2"));
}

static void checks_tags(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_right;
    } cases[] = {
        {"runtime:latest", true},
        {"all-hands-ai/runtime:1.2", true},
        {"ghcr.io/all-hands-ai/runtime:1.2", true},
        {"localhost:5000/runtime:1.2", true},
        {"[::1]:5000/runtime:1.2", true},
        {"runtime:sha256-0123456789ab", true},
        {"runtime", false},
        {"runtime:", false},
        {":latest", false},
        {"", false},
        {"localhost:5000/runtime", false},
        {"Runtime:latest", false},
        {"ghcr.io/Runtime:latest", false},
        {"-.io/runtime:latest", false},
        {"a//b:latest", false},
        {"runtime:a b", false},
        {"runtime:a/b:c", false},
        {"runtime:.a", false},
        {"runtime@sha256:" HEX64, false},
        {"runtime:1@sha256:" HEX64, false},
        {HEX64 ":latest", true}, // only without a tag does docker take it for an ID
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        int status = registry_tag_check(cases[i].text, &err);
        if (status != (cases[i].is_right ? 0 : -EINVAL))
            fail_msg("'%s': %d %s", cases[i].text, status, err.text);
    }
}

static void knows_digests(void **state)
{
    (void)state;
    assert_true(registry_digest_is_sha256("sha256:" HEX64));
    assert_false(registry_digest_is_sha256("sha256:" HEX64 "0"));
    assert_false(registry_digest_is_sha256("sha512:" HEX64));
    assert_false(registry_digest_is_sha256(""));
    assert_true(registry_digest_is_wellformed("sha256:" HEX64));
    assert_true(registry_digest_is_wellformed(
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"));
    assert_true(registry_digest_is_wellformed("sha512:abc"));
    assert_false(registry_digest_is_wellformed("sha256"));
    assert_false(registry_digest_is_wellformed(":abc"));
    assert_false(registry_digest_is_wellformed("sha256:"));
    assert_false(registry_digest_is_wellformed("sha256+:abc"));
    assert_false(registry_digest_is_wellformed("sha256:../etc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(never_repeats_a_pasted_password),
        cmocka_unit_test(checks_tags),
        cmocka_unit_test(knows_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
