// index.html: what stands below a directory, added up from a flat listing of a bucket that the
// test plays, and the page that is made of it.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/below.h"
#include "fs/virtual/index.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/listed_bucket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what is below -----------------------------------------------------------------------------

static struct tree_entry entries[] = {
    {.name = "a b", .is_directory = true},      {.name = "empty", .is_directory = true},
    {.name = "jps", .is_directory = true},      {.name = "notes.pdf", .etag = "\"e\""},
    {.name = "releases", .is_directory = true},
};
static const struct tree_listing root = {
    .directory = "", .entries = entries, .count = ARRAY_SIZE(entries), .file_count = 1};

static int collect(const char *prefix, struct below *ret_below, struct err *err)
{
    struct call call;
    call_init(&call, clock_system());
    return below_collect(NULL, &call, prefix, &root, ret_below, err);
}

static void fill(void)
{
    clear();
    add("a b/x.tar", 10, 9);
    add("jps/fix-1/abc/images.ref", 1000, 0); // no file for a customer
    add("jps/fix-1/abc/x.tar", 100, 3);
    add("jps/fix-1/abc/y.tar", 200, 1);
    add("jps/fix-1/top.txt", 7, 2);
    add("jps/fix-1/zzz/z.tar", 1, 4);
    add("jps//odd", 1, 0); // keys that no path can name
    add("jps/../up", 1, 0);
    add("notes.pdf", 5, 0);
    add("releases/v2/x.tar", 3000, 0);
}

static void test_files_are_added_up_by_directory(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint64_t size_bytes;
        size_t file_count;
        int days_old;
    } expected[] = {
        {"releases/v2", 3000, 1, 0}, {"jps/fix-1/abc", 300, 2, 1},
        {"jps/fix-1", 7, 1, 2},      {"jps/fix-1/zzz", 1, 1, 4},
        {"a b", 10, 1, 9},
    };
    struct below below = {0};
    struct err err = {0};
    fill();
    assert_int_equal(collect("", &below, &err), 0);
    assert_int_equal(bucket.requests, 1);
    assert_int_equal(below.build_count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_string_equal(below.builds[i].path, expected[i].path);
        assert_int_equal(below.builds[i].size_bytes, expected[i].size_bytes);
        assert_int_equal(below.builds[i].file_count, expected[i].file_count);
        assert_int_equal(below.builds[i].modified_ms, NEWEST_MS - expected[i].days_old * DAY_MS);
    }
    assert_int_equal(below.child_count, 4);
    assert_string_equal(below.children[0].name, "releases");
    assert_string_equal(below.children[1].name, "jps");
    assert_int_equal(below.children[1].size_bytes, 308);
    assert_int_equal(below.children[1].build_count, 3);
    assert_true(below.children[0].has_index && below.children[1].has_index);
    assert_string_equal(below.children[2].name, "a b");
    assert_false(below.children[2].has_index);
    assert_string_equal(below.children[3].name, "empty");
    assert_false(below.is_cut);
    below_done(&below);
}

static void test_own_objects_are_stepped_over(void **state)
{
    (void)state;
    struct below below = {0};
    struct err err = {0};
    clear();
    add("p/+first/x.tar", 1, 0);
    for (int i = 0; i < PREFIX_KEYS; i++) {
        char key[64];
        snprintf(key, sizeof(key), "p/.prereleasefs/records/a/%06d", i);
        add(key, 1, 0);
    }
    add("p/jps/abc/x.tar", 1, 0);
    assert_int_equal(collect("p/", &below, &err), 0);
    assert_int_equal(bucket.requests, 2);
    assert_true(bucket.has_skipped);
    assert_int_equal(below.build_count, 2);
    assert_string_equal(below.builds[0].path, "+first");
    assert_string_equal(below.builds[1].path, "jps/abc");
    below_done(&below);
}

static void test_what_is_too_much_is_cut(void **state)
{
    (void)state;
    struct below below = {0};
    struct err err = {0};
    clear();
    for (int i = 0; i < BELOW_KEYS_MAX + 1; i++) {
        char key[64];
        snprintf(key, sizeof(key), "jps/%06d/x.tar", i);
        add(key, 1, 0);
    }
    add("releases/v1/x.tar", 1, 0);
    assert_int_equal(collect("", &below, &err), 0);
    assert_int_equal(bucket.requests, BELOW_KEYS_MAX / S3_LIST_PAGE_KEYS);
    assert_int_equal(below.build_count, BELOW_KEYS_MAX);
    assert_true(below.is_cut);
    for (size_t i = 0; i < below.child_count; i++)
        assert_int_equal(below.children[i].is_unknown,
                         strcmp(below.children[i].name, "releases") == 0);
    below_done(&below);
}

static void test_failures(void **state)
{
    (void)state;
    struct below below = {0};
    struct err err = {0};
    fill();
    bucket.error = EACCES;
    assert_int_equal(collect("", &below, &err), -EACCES);
    bucket.error = 0;
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        memory_fail_at(nth);
        int error = collect("", &below, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(error == 0 || error == -ENOMEM);
        below_done(&below);
    }
}

// ---- the page ----------------------------------------------------------------------------------

static char *render(struct snapshot *snapshot)
{
    struct buf page = BUF_INIT(1 << 20);
    struct err err = {0};
    snapshot->now_ms = NEWEST_MS;
    snapshot->bucket = "bucket";
    snapshot->version = "0.1.0";
    assert_int_equal(index_render(snapshot, &page, &err), 0);
    return buf_take(&page);
}

static void test_the_page(void **state)
{
    (void)state;
    const struct snapshot_build builds[] = {
        {"jps/fix: 1/<abc>&\"'", 1500000, 2, NEWEST_MS},
        {"javascript:alert(1)", 0, 1, NEWEST_MS - DAY_MS},
        {"releases/v1", 1, 1, NEWEST_MS - 2 * DAY_MS},
    };
    const struct snapshot_child children[] = {
        {.name = "jps",
         .has_index = true,
         .size_bytes = 999,
         .build_count = 1200,
         .modified_ms = NEWEST_MS},
        {.name = "only-files"},
        {.name = "zz", .is_unknown = true},
    };
    struct snapshot snapshot = {
        .directory = "",
        .builds = builds,
        .build_count = 3,
        .children = children,
        .child_count = 3,
        .is_cut = true,
        .has_reports = true,
    };
    char *page = render(&snapshot);
    assert_non_null(strstr(page, "Content-Security-Policy"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_non_null(strstr(page, "<a href=\"jps/fix%3A%201/%3Cabc%3E%26%22%27/report.html\">"
                                 "jps/fix: 1/&lt;abc&gt;&amp;&quot;&#39;</a>"));
    assert_non_null(strstr(page, "<a href=\"javascript%3Aalert%281%29/report.html\">"));
    assert_non_null(strstr(page, "<a href=\"jps/index.html\">jps</a>"));
    assert_non_null(
        strstr(page, "<td class=\"number wide\">1,200</td><td class=\"number\">999 bytes</td>"));
    assert_non_null(strstr(page, "<a href=\"zz/\">zz</a>"));
    assert_null(strstr(page, "only-files"));
    const char *releases = strstr(page, "<h2 id=\"releases\">");
    assert_non_null(releases);
    assert_true(releases < strstr(page, "<h2 id=\"builds\">"));
    assert_true(releases < strstr(page, "href=\"releases/v1/report.html\""));
    assert_non_null(strstr(page, "1.50 MB"));
    assert_non_null(strstr(page, "There is more below"));
    assert_null(strstr(page, "../index.html"));
    assert_true(strstr(page, "fix: 1") < strstr(page, ">javascript:"));
    free(page);

    // Where no links can be made there is no report.
    snapshot.has_reports = false;
    snapshot.is_cut = false;
    snapshot.directory = "a<b";
    page = render(&snapshot);
    assert_null(strstr(page, "report.html"));
    assert_non_null(strstr(page, "<a href=\"javascript%3Aalert%281%29/\">"));
    assert_non_null(strstr(page, "<title>a&lt;b</title>"));
    assert_non_null(strstr(page, "<a href=\"../index.html\">Up</a>"));
    assert_null(strstr(page, "There is more below"));
    free(page);
}

static void test_a_page_of_nothing_and_of_too_many(void **state)
{
    (void)state;
    struct snapshot snapshot = {.directory = ""};
    char *page = render(&snapshot);
    assert_non_null(strstr(page, "There are no builds here yet."));
    free(page);

    static struct snapshot_build builds[INDEX_BUILDS_MAX + 5];
    for (size_t i = 0; i < ARRAY_SIZE(builds); i++)
        builds[i] = (struct snapshot_build){i < INDEX_BUILDS_MAX ? "shown" : "left", 1, 1, 1};
    snapshot.builds = builds;
    snapshot.build_count = ARRAY_SIZE(builds);
    page = render(&snapshot);
    assert_non_null(strstr(page, "And 5 older builds"));
    assert_null(strstr(page, "left/"));
    free(page);

    struct buf small = BUF_INIT(1000);
    struct err err = {0};
    assert_int_equal(index_render(&snapshot, &small, &err), -EFBIG);
    buf_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_added_up_by_directory),
        cmocka_unit_test(test_own_objects_are_stepped_over),
        cmocka_unit_test(test_what_is_too_much_is_cut),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_the_page),
        cmocka_unit_test(test_a_page_of_nothing_and_of_too_many),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clear();
    return failed;
}
