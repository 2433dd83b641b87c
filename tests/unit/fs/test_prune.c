// prereleasefs-prune: which builds go and why others stay, and what a walk over directories finds.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/prune/plan.h"
#include "fs/prune/removal.h"
#include "fs/prune/survey.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

// ---- the plan ----------------------------------------------------------------------------------

static struct survey_image app[] = {{"app", 1}}, app_and_old[] = {{"app", 1}, {"old", 1}};

// Days since 1970; "a/b" and "a" are two branches, and the second's builds are of one age.
static struct survey_build builds[] = {
    {"a/b/0000001", 3, 1 * DAY_MS, 1, 10, app_and_old, 2},
    {"a/b/0000003", 3, 3 * DAY_MS, 1, 10, app, 1},
    {"a/b/0000002", 3, 2 * DAY_MS, 1, 10, app, 1},
    {"a/0000002", 1, 5 * DAY_MS, 1, 10, NULL, 0},
    {"a/0000001", 1, 5 * DAY_MS, 1, 10, NULL, 0},
};

static void check(const struct survey *survey, struct plan_rules rules, const char *expected)
{
    static const char *const words[] = {"-", "newest", "link", "image", "young"};
    auto_free struct plan_row *rows = NULL;
    char text[512] = "";
    assert_int_equal(plan_make(survey, &rules, &rows), 0);
    for (size_t i = 0; i < survey->build_count; i++) {
        size_t size = strlen(text);
        snprintf(text + size, sizeof(text) - size, "%s%s %s%s%s", i > 0 ? ", " : "",
                 rows[i].build->path, words[rows[i].verdict], rows[i].because ? " " : "",
                 rows[i].because ? rows[i].because : "");
    }
    assert_string_equal(text, expected);
}

static void test_newest(void **state)
{
    (void)state;
    const struct survey survey = {.builds = builds, .build_count = ARRAY_SIZE(builds)};
    check(
        &survey, (struct plan_rules){.keep = 1},
        "a/0000001 newest, a/0000002 -, a/b/0000003 newest, a/b/0000002 -, a/b/0000001 image old");
    check(&survey, (struct plan_rules){.keep = 2},
          "a/0000001 newest, a/0000002 newest, a/b/0000003 newest, a/b/0000002 newest, "
          "a/b/0000001 image old");
    check(&survey, (struct plan_rules){.keep = 3, .older_than_ms = 1, .now_ms = INT64_MAX},
          "a/0000001 newest, a/0000002 newest, a/b/0000003 newest, a/b/0000002 newest, "
          "a/b/0000001 newest");
    const struct survey none = {0};
    check(&none, (struct plan_rules){.keep = 1}, "");
}

static void test_older_than(void **state)
{
    (void)state;
    const struct survey survey = {.builds = builds, .build_count = 3};
    struct plan_rules rules = {.keep = 1, .older_than_ms = 10 * DAY_MS, .now_ms = 12 * DAY_MS};
    check(&survey, rules, "a/b/0000003 newest, a/b/0000002 -, a/b/0000001 image old");
    rules.now_ms -= 1;
    check(&survey, rules, "a/b/0000003 newest, a/b/0000002 young, a/b/0000001 image old");
    rules = (struct plan_rules){.older_than_ms = 10 * DAY_MS, .now_ms = 12 * DAY_MS};
    check(&survey, rules, "a/b/0000003 young, a/b/0000002 -, a/b/0000001 -");
}

static void test_links(void **state)
{
    (void)state;
    static const struct {
        struct survey_link link;
        const char *kept; // of those three
    } rows[] = {
        {{"channels/x", "a/b/0000001"}, "1"},
        {{"channels/x", "a/b/0000001/app.tar"}, "1"},
        {{"channels/x", "a/b/000000"}, ""},
        {{"channels/x", "a/b/00000011"}, ""},
        {{"channels/x", NULL}, ""},
        {{"channels/x", "releases/v1"}, ""},
        {{"channels/x", "a/b"}, "123"},
        {{"channels/x", "a"}, "123"},
        {{"channels/x", ""}, "123"},
        {{"a/b/0000001/x.tar", "a/b/0000001/app.tar"}, ""}, // its own
        {{"a/b/0000001/x", "a/b"}, "23"},
        {{"a/b/0000002/x", "a/b/0000001"}, "1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct survey_link link = rows[i].link;
        const struct survey survey = {
            .builds = builds, .build_count = 3, .links = &link, .link_count = 1};
        for (size_t j = 0; j < 3; j++) {
            bool is_kept = strchr(rows[i].kept, builds[j].path[strlen("a/b/000000")]);
            if ((plan_link_to(&survey, &builds[j]) == &link) != is_kept)
                fail_msg("%s -> %s: %s", link.path, link.target, builds[j].path);
        }
    }
    struct survey_link link = {"channels/x", "a/b/0000002"};
    const struct survey survey = {
        .builds = builds, .build_count = 3, .links = &link, .link_count = 1};
    check(&survey, (struct plan_rules){.keep = 1},
          "a/b/0000003 newest, a/b/0000002 link channels/x, a/b/0000001 image old");
}

// ---- directories -------------------------------------------------------------------------------

// Any directories: what makes those of a mount special is not looked at here.
static struct survey_mount make_tree(char *root)
{
    assert_non_null(mkdtemp(root));
    assert_int_equal(chdir(root), 0);
    static const char *const directories[] = {
        "a",           "a/b",       "a/b/0000001",       "a/b/0000002", "a/b/0000003",
        "a/b/0000008", "a/b/notes", "releases",          "releases/v1", "releases/v1/0000004",
        "0000005",     "a/0000006", "a/0000006/0000007", "channels",
    };
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        assert_int_equal(mkdir(directories[i], 0700), 0);
    static const char *const files[] = {
        "a/b/0000001/app:1.tar", "a/b/0000001/images.ref", "a/b/0000001/urls.tsv",
        "a/b/notes/x",           "releases/v1/0000004/x",  "0000005/x",
        "a/0000006/0000007/x",   "a/b/0000002/x",
    };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int fd = open(files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
    }
    assert_int_equal(symlink("../a/b/0000001", "channels/one"), 0);
    assert_int_equal(symlink("../nowhere", "channels/none"), 0);
    assert_int_equal(symlink("app:1.tar", "a/b/0000001/app.tar"), 0);
    assert_int_equal(symlink("nowhere", "a/b/0000008/none"), 0);
    assert_int_equal(symlink("../../../releases", "a/b/0000002/r"), 0);
    char *whole = realpath(root, NULL);
    snprintf(root, 64, "%s", whole);
    free(whole);
    return (struct survey_mount){.fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                 .path = root};
}

static void remove_tree(const struct survey_mount *mount)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", mount->path);
    assert_int_equal(chdir("/"), 0);
    close(mount->fd);
    assert_int_equal(system(command), 0); // NOLINT: a test's own directory
}

static const struct survey_build *find(const struct survey *survey, const char *path)
{
    for (size_t i = 0; i < survey->build_count; i++)
        if (strcmp(survey->builds[i].path, path) == 0)
            return &survey->builds[i];
    return NULL;
}

static void test_survey(void **state)
{
    (void)state;
    char root[64] = "/tmp/test-prune-XXXXXX";
    const struct survey_mount mount = make_tree(root);
    struct survey survey = {0};
    struct err err = {0};
    assert_int_equal(survey_walk(&mount, "", &survey, &err), 0);
    assert_int_equal(survey.build_count, 3); // neither the empty one nor that of links alone
    const struct survey_build *build = find(&survey, "a/b/0000001");
    assert_non_null(build);
    assert_int_equal(build->branch_size, 3);
    assert_int_equal(build->file_count, 3); // not what is generated in a mount
    assert_int_equal(build->image_count, 1);
    assert_string_equal(build->images[0].name, "app");
    assert_non_null(find(&survey, "a/b/0000002"));
    assert_non_null(find(&survey, "a/0000006/0000007"));
    assert_int_equal(survey.link_count, 5);
    for (size_t i = 0; i < survey.link_count; i++) {
        const struct survey_link *link = &survey.links[i];
        const char *target = strstr(link->path, "none")  ? ""
                             : strstr(link->path, "/r")  ? "releases"
                             : strstr(link->path, "app") ? "a/b/0000001/app:1.tar"
                                                         : "a/b/0000001";
        assert_string_equal(link->target ? link->target : "", target);
    }
    struct survey again = {0};
    assert_int_equal(symlink("../a/b/0000002", "channels/two"), 0);
    assert_int_equal(survey_look_again(&mount, &survey, &again, &err), 0);
    assert_int_equal(again.link_count, 6);
    assert_string_equal(plan_link_to(&again, find(&survey, "a/b/0000002"))->path, "channels/two");
    survey_done(&again);
    survey_done(&survey);

    assert_int_equal(survey_walk(&mount, "a/b", &survey, &err), 0);
    assert_int_equal(survey.build_count, 2);
    assert_int_equal(survey.link_count, 6); // of all of the mount
    survey_done(&survey);
    // Out of the mount, where nobody should be led.
    assert_int_equal(symlink("/", "channels/out"), 0);
    assert_int_equal(survey_walk(&mount, "a/b", &survey, &err), -EXDEV);
    remove_tree(&mount);
}

static void test_removal(void **state)
{
    (void)state;
    char root[64] = "/tmp/test-prune-XXXXXX";
    const struct survey_mount mount = make_tree(root);
    struct survey survey = {0};
    struct err err = {0};
    assert_int_equal(survey_walk(&mount, "", &survey, &err), 0);
    const struct survey_build *one = find(&survey, "a/b/0000001");
    const struct survey_build *two = find(&survey, "a/b/0000002");
    assert_int_equal(removal_run(&mount, &survey, one, false, &err), REMOVAL_KEPT);
    assert_string_equal(err.text, "channels/one leads to it by now");
    assert_int_equal(removal_run(&mount, &survey, two, true, &err), REMOVAL_DONE);
    assert_int_equal(access("a/b/0000002", F_OK), 0);
    assert_int_equal(removal_run(&mount, &survey, two, false, &err), REMOVAL_DONE);
    assert_int_equal(access("a/b/0000002", F_OK), -1);
    assert_int_equal(access("releases/v1/0000004/x", F_OK), 0); // behind its link
    assert_int_equal(removal_run(&mount, &survey, two, false, &err), REMOVAL_FAILED);

    assert_int_equal(unlink("channels/one"), 0);
    close(open("a/b/0000001/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(removal_run(&mount, &survey, one, false, &err), REMOVAL_KEPT);
    assert_string_equal(err.text, "it has changed since it was looked at");
    assert_int_equal(unlink("a/b/0000001/new"), 0);
    FILE *status = fopen("a/b/0000001/status.tsv", "we");
    fputs("started\tfile\treference\tstate\tdone\ttotal\tdetail\nx\ty\tz\trunning\t1\t2\t-\n",
          status);
    fclose(status);
    assert_int_equal(removal_run(&mount, &survey, one, false, &err), REMOVAL_KEPT);
    assert_string_equal(err.text, "it is being published into");
    assert_int_equal(unlink("a/b/0000001/status.tsv"), 0);
    assert_int_equal(symlink("/", "channels/out"), 0);
    assert_int_equal(removal_run(&mount, &survey, one, false, &err), REMOVAL_UNSURE);
    assert_int_equal(unlink("channels/out"), 0);
    assert_int_equal(removal_run(&mount, &survey, one, false, &err), REMOVAL_DONE);
    assert_int_equal(access("a/b/0000001", F_OK), -1); // urls.tsv too: it showed as a file
    survey_done(&survey);
    remove_tree(&mount);
}

static void test_no_memory(void **state)
{
    (void)state;
    char root[64] = "/tmp/test-prune-XXXXXX";
    const struct survey_mount mount = make_tree(root);
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct survey survey = {0};
        struct plan_row *rows = NULL;
        struct err err = {0};
        memory_fail_at(nth);
        int error = survey_walk(&mount, "", &survey, &err);
        if (error == 0)
            error = plan_make(&survey, &(struct plan_rules){.keep = 1}, &rows);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(error == 0 || error == -ENOMEM);
        assert_true(error == 0 || has_failed);
        free(rows);
        survey_done(&survey);
    }
    remove_tree(&mount);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest),  cmocka_unit_test(test_older_than),
        cmocka_unit_test(test_links),   cmocka_unit_test(test_survey),
        cmocka_unit_test(test_removal), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
