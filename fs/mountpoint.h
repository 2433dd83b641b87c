// mountpoint.h - the directory that is to be mounted on: looked at before anything else is done.
//
// Where a prereleasefs died (kill -9, out of memory), the kernel keeps its mount, and everything
// answers ENOTCONN, mounting included. Exactly such a mount is taken away: of our type, standing
// at that very path, and answering ENOTCONN to statfs. A living one, and any other program's, is
// left alone.
//
// May wait for another filesystem; so it is called while signals still end the process.
#pragma once

#include "base/err.h"

#include <stdbool.h>

#define MOUNTPOINT_SUBTYPE "prereleasefs"
#define MOUNTPOINT_TYPE "fuse." MOUNTPOINT_SUBTYPE

struct mountpoint {
    char *path;       // absolute; "/dev/fd/N" as it is: mount(8) has opened /dev/fuse and mounts
    bool was_cleared; // of a dead mount
};
void mountpoint_done(struct mountpoint *mountpoint); // accepts NULL and zeroed

// ENOENT, ENOTDIR, ENOTEMPTY, EBUSY (a living mount of ours), ENODEV (no /dev/fuse), or what kept
// a dead mount from being taken away.
int mountpoint_prepare(const char *given, struct mountpoint *ret_mountpoint, struct err *err);
