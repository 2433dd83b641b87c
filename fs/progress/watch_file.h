// watch_file.h - one reading (watch.h) of a status.tsv as it stands in a mount.
#pragma once

#include "base/err.h"
#include "watch.h"

// The file `path`, from the directory at_fd on. ENOENT where nothing was published there since it
// was mounted; EINVAL: it is no status.tsv.
int watch_file_read(struct watch *watch, int at_fd, const char *path, struct err *err);
