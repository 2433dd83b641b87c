// small_copy.h - a small file under another name, by reading and putting it: what a rename can do
// while the kernel keeps both directories locked, for programs that save by rename and know no
// other way (sed -i, git, Python's os.replace).
#pragma once

#include "audit.h"
#include "base/call.h"
#include "base/err.h"
#include "publish/store_place.h"

#include <stdbool.h>
#include <stdint.h>

enum { SMALL_COPY_MAX = 1024 * 1024 }; // bytes

struct small_copy {
    const char *key;
    const char *etag; // of the version that was listed
    uint64_t size_bytes;
    const char *new_directory;
    const char *new_name;
    struct audit_who who;
    bool may_replace;
};
// With content type, metadata and record; a process's own scratch file stays that. EXDEV where it
// is too large, or an image: cp and mv copy those inside the store (copy/copy.h). EEXIST where
// something bears the new name; ESTALE where the file is another by now.
int small_copy(struct store_place *place, struct call *call, const struct small_copy *copy,
               struct err *err);
