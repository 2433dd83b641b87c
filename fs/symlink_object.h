// symlink_object.h - symbolic links in the store: made, read, switched, renamed, removed.
//
// A switch is one put over the object of the link (symlink.h): whoever looks finds the old target
// or the new one, never nothing, and of two who switch at once the last one counts. A link is no
// published file, so it may be replaced by another link without `overwrite`; under releases/ it may
// not, like everything else there.
#pragma once

#include "audit.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/err.h"
#include "publish/store_place.h"

#include <stdbool.h>

// malloc'ed; NULL on no memory.
char *symlink_key(const struct tree *tree, const char *directory, const char *name);

struct symlink_place {
    const char *directory;
    const char *name; // the link's, without the suffix
};

// EEXIST where a link of that name is there by now; EXDEV as symlink_check_target. It is the
// process's own scratch (scratch.h): ln -sf makes one under a passing name, and renames it.
int symlink_make(struct store_place *place, struct call *call, const struct symlink_place *link,
                 const char *target, struct audit_who who, char ret_etag[S3_ETAG_SIZE],
                 struct err *err);

// The target as it is now, and of which version; checked: EXDEV for one that leads out of the
// mount, EIO for bytes that are no target, ENOENT where the link is gone.
int symlink_read(struct store_place *place, struct call *call, const struct symlink_place *link,
                 struct buf *ret_target, char ret_etag[S3_ETAG_SIZE], struct err *err);

struct symlink_move {
    struct symlink_place from;
    struct symlink_place to;
    const char *etag;  // of the link that is moved, as it was listed
    bool is_there;     // a link bears the new name already, as it was listed
    bool is_exclusive; // whatever bears the new name stays
    struct audit_who who;
};
struct symlink_moved { // for the audit; free both. NULL: not known, or there was none
    char *target;
    char *replaced; // what the new name led to before
};
// The link under the new name; the old one is removed. EEXIST where a link that may not be replaced
// (is_exclusive, releases/) leads elsewhere.
int symlink_move(struct store_place *place, struct call *call, const struct symlink_move *move,
                 struct symlink_moved *ret_moved, struct err *err);
void symlink_moved_done(struct symlink_moved *moved);
