// scratch.h - files that a process has made for itself: it may take them back, or give them another
// name, as long as it runs, also without allow_delete.
//
// Programs that save by rename (sed -i, rsync, git) write under a passing name first, which must
// not stay behind for good. They make that file exclusively (O_EXCL) and, as mkstemp(3) does, to be
// read as well; or they leave it empty (a lock, a probe). What cp, tee or a shell writes is
// nobody's scratch.
//
// Bounded: the oldest are forgotten. Thread-safe.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct scratch;
int scratch_new(struct scratch **ret_scratch, struct err *err);
void scratch_free(struct scratch *scratch); // accepts NULL

// That process has made this version of an object. Where no more can be told of the process than
// its number, or on no memory, the file is nobody's.
void scratch_add(struct scratch *scratch, pid_t process, const char *key, const char *etag);
bool scratch_is_made_by(struct scratch *scratch, pid_t process, const char *key, const char *etag);
