// main.c - prereleasefs-prune: removes old builds of a mount's branches.
//
// It works through the mount alone, as rm and rmdir would. What is kept and what goes is planned
// from one walk (survey.h, plan.h), and printed, a line for each build.
#include "directory.h"
#include "plan.h"
#include "removal.h"
#include "survey.h"

#include "../mount_table.h"
#include "../path.h"
#include "../tsv.h"
#include "../virtual/attributes.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
    EXIT_REFUSED = 2, // nothing was removed
    ROOT_NUMBER = 1,  // st_ino of a whole mount's root
    LINE_MAX_BYTES = 64 * 1024,
    KEEP_MAX = 1000 * 1000,
    DAYS_MAX = 36500,
    NOT_GIVEN = -1,
};
#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct prune {
    const char *directory; // as given
    long keep;
    long older_than_days;
    bool is_dry;

    struct mounted mounted;
    struct survey_mount mount;
    char *below; // the directory, from the mount's root
    struct survey survey;
    struct plan_row *rows;

    size_t removed_count;
    size_t failed_count;
    size_t file_count; // of what was removed
    uint64_t size_bytes;
};

// ---- what is refused ---------------------------------------------------------------------------

// What lies outside a part of a mount that is bound elsewhere cannot be seen, links neither.
static int open_root(struct prune *prune, const char *root, struct err *err)
{
    struct stat attributes;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno, "cannot read %s: %s", root, strerrordesc_np(errno));
    prune->mount = (struct survey_mount){.fd = fd, .path = root};
    if (fstat(fd, &attributes) < 0)
        return err_set(err, errno, "cannot look at %s: %s", root, strerrordesc_np(errno));
    if (attributes.st_ino != ROOT_NUMBER)
        return err_set(
            err, EXDEV,
            "%s is a part of a mount, and links from its other parts cannot be seen: name "
            "the directory in the whole mount",
            root);
    return 0;
}

// That the path leads into a mount, and to where in it.
static int find_mount(struct prune *prune, struct err *err)
{
    auto_free char *whole = realpath(prune->directory, NULL);
    auto_fd int fd = whole ? open(whole, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return err_set(err, errno, "%s: %s", prune->directory, strerrordesc_np(errno));
    const struct mounted *mounted = &prune->mounted;
    if (mount_table_find(fd, &prune->mounted) < 0 ||
        strcmp(mounted->type, "fuse.prereleasefs") != 0)
        return err_set(err, ENODEV, "%s is no directory of a prereleasefs mount", prune->directory);
    size_t size = strlen(mounted->path);
    if (strncmp(whole, mounted->path, size) != 0 || (whole[size] != '/' && whole[size] != '\0'))
        return err_set(err, ENODEV,
                       "%s is seen by another path than its mount, %s: name it by that",
                       prune->directory, mounted->path);
    prune->below = strdup(whole + size + (whole[size] == '/'));
    return prune->below ? open_root(prune, mounted->path, err) : err_no_memory(err);
}

static int check_may_delete(const struct prune *prune, struct err *err)
{
    char value[8] = "";
    if (fgetxattr(prune->mount.fd, ATTRIBUTE_ALLOW_DELETE, value, sizeof(value) - 1) < 0)
        return err_set(err, errno,
                       "whether %s lets files be removed cannot be told (%s): mount it with this "
                       "version",
                       prune->mount.path, strerrordesc_np(errno));
    return strcmp(value, "yes") == 0
               ? 0
               : err_set(err, EPERM,
                         "%s does not let files be removed: mount it with -o allow_delete, and "
                         "without ro",
                         prune->mount.path);
}

static int check_directory(const struct prune *prune, struct err *err)
{
    const char *name = path_last(prune->below);
    if (path_is_under_releases(prune->below))
        return err_set(err, EPERM, "%s: nothing under " PATH_RELEASES "/ is ever pruned",
                       prune->directory);
    if (name != prune->below && path_is_commit(name, strlen(name)))
        return err_set(err, EINVAL, "%s is named like a build: name the directory that it lies in",
                       prune->directory);
    return 0;
}

// ---- telling -----------------------------------------------------------------------------------

static const char *why_kept(const struct plan_row *row, const struct prune *prune, struct err *err)
{
    switch (row->verdict) {
    case PLAN_NEWEST:
        err_set(err, 0, "one of the newest %ld", prune->keep);
        break;
    case PLAN_LINK:
        err_set(err, 0, "%s leads to it", row->because);
        break;
    case PLAN_IMAGE:
        err_set(err, 0, "the newest of %s", row->because);
        break;
    case PLAN_YOUNG:
        err_set(err, 0, "not older than %ld days", prune->older_than_days);
        break;
    case PLAN_REMOVE:
        return "";
    }
    return err->text;
}

static void tell(const char *verdict, const struct survey_build *build, const char *why)
{
    auto_buf struct buf line = BUF_INIT(LINE_MAX_BYTES);
    char newest[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(build->newest_ms, newest);
    buf_printf(&line, "%s\t", verdict);
    tsv_field(&line, build->path);
    buf_printf(&line, "\t%s\t%zu\t%" PRIu64 "\t", newest, build->file_count, build->size_bytes);
    tsv_field(&line, why);
    buf_append_char(&line, '\n');
    fwrite(buf_text(&line), 1, line.size, stdout);
    fflush(stdout); // main looks at ferror
}

static void tell_sum(const struct prune *prune)
{
    fprintf(stderr, "prereleasefs-prune: %zu of %zu builds %s: %zu files, %" PRIu64 " bytes",
            prune->removed_count, prune->survey.build_count,
            prune->is_dry ? "would be removed" : "removed", prune->file_count, prune->size_bytes);
    if (prune->failed_count > 0)
        fprintf(stderr, "; %zu could not be", prune->failed_count);
    if (prune->survey.build_count == 0)
        fprintf(stderr, ": no branch there has a directory that is named like a commit");
    fputc('\n', stderr);
}

static void complain(const struct err *err)
{
    fprintf(stderr, "prereleasefs-prune: %s\n", err->text);
}

// ---- the work ----------------------------------------------------------------------------------

// false: nothing further may be removed.
static bool remove_build(struct prune *prune, const struct survey_build *build)
{
    struct err err = {0};
    switch (removal_run(&prune->mount, &prune->survey, build, prune->is_dry, &err)) {
    case REMOVAL_DONE:
        prune->removed_count++;
        prune->file_count += build->file_count;
        prune->size_bytes += build->size_bytes;
        tell(prune->is_dry ? "would-remove" : "removed", build, NULL);
        return true;
    case REMOVAL_KEPT:
        tell("kept", build, err.text);
        return true;
    case REMOVAL_FAILED:
        prune->failed_count++;
        tell("failed", build, err.text);
        return true;
    case REMOVAL_UNSURE:
        break;
    }
    prune->failed_count++;
    complain(&err);
    fprintf(stderr, "prereleasefs-prune: nothing further is removed\n");
    return false;
}

static int run(struct prune *prune, struct err *err)
{
    if (find_mount(prune, err) < 0 || check_directory(prune, err) < 0 ||
        check_may_delete(prune, err) < 0)
        return EXIT_REFUSED;
    if (survey_walk(&prune->mount, prune->below, &prune->survey, err) < 0) {
        err_wrap(err, "nothing is removed");
        return EXIT_REFUSED;
    }
    const struct plan_rules rules = {
        .keep = (size_t)prune->keep,
        .older_than_ms = prune->older_than_days > 0 ? prune->older_than_days * DAY_MS : 0,
        .now_ms = clock_now_ms(clock_system()),
    };
    if (plan_make(&prune->survey, &rules, &prune->rows) < 0) {
        err_no_memory(err);
        return EXIT_REFUSED;
    }
    printf("verdict\tbuild\tnewest\tfiles\tbytes\twhy\n");
    bool goes_on = true;
    for (size_t i = 0; goes_on && i < prune->survey.build_count; i++) {
        const struct plan_row *row = &prune->rows[i];
        struct err kept = {0};
        if (row->verdict == PLAN_REMOVE)
            goes_on = remove_build(prune, row->build);
        else
            tell("kept", row->build, why_kept(row, prune, &kept));
    }
    tell_sum(prune);
    return prune->failed_count > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

// ---- the command line --------------------------------------------------------------------------

static void print_help(void)
{
    printf(
        "usage: prereleasefs-prune --keep N [--older-than DAYS] [--dry-run] DIR\n"
        "\n"
        "Removes the builds of the branches in DIR, a directory of a prereleasefs mount, but for\n"
        "the newest N of each branch, the newest of each image, what symbolic links lead to, and\n"
        "all of releases/. A line for each build says what became of it, and why.\n"
        "\n"
        "    --keep N           how many builds of each branch stay; 0 with --older-than alone\n"
        "    --older-than DAYS  only builds whose newest file is older\n"
        "    --dry-run          removes nothing, and says what it would\n"
        "    -h, --help         this help\n"
        "    -V, --version      the version\n"
        "\n"
        "Exit status: 0 all that was to go is gone; 1 something is not; 2 nothing was removed,\n"
        "because the question is wrong or the answer not certain.\n");
}

static bool parse_count(const char *flag, const char *text, long most, long *ret_count)
{
    char *end;
    errno = 0;
    long count = strtol(text, &end, 10);
    bool is_number = text[strspn(text, "0123456789")] == '\0' && *text && errno == 0;
    if (!is_number || count > most) {
        fprintf(stderr, "prereleasefs-prune: %s %s: it takes a number, up to %ld\n", flag, text,
                most);
        return false;
    }
    *ret_count = count;
    return true;
}

static bool check_arguments(const struct prune *prune)
{
    const char *wrong = NULL;
    if (prune->keep == NOT_GIVEN)
        wrong = "say how many builds of each branch stay: --keep N";
    else if (prune->keep == 0 && prune->older_than_days <= 0)
        wrong = "--keep 0 would remove every build, the one of a minute ago too: say --older-than "
                "DAYS as well, 1 or more";
    else if (!prune->directory)
        wrong = "name a directory of the mount, one";
    if (wrong)
        fprintf(stderr, "prereleasefs-prune: %s\n", wrong);
    return !wrong;
}

// Fills in what is asked for; returns -1 where there is work to do, else the exit status.
static int parse_arguments(int argc, char **argv, struct prune *prune)
{
    static const struct option options[] = {
        {"keep", required_argument, NULL, 'k'}, {"older-than", required_argument, NULL, 'o'},
        {"dry-run", no_argument, NULL, 'n'},    {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},    {0},
    };
    int flag;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
    while ((flag = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
        bool is_right = true;
        if (flag == 'h') {
            print_help();
            return EXIT_SUCCESS;
        }
        if (flag == 'V') {
            printf("prereleasefs-prune %s\n", PRERELEASEFS_VERSION);
            return EXIT_SUCCESS;
        }
        if (flag == 'n')
            prune->is_dry = true;
        else if (flag == 'k')
            is_right = parse_count("--keep", optarg, KEEP_MAX, &prune->keep);
        else if (flag == 'o')
            is_right = parse_count("--older-than", optarg, DAYS_MAX, &prune->older_than_days);
        else
            is_right = false; // getopt has said why
        if (!is_right)
            return EXIT_REFUSED;
    }
    prune->directory = argc - optind == 1 ? argv[optind] : NULL;
    return check_arguments(prune) ? -1 : EXIT_REFUSED;
}

int main(int argc, char **argv)
{
    struct prune prune = {.keep = NOT_GIVEN, .older_than_days = NOT_GIVEN, .mount = {.fd = -1}};
    struct err err = {0};
    int status = parse_arguments(argc, argv, &prune);
    if (status >= 0)
        return status;
    status = run(&prune, &err);
    if (err.text[0])
        complain(&err);
    if (ferror(stdout)) {
        fprintf(stderr, "prereleasefs-prune: cannot write: %s\n", strerrordesc_np(errno));
        status = status == EXIT_SUCCESS ? EXIT_FAILURE : status;
    }
    free(prune.rows);
    survey_done(&prune.survey);
    free(prune.below);
    mounted_done(&prune.mounted);
    if (prune.mount.fd >= 0)
        close(prune.mount.fd);
    return status;
}
