// pinned.ref, to the byte, and as the parser of reference files reads it.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/publish/reference_file.h"
#include "fs/virtual/pinned.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <errno.h>

#define LINE(name)                                                                                 \
    "ghcr.io/all-hands-ai/runtime:174c691-nikolaik@" FIXTURE_DIGEST " " name                       \
    " platform=linux/amd64 tag=" FIXTURE_REFERENCE "\n"

static void check(const struct snapshot *snapshot, const char *expected)
{
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    assert_int_equal(pinned_render(snapshot, &text, &err), 0);
    assert_string_equal(buf_text(&text), expected);
    // A publish takes it whole.
    struct reference_defaults defaults = {0};
    struct reference_line *lines = NULL;
    size_t count = 0;
    assert_int_equal(
        reference_file_parse(buf_text(&text), text.size, 1, &defaults, &lines, &count, &err), 0);
    reference_lines_free(lines, count);
}

static void test_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    // The reference named an index: that is what is pinned, not the platform's manifest.
    memcpy(fixture.records[1]->manifest_digest, "sha256:0", 8);
    check(&fixture.snapshot,
          "# notes & <plans>.pdf: not known to be published from a registry; cp copies "
          "it\n" LINE("runtime-api:latest.tar.gz") LINE("runtime:main.tar"));

    // All platforms stay all, also where the index has one: its digest is what was published.
    fixture.records[1]->is_all_platforms = true;
    check(&fixture.snapshot,
          "# notes & <plans>.pdf: not known to be published from a registry; cp copies "
          "it\n" LINE(
              "runtime-api:latest.tar.gz") "ghcr.io/all-hands-ai/runtime:174c691-nikolaik"
                                           "@" FIXTURE_DIGEST
                                           " runtime:main.tar platform=all tag=" FIXTURE_REFERENCE
                                           "\n");
    fixture.records[1]->is_all_platforms = false;

    // Of a branch, by the files' own names; a reference that was pinned stays so.
    fixture.files[1].name = "abc1234/api.tar.gz";
    free(fixture.records[0]->reference);
    fixture.records[0]->reference = strdup("ghcr.io/o/api@" FIXTURE_DIGEST);
    fixture.files[0].name = "guide\n# x.pdf";
    check(&fixture.snapshot,
          "# guide[U+000A]# x.pdf: not known to be published from a registry; cp copies it\n"
          "ghcr.io/o/api@" FIXTURE_DIGEST " api.tar.gz platform=linux/amd64 tag=" FIXTURE_REFERENCE
          "\n" LINE("runtime:main.tar"));
    fixture_done(&fixture);
}

// cp gave them names that a line would take for something else.
static void test_names_that_fit_no_line(void **state)
{
    (void)state;
    static const char *const names[] = {"a b.tar",      "tag=x.tar", "#x.tar", "x\n.tar",
                                        "platform=all", "notes.txt", "x\t.tar"};
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.files = &fixture.files[2];
    fixture.snapshot.file_count = 1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        auto_buf struct buf text = BUF_INIT(1 << 20);
        struct err err = {0};
        fixture.files[2].name = names[i];
        assert_int_equal(pinned_render(&fixture.snapshot, &text, &err), 0);
        assert_memory_equal(buf_text(&text), "# ", 2);
        assert_non_null(strstr(buf_text(&text), "fits no line"));
        assert_ptr_equal(strchr(buf_text(&text), '\n'), buf_text(&text) + text.size - 1);
    }
    fixture_done(&fixture);
}

static void test_limit(void **state)
{
    (void)state;
    check_limit(pinned_render, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_names_that_fit_no_line),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
