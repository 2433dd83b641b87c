#include "mount.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"
#include "mountpoint.h"
#include "ops.h"
#include "service.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KICK_EVERY_MS = 20,       // until the loop has seen that it is to end
    SAID_LIMIT = 64 * 1024,   // bytes that libfuse and fusermount3 may say while mounting
    OPTION_LIMIT = 64 * 1024, // bytes of one option for libfuse
    OPENING_RETRIES = 2,      // of all requests while mounting
};

struct mount {
    const struct options *options;
    struct service *service;
    struct ops *ops;
    struct fuse_session *session;
    struct mountpoint mountpoint;
    int ready_fd;         // the waiting parent's pipe, -1 with -f
    atomic_bool is_ready; // the kernel has been answered
    atomic_bool has_told_stopping;

    pthread_t serving; // runs the loop
    pthread_t signals; // waits for signals
    struct call opening;

    pthread_mutex_t lock; // guards what follows
    bool is_told_to_end;
    bool is_served; // ops and session may be told to stop
    bool has_ended; // the loop
};

// ---- the supervisor ----------------------------------------------------------------------------

static void tell_supervisor(const char *state)
{
    struct err err;
    if (supervisor_tell(state, &err) < 0)
        log_err(LOG_LEVEL_WARN, "the supervisor was not told", &err, NULL);
}

static void tell_stopping(struct mount *mount)
{
    if (atomic_load(&mount->is_ready) && !atomic_exchange(&mount->has_told_stopping, true))
        tell_supervisor("STOPPING=1");
}

// ---- signals -----------------------------------------------------------------------------------
//
// A thread of its own waits for them: what has to happen (cancelling requests, answering parked
// ones) is no work for a signal handler, and libfuse's loop does not look up by itself.

static void ending_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGHUP);
}

static bool has_ended(struct mount *mount)
{
    pthread_mutex_lock(&mount->lock);
    bool has_ended = mount->has_ended;
    pthread_mutex_unlock(&mount->lock);
    return has_ended;
}

static void end_mount(struct mount *mount)
{
    pthread_mutex_lock(&mount->lock);
    mount->is_told_to_end = true;
    bool is_served = mount->is_served;
    pthread_mutex_unlock(&mount->lock);
    call_cancel(&mount->opening);
    if (!is_served)
        return;
    tell_stopping(mount);
    ops_stop(mount->ops);
    ops_wait_for_closes(mount->ops);
    fuse_session_exit(mount->session);
    // The loop waits on a semaphore that only a signal ends; it may be just about to.
    const struct timespec pause = {.tv_nsec = KICK_EVERY_MS * 1000000L};
    while (!has_ended(mount)) {
        pthread_kill(mount->serving, SIGUSR1);
        nanosleep(&pause, NULL);
    }
}

static void *wait_for_signals(void *argument)
{
    struct mount *mount = argument;
    sigset_t set;
    ending_signals(&set);
    for (int number; !has_ended(mount);) {
        if (sigwait(&set, &number) == 0 && !has_ended(mount))
            end_mount(mount);
    }
    return NULL;
}

static void do_nothing(int number)
{
    (void)number; // its arrival ends a wait
}

static int start_signals(struct mount *mount, struct err *err)
{
    const struct sigaction kick = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &kick, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    ending_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL); // and so in every thread that is made from here on
    mount->serving = pthread_self();
    int error = pthread_create(&mount->signals, NULL, wait_for_signals, mount);
    return error ? err_set(err, error, "cannot start a thread: %s", strerrordesc_np(error)) : 0;
}

static void stop_signals(struct mount *mount)
{
    pthread_mutex_lock(&mount->lock);
    mount->has_ended = true;
    mount->is_served = false;
    pthread_mutex_unlock(&mount->lock);
    pthread_kill(mount->signals, SIGHUP); // one that it waits for
    pthread_join(mount->signals, NULL);
}

// ---- the session -------------------------------------------------------------------------------

static bool has_option(const struct options *options, const char *prefix)
{
    for (char **option = options->fuse_options; option && *option; option++) {
        if (strncmp(*option, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

// "-oNAME=VALUE", with what separates options escaped.
static int add_option(struct fuse_args *args, const char *name, const char *value)
{
    auto_buf struct buf text = BUF_INIT(OPTION_LIMIT);
    buf_printf(&text, "-o%s", name);
    for (const char *c = value; *c; c++) {
        if (*c == ',' || *c == '\\')
            buf_append_char(&text, '\\');
        buf_append_char(&text, *c);
    }
    return text.is_full ? -1 : fuse_opt_add_arg(args, text.bytes);
}

static int add_options(const struct options *options, struct fuse_args *args)
{
    auto_free char *source = NULL;
    if (asprintf(&source, "%s/%s", options->bucket, options->prefix) < 0)
        return -1;
    source[strlen(source) - 1] = '\0'; // the slash behind the bucket or the prefix
    int error = fuse_opt_add_arg(args, "prereleasefs");
    if (!has_option(options, "fsname="))
        error |= add_option(args, "fsname=", source);
    if (!has_option(options, "subtype="))
        error |= add_option(args, "subtype=", MOUNTPOINT_SUBTYPE);
    for (char **option = options->fuse_options; option && *option; option++)
        error |= add_option(args, "", *option); // a comma in it begins no other option
    if (options->is_fuse_debug)
        error |= fuse_opt_add_arg(args, "-d");
    return error;
}

// libfuse and fusermount3 say on stderr why they fail; that becomes part of our one sentence.
static int open_said(int *ret_stderr)
{
    log_stay(); // other threads have things to say meanwhile
    int said = memfd_create("said", MFD_CLOEXEC);
    *ret_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (said >= 0)
        dup2(said, STDERR_FILENO);
    return said;
}

// The last line of it, malloc'ed; NULL where nothing was said.
static char *close_said(int said, int stderr_copy)
{
    if (stderr_copy >= 0) {
        dup2(stderr_copy, STDERR_FILENO);
        close(stderr_copy);
    }
    if (said < 0)
        return NULL;
    auto_free char *text = calloc(1, SAID_LIMIT);
    ssize_t size = text ? pread(said, text, SAID_LIMIT - 1, 0) : -1;
    close(said);
    while (size > 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    if (size <= 0)
        return NULL;
    const char *line = strrchr(text, '\n');
    return strdup(line ? line + 1 : text);
}

static int mount_session(struct mount *mount, struct err *err)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    int stderr_copy = -1;
    int said = mount->options->is_fuse_debug ? -1 : open_said(&stderr_copy);
    if (add_options(mount->options, &args) == 0)
        mount->session = fuse_session_new(&args, &ops_table, sizeof(ops_table), mount->ops);
    bool is_mounted =
        mount->session && fuse_session_mount(mount->session, mount->mountpoint.path) == 0;
    fuse_opt_free_args(&args);
    auto_free char *why = close_said(said, stderr_copy);
    if (is_mounted)
        return 0;
    if (mount->session)
        fuse_session_destroy(mount->session);
    mount->session = NULL;
    return err_set(err, EIO, "cannot mount on %s: %s", mount->mountpoint.path,
                   why ? why : "libfuse does not say why");
}

__attribute__((format(printf, 2, 0))) static void log_fuse(enum fuse_log_level level,
                                                           const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    log_event(level <= FUSE_LOG_WARNING ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "libfuse says", "text",
              text, NULL);
}

static void tell_mounted(const struct mount *mount)
{
    log_event(LOG_LEVEL_INFO, "mounted", "bucket", mount->options->bucket, "prefix",
              mount->options->prefix, "mountpoint", mount->mountpoint.path, "store",
              s3_client_origin(mount->service->client), "links",
              mount->service->presigner ? "yes" : "no: neither presign_role nor presign_profile",
              "version", PRERELEASEFS_VERSION, NULL);
}

// ---- into the background -----------------------------------------------------------------------

// The parent's part: waits until the child is ready or has ended, and exits like it.
static int wait_until_ready(int ready_fd, pid_t child)
{
    char byte;
    ssize_t size;
    do {
        size = read(ready_fd, &byte, 1);
    } while (size < 0 && errno == EINTR);
    close(ready_fd);
    if (size == 1)
        return EXIT_SUCCESS;
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

// The child's part, once the mount answers. Not before: an automount in the making lets only the
// process group of who mounts for it near the mountpoint.
static void detach(struct mount *mount)
{
    setsid();
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (chdir("/") < 0 || null_fd < 0)
        log_event(LOG_LEVEL_WARN, "cannot leave the terminal and directory it was started in",
                  NULL);
    for (int fd = STDIN_FILENO; null_fd >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null_fd, fd);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
    if (write(mount->ready_fd, "", 1) < 0)
        log_event(LOG_LEVEL_WARN, "nobody waits for the mount any more", NULL);
    close(mount->ready_fd);
    mount->ready_fd = -1;
}

// The kernel is being told that the mount can be used: so may everybody else.
static void is_answered(void *context)
{
    struct mount *mount = context;
    if (!mount->options->is_fuse_debug)
        fuse_set_log_func(log_fuse);
    tell_mounted(mount);
    atomic_store(&mount->is_ready, true);
    if (mount->ready_fd >= 0)
        detach(mount);
    tell_supervisor("READY=1");
}

// ---- from beginning to end ---------------------------------------------------------------------

static int open_mount(struct mount *mount, struct err *err)
{
    int error = service_open(mount->options, clock_system(), &mount->opening, &mount->service, err);
    if (error == 0)
        error = ops_new(mount->service, is_answered, mount, &mount->ops, err);
    if (error == 0)
        error = mount_session(mount, err);
    if (error < 0)
        return error;
    pthread_mutex_lock(&mount->lock);
    mount->is_served = true;
    bool is_told_to_end = mount->is_told_to_end;
    pthread_mutex_unlock(&mount->lock);
    return is_told_to_end ? err_set(err, EINTR, "told to end before it was mounted") : 0;
}

static int serve(struct mount *mount, struct err *err)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config)
        return err_no_memory(err);
    fuse_loop_cfg_set_max_threads(config, MOUNT_THREADS_MAX);
    int error = fuse_session_loop_mt(mount->session, config);
    fuse_loop_cfg_destroy(config);
    if (error < 0)
        return err_set(err, -error, "the connection to the kernel broke: %s",
                       strerrordesc_np(-error));
    return 0;
}

static void close_mount(struct mount *mount)
{
    if (mount->ops)
        ops_stop(mount->ops);
    if (mount->session) {
        fuse_session_unmount(mount->session);
        fuse_session_destroy(mount->session);
    }
    ops_free(mount->ops);
    service_close(mount->service);
    mountpoint_done(&mount->mountpoint);
}

// Before signals are taken care of: it may wait for another filesystem.
static int prepare_mountpoint(struct mount *mount, struct err *err)
{
    int error = mountpoint_prepare(mount->options->mountpoint, &mount->mountpoint, err);
    if (error == 0 && mount->mountpoint.was_cleared)
        log_event(LOG_LEVEL_WARN, "a mount whose program had died was taken away", "mountpoint",
                  mount->mountpoint.path, NULL);
    return error;
}

// What kept it from being of use is for who started it; what ended it later, for the log.
static int tell_end(const struct mount *mount, int error, const struct err *err)
{
    if (!atomic_load(&mount->is_ready)) {
        fprintf(stderr, "prereleasefs: %s\n",
                error < 0 ? err->text : "told to end before the mount could be used");
        return EXIT_FAILURE;
    }
    if (error < 0)
        log_err(LOG_LEVEL_ERROR, "the mount ended", err, NULL);
    else
        log_event(LOG_LEVEL_INFO, "unmounted", NULL);
    return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

// Everything that a process serving a mount does. The exit status.
static int run(const struct options *options, int ready_fd)
{
    struct mount mount = {.options = options, .ready_fd = ready_fd};
    struct err err = {0};
    pthread_mutex_init(&mount.lock, NULL);
    call_init(&mount.opening, clock_system());
    atomic_store(&mount.opening.retries_left, OPENING_RETRIES); // what cannot work says so at once
    log_open(options->is_foreground ? LOG_SINK_STDERR : LOG_SINK_SYSLOG, options->log_level);
    int error = prepare_mountpoint(&mount, &err);
    if (error == 0)
        error = start_signals(&mount, &err);
    bool has_signals = error == 0;
    if (error == 0)
        error = open_mount(&mount, &err);
    if (error == 0)
        error = serve(&mount, &err);
    tell_stopping(&mount);
    if (has_signals)
        stop_signals(&mount);
    close_mount(&mount);
    int status = tell_end(&mount, error, &err);
    if (mount.ready_fd >= 0)
        close(mount.ready_fd);
    pthread_mutex_destroy(&mount.lock);
    return status;
}

int mount_run(const struct options *options)
{
    if (options->is_foreground)
        return run(options, -1);
    int fds[2];
    pid_t child = pipe2(fds, O_CLOEXEC) < 0 ? -1 : fork();
    if (child < 0) {
        fprintf(stderr, "prereleasefs: cannot go into the background: %s\n",
                strerrordesc_np(errno));
        return EXIT_FAILURE;
    }
    if (child > 0) {
        close(fds[1]);
        return wait_until_ready(fds[0], child);
    }
    close(fds[0]);
    return run(options, fds[1]);
}
