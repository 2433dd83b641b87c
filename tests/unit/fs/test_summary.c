// summary.md, to the byte.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/summary.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <errno.h>

#define CODE(text) "<code>" text "</code>"
#define PLATFORM CODE("linux&#47;amd64")
#define REFERENCE CODE("ghcr&#46;io&#47;all&#45;hands&#45;ai&#47;runtime&#58;174c691&#45;nikolaik")
#define DIGEST CODE("sha256&#58;" FIXTURE_HEX)
#define IMAGE PLATFORM " | " REFERENCE " | " DIGEST " | " CODE(FIXTURE_HEX) " |\n"

static void test_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    fixture_init(&fixture);
    assert_int_equal(summary_render(&fixture.snapshot, &text, &err), 0);
    assert_string_equal(
        buf_text(&text),
        "### Prerelease jps&#47;fix&#45;login&#44; abc1234\n\n"
        "3 files, 2.00 MB, in " CODE("bucket") ", " CODE(
            "jps&#47;fix&#45;login&#47;abc1234") "\n\n"
                                                 "| File | Size | Platform | Image "
                                                 "| Digest | SHA-256 |\n"
                                                 "| --- | ---: | --- | --- | --- | "
                                                 "--- |\n"
                                                 "| " CODE(
                                                     "notes &#38; "
                                                     "&#60;plans&#62;&#46;"
                                                     "pdf") " | 512 bytes | "
                                                            "- | - | - | not "
                                                            "known |\n"
                                                            "| " CODE(
                                                                "runtim"
                                                                "e&#45;"
                                                                "api&#"
                                                                "58;"
                                                                "latest"
                                                                "&#46;"
                                                                "tar&#"
                                                                "46;gz") " | 1.00 MB | " IMAGE
                                                                         "| " CODE("runtime&#58;"
                                                                                   "main&#46;"
                                                                                   "tar") " | "
                                                                                          "1.00 "
                                                                                          "MB "
                                                                                          "|"
                                                                                          " " IMAGE
                                                                                          "\n");
    fixture_done(&fixture);
}

// A table of its own of what images say, and a line for each revision that does not fit.
static void test_provenance(void **state)
{
    (void)state;
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    fixture_init(&fixture);
    struct registry_provenance *provenance = &fixture.records[1]->provenance;
    provenance->facts[REGISTRY_FACT_SOURCE] = strdup("https://a/b");
    provenance->facts[REGISTRY_FACT_REVISION] = strdup("fff1234");
    provenance->facts[REGISTRY_FACT_BUILDER] = strdup("`|<x>@me\xE2\x80\xAE");
    assert_int_equal(summary_render(&fixture.snapshot, &text, &err), 0);
    assert_non_null(strstr(
        buf_text(&text),
        "\n\n| As it says itself | Source | Revision | Version | Created | Built by |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| <code>runtime&#58;main&#46;tar</code> | <code>https&#58;&#47;&#47;a&#47;b</code> | "
        "<code>fff1234</code> | - | - | "
        "<code>&#96;&#124;&#60;x&#62;&#64;me[U+202E]</code> |\n\n"
        "**Warning:** <code>runtime&#58;main&#46;tar</code> states revision <code>fff1234</code>, "
        "which is another than its build's.\n\n"));
    fixture_done(&fixture);
}

// Whatever a name holds: as many lines and cells as before, and no link.
static void test_hostile_names(void **state)
{
    (void)state;
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    fixture_init(&fixture);
    fixture.snapshot.title = "a\n\n# b\r";
    fixture.snapshot.directory = "`|[x](http://evil)|`\n<script>";
    fixture.files[0].name = "`|`x|\n| y | ![z](http://evil) </code> @me \xE2\x80\xAE";
    assert_int_equal(summary_render(&fixture.snapshot, &text, &err), 0);
    size_t lines = 0, cells = 0;
    for (const char *at = buf_text(&text); *at; at++) {
        lines += *at == '\n';
        cells += *at == '|';
        assert_true(*at != '`' && *at != '@' && *at != '\r');
    }
    assert_int_equal(lines, 10);
    assert_int_equal(cells, 5 * 7);
    assert_null(strstr(buf_text(&text), "](http"));
    assert_null(strstr(buf_text(&text), "<script"));
    assert_null(strstr(buf_text(&text), "X-Amz"));
    fixture_done(&fixture);
}

static void test_limit(void **state)
{
    (void)state;
    check_limit(summary_render, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
