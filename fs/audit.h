// audit.h - who did what, and what became of it: one line of the log for each thing that is
// published, stored, copied, deleted, renamed or linked, or would have been, and for each hand-out
// of links.
//
//     published audit=publish outcome=published uid=1000 pid=4711 path=b/x.tar reference=... ...
//
// What stands in it, and how it is searched: docs/log.md. Written at every log_level=, in one piece
// and, but for the names in it, at the line's beginning: a long name cuts off nothing but names. No
// value is ever a link or a secret. Thread-safe.
#pragma once

#include "base/err.h"
#include "base/log.h"

#include <sys/types.h>

struct audit_who {
    uid_t uid;
    pid_t pid; // the process, or its thread where that cannot be told
};

struct audit {
    const char *act;     // publish, store, copy, delete, rename, symlink, links
    const char *outcome; // what it came to where it did not fail, such as "published"
    struct audit_who who;
    const char *path; // from the mount's root
    // What is not known, or has no meaning here, is left out: NULL.
    const char *from; // copy: the object; rename: path is the old name, and ...
    const char *to;   // ... this the new one; symlink: targets, the old and the new one
    const char *file; // publish: the reference file's name
    const char *reference;
    const char *digest;
    const char *bytes;
};

// err: NULL, or why it failed: then the outcome is "failed", or "cancelled" where somebody wanted
// it to end, and `outcome` is not looked at.
void audit_tell(enum log_level level, const char *sentence, const struct err *err,
                const struct audit *audit);
