// rendering.h - the renderings of one mount: made once for all who wait for one, reused while
// they are fresh, and bounded in memory. Knows nothing of what is in them.
#pragma once

#include "virtual.h"

#include "base/buf.h"
#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"

enum {
    RENDERINGS_MAX = 1024,               // kept for reuse; whoever has one open keeps it anyway
    RENDERINGS_BYTES = 16 * 1024 * 1024, // likewise; the newest is kept whatever its size
};

struct renderings;
int renderings_new(const struct clock *clock, struct renderings **ret_renderings, struct err *err);
void renderings_free(struct renderings *renderings); // nothing may be asked for any more

// Forgets links that are not fresh any more, as every renderings_get does.
void renderings_sweep(struct renderings *renderings);

struct rendering_wanted {
    const struct virtual_file *file;
    const char *directory;
    uint64_t listing_version; // a newer listing's is larger
    // Makes the bytes, without a lock held. *ret_reuse_ms: how long they may be handed out again,
    // as long as the listing's version stays; 0 for not at all.
    int (*make)(void *context, struct call *call, struct buf *ret_bytes, int64_t *ret_reuse_ms,
                struct err *err);
    void *context;
    size_t limit_bytes;
};
// A fresh rendering, or the one that another thread is just making; its error, if it fails, is
// that of all who waited for it, except when only its own call was cancelled.
int renderings_get(struct renderings *renderings, struct call *call,
                   const struct rendering_wanted *wanted, struct rendering **ret_rendering,
                   struct err *err);
