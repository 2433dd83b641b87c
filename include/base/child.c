#include "base/child.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
    MESSAGES_MAX = 2048, // bytes of its standard error that are logged
    LOOK_MS = 20,        // how often it is looked whether it has ended, or should be
};

// What comes through one of its pipes.
struct stream {
    int fd; // -1 once it has ended
    char *bytes;
    size_t size;
    size_t room;
    bool is_cut; // more came than there is room for
};

struct running {
    pid_t pid;
    const char *name;
    struct stream output;
    struct stream messages;
};

// ---- starting -----------------------------------------------------------------------------

struct pipes {
    int input[2];
    int output[2];
    int messages[2];
};

static void close_pipe(int ends[2])
{
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

static void close_pipes(struct pipes *pipes)
{
    close_pipe(pipes->input);
    close_pipe(pipes->output);
    close_pipe(pipes->messages);
}

static int take_end(int *end)
{
    int fd = *end;
    *end = -1;
    return fd;
}

// The input lies in its pipe before the program starts: nobody can be waited for.
static int open_pipes(struct pipes *pipes, const char *input, struct err *err)
{
    size_t size = input ? strlen(input) : 0;
    if (size > CHILD_INPUT_MAX)
        return err_set(err, EINVAL, "an input of more than %d bytes", CHILD_INPUT_MAX);
    if (pipe2(pipes->input, O_CLOEXEC) < 0 || pipe2(pipes->output, O_CLOEXEC) < 0 ||
        pipe2(pipes->messages, O_CLOEXEC) < 0 ||
        (size > 0 && write(pipes->input[1], input, size) != (ssize_t)size))
        return err_set(err, errno ? errno : EIO, "no pipe can be made: %s", strerrordesc_np(errno));
    close(take_end(&pipes->input[1]));
    // Only the ends that stay here.
    (void)fcntl(pipes->output[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(pipes->messages[0], F_SETFL, O_NONBLOCK);
    return 0;
}

// A daemon blocks and ignores signals; a program that is started should find them as usual.
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_setsigmask(attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    if (r == 0)
        r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETSID);
    return r;
}

static int set_files(posix_spawn_file_actions_t *files, const struct child *child,
                     const struct pipes *pipes)
{
    int r = posix_spawn_file_actions_adddup2(files, pipes->input[0], STDIN_FILENO);
    if (r == 0 && child->directory)
        r = posix_spawn_file_actions_addchdir_np(files, child->directory);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(files, pipes->output[1], STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(files, pipes->messages[1], STDERR_FILENO);
    if (r == 0) // other threads' files, whoever forgot O_CLOEXEC
        r = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    return r;
}

static int spawn(const struct child *child, const struct pipes *pipes, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&files);
    if (r != 0)
        return r;
    r = posix_spawnattr_init(&attributes);
    if (r == 0) {
        r = set_attributes(&attributes);
        if (r == 0)
            r = set_files(&files, child, pipes);
        if (r == 0)
            r = posix_spawnp(ret_pid, child->arguments[0], &files, &attributes,
                             (char **)child->arguments, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return r;
}

static int start(const struct child *child, struct running *running, struct err *err)
{
    struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}};
    int r = open_pipes(&pipes, child->input, err);
    if (r == 0) {
        int problem = spawn(child, &pipes, &running->pid);
        if (problem == ENOENT)
            r = err_set(err, ENOENT, "there is no program of that name%s",
                        strchr(running->name, '/') ? "" : " in PATH");
        else if (problem != 0)
            r = err_set(err, problem, "it cannot be started: %s", strerrordesc_np(problem));
    }
    if (r == 0) {
        running->output.fd = take_end(&pipes.output[0]);
        running->messages.fd = take_end(&pipes.messages[0]);
    }
    close_pipes(&pipes);
    return r;
}

// ---- waiting ------------------------------------------------------------------------------

static void read_stream(struct stream *stream)
{
    char spare[512];
    while (stream->fd >= 0) {
        size_t room = stream->room - stream->size;
        ssize_t n = room > 0 ? read(stream->fd, stream->bytes + stream->size, room)
                             : read(stream->fd, spare, sizeof(spare));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close(stream->fd);
            stream->fd = -1;
        } else if (room > 0) {
            stream->size += (size_t)n;
        } else {
            stream->is_cut = true;
        }
    }
}

// Something arrives, or a moment passes.
static void await(const struct running *running)
{
    struct pollfd fds[2];
    nfds_t count = 0;
    if (running->output.fd >= 0)
        fds[count++] = (struct pollfd){.fd = running->output.fd, .events = POLLIN};
    if (running->messages.fd >= 0)
        fds[count++] = (struct pollfd){.fd = running->messages.fd, .events = POLLIN};
    (void)poll(fds, count, count > 0 ? LOOK_MS : 1);
}

static int64_t machine_ms(void)
{
    return clock_monotonic_ms(clock_system()); // a clock that a test holds still ends no program
}

// What it has started may hold its pipes open for good: when itself has ended, that is enough.
static int watch(struct running *running, const struct child *child, struct call *call,
                 int *ret_status, struct err *err)
{
    int64_t deadline_ms = machine_ms() + child->timeout_ms;
    for (;;) {
        await(running);
        int ended = (int)waitpid(running->pid, ret_status, WNOHANG);
        read_stream(&running->output);
        read_stream(&running->messages);
        if (ended == running->pid)
            return 0;
        if (ended < 0 && errno != EINTR)
            return err_set(err, EIO, "it is lost: %s", strerrordesc_np(errno));
        if (atomic_load(&call->is_cancelled))
            return err_set(err, EINTR, "cancelled");
        if (running->output.is_cut)
            return err_set(err, EFBIG, "it writes more than %d bytes", CHILD_OUTPUT_MAX);
        if (machine_ms() >= deadline_ms)
            return err_set(err, ETIMEDOUT, "it does not answer within %d s",
                           child->timeout_ms / 1000);
    }
}

// It leads a session, and so a process group, of its own.
static void put_down(pid_t pid)
{
    int status;
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
}

static void log_messages(const struct running *running)
{
    if (running->messages.size == 0 || !log_is_on(LOG_LEVEL_DEBUG))
        return;
    running->messages.bytes[running->messages.size] = '\0';
    log_event(LOG_LEVEL_DEBUG, "a program wrote to its standard error", "program", running->name,
              "text", running->messages.bytes, NULL);
}

static int judge(const struct running *running, int status, struct err *err)
{
    if (WIFSIGNALED(status))
        return err_set(err, EIO, "signal %s ended it", sigabbrev_np(WTERMSIG(status)));
    if (running->output.is_cut)
        return err_set(err, EFBIG, "it writes more than %d bytes", CHILD_OUTPUT_MAX);
    return 0;
}

int child_run(const struct child *child, struct call *call, struct child_result *ret_result,
              struct err *err)
{
    char messages[MESSAGES_MAX + 1];
    struct child_result result = {.output = malloc(CHILD_OUTPUT_MAX + 1)};
    if (!result.output)
        return err_no_memory(err);
    struct running running = {
        .name = child->arguments[0],
        .output = {.fd = -1, .bytes = result.output, .room = CHILD_OUTPUT_MAX},
        .messages = {.fd = -1, .bytes = messages, .room = MESSAGES_MAX},
    };
    int status = 0;
    int r = start(child, &running, err);
    if (r == 0) {
        r = watch(&running, child, call, &status, err);
        if (r < 0)
            put_down(running.pid);
        else
            r = judge(&running, status, err);
        log_messages(&running);
    }
    if (running.output.fd >= 0)
        close(running.output.fd);
    if (running.messages.fd >= 0)
        close(running.messages.fd);
    secret_wipe(messages, sizeof(messages));
    result.output_size = running.output.size;
    result.output[result.output_size] = '\0';
    result.exit_status = WEXITSTATUS(status);
    if (r < 0) {
        child_result_done(&result);
        return err_wrap(err, "%s", running.name);
    }
    *ret_result = result;
    return 0;
}

void child_result_done(struct child_result *result)
{
    if (!result || !result->output)
        return;
    secret_wipe(result->output, result->output_size);
    free(result->output);
    *result = (struct child_result){0};
}

// ---- command lines ------------------------------------------------------------------------

static const char blanks[] = " \t\r\n";

// Copies one word to *to and answers where it ends; NULL where it does not.
static const char *split_word(const char *from, char **to)
{
    char quote = '\0';
    for (; *from && (quote || !strchr(blanks, *from)); from++) {
        if (*from == quote) {
            quote = '\0';
        } else if (!quote && (*from == '\'' || *from == '"')) {
            quote = *from;
        } else if (*from == '\\' && quote != '\'') {
            if (!from[1])
                return NULL;
            // Inside "..." it quotes only what would end that, and itself.
            if (!quote || from[1] == '"' || from[1] == '\\')
                from++;
            *(*to)++ = *from;
        } else {
            *(*to)++ = *from;
        }
    }
    *(*to)++ = '\0';
    return quote ? NULL : from;
}

int child_split(const char *line, char ***ret_words, struct err *err)
{
    size_t size = strlen(line);
    size_t words_max = size / 2 + 2; // and the NULL
    char **words = malloc(words_max * sizeof(*words) + size + words_max);
    if (!words)
        return err_no_memory(err);
    char *to = (char *)(words + words_max);
    size_t count = 0;
    const char *at = line + strspn(line, blanks);
    while (at && *at) {
        words[count++] = to;
        at = split_word(at, &to);
        if (at)
            at += strspn(at, blanks);
    }
    words[count] = NULL;
    if (at && count > 0) {
        *ret_words = words;
        return 0;
    }
    free(words);
    return err_set(err, EINVAL, at ? "it is empty" : "a quote or backslash in it has no end");
}
