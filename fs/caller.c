#include "caller.h"

#include "base/scope.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_SIZE_MAX = 8 * 1024 }; // of /proc/TID/status, some 1,500 bytes

// The mask of signals in a line such as "SigPnd:\t0000000000000002" of proc(5).
static bool take_mask(const char *status, const char *name, uint64_t *ret_mask)
{
    const char *line = strstr(status, name);
    if (!line)
        return false;
    *ret_mask = strtoull(line + strlen(name), NULL, 16);
    return true;
}

static uint64_t mask_of(int signal_number)
{
    return UINT64_C(1) << (signal_number - 1);
}

bool caller_wants_out(pid_t thread_id)
{
    char path[64], status[STATUS_SIZE_MAX];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)thread_id);
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);
    if (size <= 0)
        return true;
    status[size] = '\0';
    uint64_t own, shared, blocked;
    if (!take_mask(status, "\nSigPnd:", &own) || !take_mask(status, "\nShdPnd:", &shared) ||
        !take_mask(status, "\nSigBlk:", &blocked))
        return true;
    uint64_t in_passing = mask_of(SIGCHLD) | mask_of(SIGCONT) | mask_of(SIGURG) | mask_of(SIGWINCH);
    return ((own | shared) & ~blocked & ~in_passing) != 0;
}
