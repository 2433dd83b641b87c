// main.c - prereleasefs-progress: shows the publishes of a directory while they are under way.
//
// It reads DIR/status.tsv again and again and writes to its standard output alone. With a COMMAND
// it runs that, shows what begins meanwhile, and exits as the command does; the command's standard
// error comes through here, so that bars and messages do not overwrite each other.
#include "show.h"
#include "watch.h"
#include "watch_file.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

enum {
    EXIT_UNKNOWN = 2,        // what became of the publishes cannot be told
    EXIT_CANNOT_RUN = 126,   // as a shell says it
    EXIT_NO_COMMAND = 127,   // likewise
    SHOWN_MAX = 8 << 20,     // bytes of what is shown at once: 1000 rows and their sentences
    REDRAW_MS = 250,         // bars
    LOOK_MS = 500,           // without a terminal: how soon an end is seen
    LINE_MS_DEFAULT = 10000, // without a terminal: how often a line tells where it stands
    FIRST_LINE_MS = 2000,    // what takes no longer needs no line
    LINE_S_MAX = 24 * 3600,
    WIDTH_DEFAULT = 80,
    HEIGHT_DEFAULT = 24,
};

struct progress {
    const char *directory;
    char *path;     // of its status.tsv
    char **command; // NULL: none
    int errors;     // the command's standard error; -1: none
    bool is_terminal;
    int line_ms;
    struct show show;
    int height;
    int drawn; // lines of bars on the screen, above the cursor
    int64_t lines_told_ms;
    struct watch watch;
};

// ---- reading -----------------------------------------------------------------------------------

static int look(struct progress *progress, struct err *err)
{
    int error = watch_file_read(&progress->watch, AT_FDCWD, progress->path, err);
    if (error == -ENOENT && access(progress->directory, F_OK) == 0)
        return err_set(err, ENOENT,
                       "%s has no status.tsv: nothing was published there since it was mounted, or "
                       "it is no directory of a prereleasefs mount",
                       progress->directory);
    return error;
}

// ---- showing -----------------------------------------------------------------------------------

static void measure_screen(struct progress *progress)
{
    struct winsize size = {0};
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    // A line as wide as the screen would make some terminals begin another one.
    progress->show.width = (is_known ? size.ws_col : WIDTH_DEFAULT) - 1;
    progress->height = is_known && size.ws_row > 0 ? size.ws_row : HEIGHT_DEFAULT;
    progress->show.name_width = show_name_width(&progress->watch, &progress->show);
}

static void write_out(const struct buf *text)
{
    fwrite(buf_text(text), 1, text->size, stdout);
    fflush(stdout); // main looks at ferror
}

// Takes the bars away, so that what follows stands where they stood.
static void erase_bars(struct progress *progress, struct buf *text)
{
    if (progress->drawn > 0)
        buf_printf(text, "\r\033[%dA\033[J", progress->drawn);
    progress->drawn = 0;
}

static void tell_ends(struct progress *progress, struct buf *text)
{
    for (size_t i = 0; i < progress->watch.count; i++) {
        struct watch_row *row = &progress->watch.rows[i];
        if (row->state == WATCH_RUNNING || row->is_old || row->is_end_told)
            continue;
        row->is_end_told = true;
        show_end(text, row, &progress->show);
        buf_append_char(text, '\n');
    }
}

static void draw_bars(struct progress *progress, struct buf *text)
{
    int room = progress->height > 4 ? progress->height - 2 : 2;
    int more = 0;

    for (size_t i = 0; i < progress->watch.count; i++) {
        const struct watch_row *row = &progress->watch.rows[i];
        if (row->state != WATCH_RUNNING)
            continue;
        if (progress->drawn >= room) {
            more++;
            continue;
        }
        show_bar(text, row, &progress->show);
        buf_append_char(text, '\n');
        progress->drawn++;
    }
    if (more > 0) {
        buf_printf(text, "and %d more\n", more);
        progress->drawn++;
    }
}

static void tell_lines(struct progress *progress, struct buf *text)
{
    int64_t now_ms = clock_monotonic_ms(clock_system());

    if (now_ms - progress->lines_told_ms < progress->line_ms)
        return;
    progress->lines_told_ms = now_ms;
    for (size_t i = 0; i < progress->watch.count; i++) {
        const struct watch_row *row = &progress->watch.rows[i];
        if (row->state != WATCH_RUNNING)
            continue;
        show_line(text, row, &progress->show);
        buf_append_char(text, '\n');
    }
}

static void show_all(struct progress *progress)
{
    auto_buf struct buf text = BUF_INIT(SHOWN_MAX);

    measure_screen(progress);
    erase_bars(progress, &text);
    tell_ends(progress, &text);
    if (progress->is_terminal)
        draw_bars(progress, &text);
    else
        tell_lines(progress, &text);
    write_out(&text);
}

// ---- the command -------------------------------------------------------------------------------

static int start_command(struct progress *progress, pid_t *ret_child, struct err *err)
{
    int pipe_fds[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t keyboard;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set(err, errno, "no pipe for the command: %s", strerrordesc_np(errno));
    // Ctrl-C is the command's affair: how it ends is what is told here.
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    sigemptyset(&keyboard);
    sigaddset(&keyboard, SIGINT);
    sigaddset(&keyboard, SIGQUIT);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &keyboard);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int error = posix_spawnp(ret_child, progress->command[0], &actions, &attributes,
                             progress->command, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    progress->errors = pipe_fds[0];
    fcntl(progress->errors, F_SETFL, O_NONBLOCK);
    if (error != 0)
        return err_set(err, error, "cannot run %s: %s", progress->command[0],
                       strerrordesc_np(error));
    return 0;
}

// Takes over what the command writes to its standard error, if there is something now.
static void pass_errors(struct progress *progress)
{
    char piece[4096];
    ssize_t size = read(progress->errors, piece, sizeof(piece));
    if (size == 0) {
        close(progress->errors);
        progress->errors = -1;
    }
    if (size <= 0)
        return;
    auto_buf struct buf text = BUF_INIT(64);
    erase_bars(progress, &text);
    write_out(&text);
    fwrite(piece, 1, (size_t)size, stderr);
}

static void wait_and_pass(struct progress *progress, int timeout_ms)
{
    int64_t end_ms = clock_monotonic_ms(clock_system()) + timeout_ms;
    struct pollfd poll_fd = {.fd = progress->errors, .events = POLLIN};
    int left_ms = timeout_ms;

    while (left_ms >= 0 && poll(&poll_fd, 1, left_ms) > 0) {
        pass_errors(progress);
        if (progress->errors < 0) // most likely it has ended
            break;
        left_ms = (int)(end_ms - clock_monotonic_ms(clock_system()));
    }
}

static int run_command(struct progress *progress)
{
    struct err err = {0};
    int status = 0;
    pid_t child = 0;

    if (look(progress, &err) < 0)
        watch_read_nothing(&progress->watch);
    if (start_command(progress, &child, &err) < 0) {
        fprintf(stderr, "prereleasefs-progress: %s\n", err.text);
        return err.errnum == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_RUN;
    }
    for (bool is_over = false; !is_over;) {
        wait_and_pass(progress, progress->is_terminal ? REDRAW_MS : LOOK_MS);
        is_over = waitpid(child, &status, WNOHANG) != 0;
        if (is_over && progress->errors >= 0)
            wait_and_pass(progress, 0);
        if (look(progress, &err) == 0)
            show_all(progress);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// ---- without one -------------------------------------------------------------------------------

// Where nothing is under way: how what began last ended.
static void tell_last(struct progress *progress)
{
    auto_buf struct buf text = BUF_INIT(SHOWN_MAX);
    const struct watch *watch = &progress->watch;

    buf_append_text(&text, "nothing is being published there; the last: ");
    if (watch->count > 0)
        show_end(&text, &watch->rows[watch->count - 1], &progress->show);
    else
        buf_append_text(&text, "none");
    buf_append_char(&text, '\n');
    write_out(&text);
}

static int follow(struct progress *progress)
{
    struct err err = {0};
    for (bool is_first = true;; is_first = false) {
        if (look(progress, &err) < 0) {
            fprintf(stderr, "prereleasefs-progress: %s\n", err.text);
            return EXIT_UNKNOWN;
        }
        show_all(progress);
        if (!watch_is_running(&progress->watch)) {
            if (is_first)
                tell_last(progress);
            break;
        }
        poll(NULL, 0, progress->is_terminal ? REDRAW_MS : LOOK_MS);
    }
    return watch_is_well(&progress->watch) ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- the command line --------------------------------------------------------------------------

static void print_help(void)
{
    printf(
        "usage: prereleasefs-progress [-i SECONDS] [DIRECTORY [COMMAND [ARGUMENT]...]]\n"
        "\n"
        "Shows what is being published into DIRECTORY (here, if it is left out) until nothing is:\n"
        "    prereleasefs-progress MOUNTPOINT/BRANCH/SHA\n"
        "    prereleasefs-progress MOUNTPOINT/BRANCH/SHA cp images.ref MOUNTPOINT/BRANCH/SHA/\n"
        "\n"
        "    -i SECONDS  without a terminal: how often a line is printed (default: 10)\n"
        "    -h          this help\n"
        "    -V          the version\n"
        "\n"
        "Exit status: 0 all of it was published, or was there already; 1 something was not; 2 it\n"
        "cannot be told. With a COMMAND, that command's.\n");
}

// Fills in the progress; returns -1 where there is work to do, else the exit status.
static int parse_arguments(int argc, char **argv, struct progress *progress)
{
    int flag;
    // "+": what follows DIRECTORY is the command's.
    while ((flag = getopt(argc, argv, "+hVi:")) >= 0) { // NOLINT(concurrency-mt-unsafe)
        char *end = NULL;
        long seconds = flag == 'i' ? strtol(optarg, &end, 10) : 1;
        if (flag == 'h') {
            print_help();
            return EXIT_SUCCESS;
        }
        if (flag == 'V') {
            printf("prereleasefs-progress %s\n", PRERELEASEFS_VERSION);
            return EXIT_SUCCESS;
        }
        if (flag != 'i')
            return EXIT_UNKNOWN; // getopt has said why
        if (*end || end == optarg || seconds < 1 || seconds > LINE_S_MAX) {
            fprintf(stderr, "prereleasefs-progress: -i %s: it takes seconds, from 1 to %d\n",
                    optarg, LINE_S_MAX);
            return EXIT_UNKNOWN;
        }
        progress->line_ms = (int)seconds * 1000;
    }
    progress->directory = optind < argc ? argv[optind] : ".";
    progress->command = optind + 1 < argc ? argv + optind + 1 : NULL;
    return -1;
}

int main(int argc, char **argv)
{
    struct progress progress = {.line_ms = LINE_MS_DEFAULT, .errors = -1};
    int status = parse_arguments(argc, argv, &progress);
    if (status >= 0)
        return status;
    // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread
    setlocale(LC_CTYPE, "");
    const char *terminal = getenv("TERM");
    progress.show.is_unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    // NOLINTEND(concurrency-mt-unsafe)
    progress.is_terminal =
        isatty(STDOUT_FILENO) == 1 && terminal && *terminal && strcmp(terminal, "dumb") != 0;
    progress.lines_told_ms = clock_monotonic_ms(clock_system()) - progress.line_ms + FIRST_LINE_MS;
    watch_init(&progress.watch);
    if (asprintf(&progress.path, "%s/status.tsv", progress.directory) < 0)
        return EXIT_UNKNOWN;
    status = progress.command ? run_command(&progress) : follow(&progress);
    if (ferror(stdout) && !progress.command) {
        fprintf(stderr, "prereleasefs-progress: cannot write: %s\n", strerrordesc_np(errno));
        status = EXIT_UNKNOWN;
    }
    free(progress.path);
    watch_done(&progress.watch);
    return status;
}
