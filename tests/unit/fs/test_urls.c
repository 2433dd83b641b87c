// urls.tsv, to the byte.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/urls.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <errno.h>

#define HEADER "file\turl\texpires\tsize\tsha256\timage\tdigest\tplatform\tsignatures\n"

static void check(const struct snapshot *snapshot, const char *expected)
{
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    assert_int_equal(urls_render(snapshot, &text, &err), 0);
    assert_string_equal(buf_text(&text), expected);
}

static void test_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.records[1]->source_digest[7] = '0'; // the reference named an index: not this column's
    check(
        &fixture.snapshot,
        HEADER "notes & <plans>.pdf\t" FIXTURE_URL(
            "notes.pdf") "\t2026-11-21T14:14:33Z\t512\t-\t-\t-\t-\t-\n"
                         "runtime-api:latest.tar.gz\t" FIXTURE_URL(
                             "api%3Alatest.tar.gz") "\t2026-11-21T14:14:33Z\t1000000\t" FIXTURE_HEX
                                                    "\t" FIXTURE_REFERENCE "\t" FIXTURE_DIGEST
                                                    "\tlinux/amd64\t-\n"
                                                    "runtime:main.tar\t" FIXTURE_URL(
                                                        "runtime%3Amain.tar") "\t2026-11-21T14:14:"
                                                                              "33Z\t1000000"
                                                                              "\t" FIXTURE_HEX
                                                                              "\t" FIXTURE_REFERENCE
                                                                              "\t" FIXTURE_DIGEST
                                                                              "\tlinux/amd64\t-\n");
    fixture_done(&fixture);
}

static void test_names_are_escaped(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.file_count = 1;
    fixture.files[0].name = "a\tb\nc\\d";
    fixture.files[0].url = NULL;
    check(&fixture.snapshot, HEADER "a\\tb\\nc\\\\d\t-\t-\t512\t-\t-\t-\t-\t-\n");
    fixture_done(&fixture);
}

static void test_no_files(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.file_count = 0;
    check(&fixture.snapshot, HEADER);
    fixture_done(&fixture);
}

static void test_limit(void **state)
{
    (void)state;
    check_limit(urls_render, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_no_files),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
