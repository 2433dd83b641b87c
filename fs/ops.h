// ops.h - the FUSE operations: each parses a request, calls one room, and replies exactly once.
//
// With mount.h the only user of libfuse. The table of operations stands at the end of ops.c;
// what concerns directories is in ops_directory.c, open files in ops_file.c, writing in
// ops_write.c. Operations that ask the store block one of the session's threads and end early
// when they are interrupted; a write that publishes holds no thread: its request is parked, and
// answered by whoever ends the publish.
#pragma once

#include "base/err.h"
#include "service.h"

#include <fuse_lowlevel.h>

struct ops;

// on_ready is called once, by one of the session's threads, when the kernel is being told that the
// mount can be used: from there on every request is answered.
int ops_new(struct service *service, void (*on_ready)(void *context), void *context,
            struct ops **ret_ops, struct err *err);
// No request may be under way any more. Closes what is still open. Accepts NULL.
void ops_free(struct ops *ops);

// For fuse_session_new, whose userdata is the struct ops.
extern const struct fuse_lowlevel_ops ops_table;

// Cancels what blocks, with EINTR, and what publishes, with ESHUTDOWN; what is asked
// for later too. Returns when every parked request has been answered, within seconds.
void ops_stop(struct ops *ops);
// For a moment, while the session is still served: whoever was answered just now is about to close
// its file, and a mount that is gone would make that fail.
void ops_wait_for_closes(struct ops *ops);
