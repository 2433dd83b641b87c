// mount.h - one mount from beginning to end: into the background, signals, session, loop, unmount.
//
// With ops.h the only user of libfuse.
#pragma once

#include "options.h"

enum {
    // Threads of the session at most; they are made as they are needed. Listings and reads block
    // theirs, and interrupts need one too: so there are many.
    MOUNT_THREADS_MAX = 128,
};

// Mounts, serves until unmounted or told to end (SIGTERM, SIGINT, SIGHUP), cleans up. Without -f
// the calling process returns as soon as the mount is ready, or has failed, and a child serves;
// no thread may have been started before. What keeps it from mounting is printed as one line on
// stderr. Returns the exit status.
int mount_run(const struct options *options);
