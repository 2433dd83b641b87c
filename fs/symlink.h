// symlink.h - symbolic links, as a listing and a path see them; pure.
//
// The link NAME is the object NAME.rclonelink, whose bytes are the target and nothing else: so one
// listing tells a link from a file, one put makes or switches it, and rclone (--links) takes and
// makes the same objects. A target leads from the link's own directory to somewhere in the mount:
// it is relative, and ".." stands at its beginning alone and no more often than the directory is
// deep. Then no link leads out of the mount, whatever other links it passes, and every host finds
// the same there. See docs/decisions/channels.md.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYMLINK_SUFFIX ".rclonelink"
enum { SYMLINK_TARGET_MAX = 4095 }; // bytes: what symlink(2) takes

// How long the link's name is in that of an object of its directory; 0: the object is a file. One
// that is too large or too small for a target is a file, whatever its name.
size_t symlink_name_size(const char *object_name, uint64_t size_bytes);
// Whether the name ends as objects of links do, and so cannot be given to a file.
bool symlink_is_object_name(const char *name);

// EXDEV where the target leads out of the mount, or may do so; with what to write instead.
int symlink_check_target(const char *directory, const char *target, struct err *err);
