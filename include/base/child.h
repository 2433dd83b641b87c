// child.h - runs another program and waits for it, for so long and no longer.
//
// No shell: the program gets its arguments as they are, a few bytes on its standard input (or
// none), this process's environment, no other open file, and a session of its own, so that it has
// no terminal to ask on. What it writes to its standard output comes back; what it writes to its
// standard error is logged at the debug level and goes nowhere else. When its time is up it is
// killed with all that it started. Thread-safe; blocks the caller.
#pragma once

#include "base/call.h"
#include "base/err.h"

#include <stddef.h>

enum {
    CHILD_INPUT_MAX = 4096, // bytes; a pipe holds them, so nobody waits for the program to read
    CHILD_OUTPUT_MAX = 64 * 1024, // bytes of its standard output
};

struct child {
    const char *const *arguments; // NULL-terminated; the first one is looked for in PATH
    const char *input;            // or NULL
    const char *directory;        // it runs in; NULL: this process's
    int timeout_ms;
};

struct child_result {
    char *output; // NUL-terminated; it may hold secrets
    size_t output_size;
    int exit_status;
};

// 0 when the program ended by itself, whatever its status. Errors: ENOENT (there is no such
// program), EACCES and what else execve says, ETIMEDOUT, EINTR (call cancelled), EFBIG (it writes
// too much), EIO (a signal ended it). The sentences begin with the program's name.
int child_run(const struct child *child, struct call *call, struct child_result *ret_result,
              struct err *err);
void child_result_done(struct child_result *result); // wipes; accepts NULL and zeroed
static inline void child_result_scope(struct child_result *result)
{
    child_result_done(result);
}
#define auto_child_result __attribute__((cleanup(child_result_scope)))

// Splits a command line into words as a POSIX shell does ('...', "...", backslash; what Python's
// shlex.split and so botocore take), and does nothing else a shell does. NULL-terminated; one
// free() for all. EINVAL for an open quote, a backslash at the end, or no word at all.
int child_split(const char *line, char ***ret_words, struct err *err);
