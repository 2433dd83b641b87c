#include "caller.h"

#include "base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 8 * 1024 }; // of /proc/TID/status, some 1,500 bytes

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

// A file of /proc/TID, whole; false where it cannot be read.
static bool read_file(pid_t thread_id, const char *name, char text[FILE_SIZE_MAX])
{
    char path[64 + NAME_MAX];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)thread_id, name);
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, FILE_SIZE_MAX - 1);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

bool caller_wants_out(pid_t thread_id)
{
    char status[FILE_SIZE_MAX];
    uint64_t own, shared, blocked;
    if (!read_file(thread_id, "status", status) || !take_mask(status, "\nSigPnd:", &own) ||
        !take_mask(status, "\nShdPnd:", &shared) || !take_mask(status, "\nSigBlk:", &blocked))
        return true;
    uint64_t in_passing = mask_of(SIGCHLD) | mask_of(SIGCONT) | mask_of(SIGURG) | mask_of(SIGWINCH);
    return ((own | shared) & ~blocked & ~in_passing) != 0;
}

pid_t caller_process(pid_t thread_id)
{
    char status[FILE_SIZE_MAX];
    const char *line = read_file(thread_id, "status", status) ? strstr(status, "\nTgid:") : NULL;
    return line ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

// The blank-separated field of /proc/TID/stat, counted as proc(5) does; the second may hold blanks.
static const char *stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < number; field++)
        at = strchr(at + 1, ' ');
    return at;
}

// ptrace(2)'s "access mode checking", of which this link asks what /proc/TID/stat does.
bool caller_may_be_seen(pid_t thread_id)
{
    char path[64], target[1];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)thread_id);
    return readlink(path, target, sizeof(target)) >= 0 || errno != EACCES;
}

bool caller_was_killed(pid_t thread_id)
{
    enum { FLAGS = 9, EXIT_CODE = 52, SIGNAL_MASK = 0x7F };
    enum { PF_EXITING = 0x4, PF_SIGNALED = 0x400 }; // the kernel's, in the flags
    char stat[FILE_SIZE_MAX];
    if (!read_file(thread_id, "stat", stat))
        return false;
    const char *flags = stat_field(stat, FLAGS);
    const char *exit_code = stat_field(stat, EXIT_CODE);
    unsigned long bits = flags ? strtoul(flags, NULL, 10) : 0;
    if (!exit_code || !(bits & PF_EXITING))
        return false;
    if (strtol(exit_code, NULL, 10) & SIGNAL_MASK)
        return true;
    // The exit code is shown as 0 to whom the kernel would not let trace it. The bit is of the
    // thread: exit(3) in one thread sets it in all others, too.
    return (bits & PF_SIGNALED) && !caller_may_be_seen(thread_id);
}

// "flags:\t0100001\n" (octal) and "ino:\t..." of /proc/TID/fdinfo/N.
static bool is_open_for_writing(const char *info, uint64_t inode_number)
{
    const char *flags = strstr(info, "flags:");
    const char *number = strstr(info, "\nino:");
    return flags && number && strtoull(number + strlen("\nino:"), NULL, 10) == inode_number &&
           (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

bool caller_has_open(pid_t thread_id, uint64_t inode_number)
{
    char name[300], info[FILE_SIZE_MAX];
    snprintf(name, sizeof(name), "/proc/%d/fdinfo", (int)thread_id);
    DIR *descriptors = opendir(name);
    bool has_open = false;
    const struct dirent *entry;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream
    while (descriptors && !has_open && (entry = readdir(descriptors))) {
        snprintf(name, sizeof(name), "fdinfo/%s", entry->d_name);
        has_open = entry->d_name[0] != '.' && read_file(thread_id, name, info) &&
                   is_open_for_writing(info, inode_number);
    }
    if (descriptors)
        closedir(descriptors);
    return has_open;
}

bool caller_anybody_has_open(uint64_t inode_number)
{
    DIR *processes = opendir("/proc");
    bool has_open = false;
    const struct dirent *entry;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream
    while (processes && !has_open && (entry = readdir(processes))) {
        pid_t process = (pid_t)strtol(entry->d_name, NULL, 10);
        has_open = process > 0 && caller_has_open(process, inode_number);
    }
    if (processes)
        closedir(processes);
    return has_open;
}
