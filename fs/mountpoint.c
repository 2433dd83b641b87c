#include "mountpoint.h"

#include "base/scope.h"
#include "mount_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEAD_MOUNTS_MAX = 16 }; // one upon another, each of a program that died

void mountpoint_done(struct mountpoint *mountpoint)
{
    if (!mountpoint)
        return;
    free(mountpoint->path);
    *mountpoint = (struct mountpoint){0};
}

// ---- what died there ---------------------------------------------------------------------------

// Root unmounts by itself. Anybody else asks fusermount3, which lets a user unmount what that user
// has mounted.
static int take_away(const char *path, struct err *err)
{
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return 0;
    int error = errno;
    const char *const argv[] = {"fusermount3", "-u", "-z", "-q", "--", path, NULL};
    pid_t child;
    int status = -1;
    if (posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)argv, environ) == 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    if (status == 0)
        return 0;
    return err_set(err, error,
                   "on %s stands a mount whose program has died, and it cannot be taken away: %s; "
                   "try fusermount3 -uz %s",
                   path, strerrordesc_np(error), path);
}

static int refuse_path(const char *given, struct err *err)
{
    if (errno == ENOENT)
        return err_set(err, errno, "the mountpoint %s is not there: make it (mkdir -p %s)", given,
                       given);
    return err_set(err, errno, "the mountpoint %s cannot be used: %s", given,
                   strerrordesc_np(errno));
}

enum standing { NOTHING_OF_OURS, AUTOMOUNT, ALIVE, DEAD };

// What stands at the path. *ret_mounted is filled in where something does.
static int look(const char *given, enum standing *ret_standing, struct mounted *ret_mounted,
                struct err *err)
{
    auto_fd int fd = open(given, O_PATH | O_CLOEXEC); // asks nobody, and triggers no automount
    if (fd < 0)
        return refuse_path(given, err);
    char link[40];
    char path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size < 0 ? 0 : size] = '\0';
    *ret_standing = NOTHING_OF_OURS;
    if (mount_table_find(fd, ret_mounted) < 0 || strcmp(ret_mounted->path, path) != 0)
        return 0;
    struct statfs space; // never answered from the kernel's memory, as stat may be
    if (strcmp(ret_mounted->type, "autofs") == 0)
        *ret_standing = AUTOMOUNT;
    else if (strcmp(ret_mounted->type, MOUNTPOINT_TYPE) == 0)
        *ret_standing = statfs(given, &space) < 0 && errno == ENOTCONN ? DEAD : ALIVE;
    return 0;
}

// Leaves nothing at the path that would keep us from mounting there. *ret_is_automount: systemd or
// the automounter waits for us there, and a look inside would wait for ourselves.
static int clear(const char *given, struct mountpoint *mountpoint, bool *ret_is_automount,
                 struct err *err)
{
    for (int count = 0; count < DEAD_MOUNTS_MAX; count++) {
        struct mounted mounted = {0};
        enum standing standing = NOTHING_OF_OURS;
        int error = look(given, &standing, &mounted, err);
        *ret_is_automount = standing == AUTOMOUNT;
        if (error == 0 && standing == DEAD)
            error = take_away(mounted.path, err);
        else if (error == 0 && standing == ALIVE)
            error = err_set(err, EBUSY,
                            "on %s stands a mount of %s already; unmount it first (fusermount3 -u "
                            "%s), or mount elsewhere",
                            given, mounted.source, given);
        mounted_done(&mounted);
        if (error < 0 || standing != DEAD)
            return error;
        mountpoint->was_cleared = true;
    }
    return err_set(err, EBUSY, "on %s stands one dead mount upon another; remove them (umount -l)",
                   given);
}

// ---- the directory -----------------------------------------------------------------------------

static bool is_empty_directory(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return true; // it cannot be known
    int count = 0;
    while (count <= 2 && readdir(directory)) // NOLINT(concurrency-mt-unsafe): a DIR of our own
        count++;
    closedir(directory);
    return count <= 2; // "." and ".."
}

static int check_directory(const char *given, struct mountpoint *mountpoint, bool is_automount,
                           struct err *err)
{
    struct stat attr;
    mountpoint->path = realpath(given, NULL);
    bool is_there = mountpoint->path && stat(mountpoint->path, &attr) == 0;
    if (!is_there && errno == ENOTCONN)
        return err_set(err, ENOTCONN,
                       "on %s stands another program's mount, and that program has died; remove "
                       "it with fusermount3 -uz %s",
                       given, given);
    if (!is_there)
        return refuse_path(given, err);
    if (!S_ISDIR(attr.st_mode))
        return err_set(err, ENOTDIR, "the mountpoint %s is no directory: name an empty one", given);
    if (!is_automount && !is_empty_directory(mountpoint->path))
        return err_set(err, ENOTEMPTY,
                       "the mountpoint %s is not empty, and its files would be hidden: mount on "
                       "an empty directory",
                       given);
    if (access("/dev/fuse", F_OK) < 0)
        return err_set(err, ENODEV,
                       "there is no /dev/fuse: load the kernel's module (modprobe fuse), or give "
                       "the container the device");
    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return err_set(err, errno,
                       "this user may not open /dev/fuse (%s): mount as root, or let the user "
                       "read and write it",
                       strerrordesc_np(errno));
    return 0;
}

int mountpoint_prepare(const char *given, struct mountpoint *ret_mountpoint, struct err *err)
{
    struct mountpoint mountpoint = {0};
    bool is_automount = false;
    int error = 0;
    if (strncmp(given, "/dev/fd/", strlen("/dev/fd/")) == 0) {
        mountpoint.path = strdup(given);
        error = mountpoint.path ? 0 : err_no_memory(err);
    } else {
        error = clear(given, &mountpoint, &is_automount, err);
        if (error == 0)
            error = check_directory(given, &mountpoint, is_automount, err);
    }
    if (error < 0) {
        mountpoint_done(&mountpoint);
        return error;
    }
    *ret_mountpoint = mountpoint;
    return 0;
}
