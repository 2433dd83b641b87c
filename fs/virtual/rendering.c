#include "rendering.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// The public part first, so that a pointer to it is one to the whole.
struct counted_rendering {
    struct rendering public;
    atomic_uint references;
    char *bytes;
};

// One generated file of one directory.
struct slot {
    struct slot *next; // the one used less recently
    const struct virtual_file *file;
    char *directory;
    unsigned users; // threads in renderings_get that look at it: it stays

    struct rendering *rendering; // the last one, or NULL
    uint64_t listing_version;    // which it was made of
    int64_t fresh_until_ms;      // on the monotonic clock

    bool is_being_made;
    uint64_t attempt;        // counts the makings, from 1
    uint64_t made_attempt;   // the last that made `rendering`
    uint64_t failed_attempt; // the last that failed, why, and with which listing
    uint64_t failed_version;
    struct err failure;
};

struct renderings {
    const struct clock *clock;
    pthread_mutex_t lock; // guards everything below; nothing is made with it held
    pthread_cond_t made;
    struct slot *slots; // the most recently used first
    uint64_t last_id;
};

struct rendering *rendering_ref(struct rendering *rendering)
{
    atomic_fetch_add(&((struct counted_rendering *)rendering)->references, 1);
    return rendering;
}

void rendering_unref(struct rendering *rendering)
{
    struct counted_rendering *counted = (struct counted_rendering *)rendering;

    if (!counted || atomic_fetch_sub(&counted->references, 1) > 1)
        return;
    free(counted->bytes);
    free(counted);
}

// Takes the buffer's bytes. NULL on no memory.
static struct rendering *rendering_new(struct buf *bytes, uint64_t id, int64_t now_ms)
{
    struct counted_rendering *counted = calloc(1, sizeof(*counted));
    size_t size = bytes->size;

    if (!counted || !(counted->bytes = buf_take(bytes))) {
        free(counted);
        return NULL;
    }
    atomic_init(&counted->references, 1);
    counted->public = (struct rendering){
        .bytes = counted->bytes,
        .size = size,
        .rendered_ms = now_ms,
        .id = id,
    };
    return &counted->public;
}

int renderings_new(const struct clock *clock, struct renderings **ret_renderings, struct err *err)
{
    struct renderings *renderings = calloc(1, sizeof(*renderings));

    if (!renderings)
        return err_no_memory(err);
    renderings->clock = clock;
    pthread_mutex_init(&renderings->lock, NULL);
    call_wait_init(&renderings->made);
    *ret_renderings = renderings;
    return 0;
}

static void slot_free(struct slot *slot)
{
    rendering_unref(slot->rendering);
    free(slot->directory);
    free(slot);
}

void renderings_free(struct renderings *renderings)
{
    if (!renderings)
        return;
    while (renderings->slots) {
        struct slot *slot = renderings->slots;
        renderings->slots = slot->next;
        slot_free(slot);
    }
    pthread_cond_destroy(&renderings->made);
    pthread_mutex_destroy(&renderings->lock);
    free(renderings);
}

// ---- slots, with the lock held -----------------------------------------------------------------

// The slot, which moves to the front; made where there is none. NULL on no memory.
static struct slot *slot_get_locked(struct renderings *renderings, const char *directory,
                                    const struct virtual_file *file)
{
    struct slot **link = &renderings->slots;

    while (*link && ((*link)->file != file || strcmp((*link)->directory, directory) != 0))
        link = &(*link)->next;
    struct slot *slot = *link;
    if (slot) {
        *link = slot->next;
    } else {
        slot = calloc(1, sizeof(*slot));
        if (!slot || !(slot->directory = strdup(directory))) {
            free(slot);
            return NULL;
        }
        slot->file = file;
    }
    slot->next = renderings->slots;
    renderings->slots = slot;
    return slot;
}

// Forgets what is past the bounds, and links that are not fresh any more: those would only keep
// keys to the bucket in memory, while sums may turn out to be the same again.
static void forget_locked(struct renderings *renderings)
{
    int64_t now_ms = clock_monotonic_ms(renderings->clock);
    struct slot **link = &renderings->slots;
    size_t count = 0;
    size_t size_bytes = 0;

    while (*link) {
        struct slot *slot = *link;
        bool is_stale = slot->file->holds_links && now_ms >= slot->fresh_until_ms;
        count++;
        size_bytes += slot->rendering ? slot->rendering->size : 0;
        bool is_past = count > 1 && (count > RENDERINGS_MAX || size_bytes > RENDERINGS_BYTES);
        if (slot->users > 0 || !(is_stale || is_past)) {
            link = &slot->next;
            continue;
        }
        count--;
        size_bytes -= slot->rendering ? slot->rendering->size : 0;
        *link = slot->next;
        slot_free(slot);
    }
}

void renderings_sweep(struct renderings *renderings)
{
    pthread_mutex_lock(&renderings->lock);
    forget_locked(renderings);
    pthread_mutex_unlock(&renderings->lock);
}

// ---- making ------------------------------------------------------------------------------------

// What was made goes into the slot; the same bytes as before stay the same rendering.
static int keep_locked(struct renderings *renderings, struct slot *slot,
                       const struct rendering_wanted *wanted, struct buf *bytes, int64_t reuse_ms,
                       struct err *err)
{
    const struct rendering *before = slot->rendering;

    if (!before || before->size != bytes->size ||
        memcmp(before->bytes, buf_text(bytes), bytes->size) != 0) {
        struct rendering *rendering =
            rendering_new(bytes, ++renderings->last_id, clock_now_ms(renderings->clock));
        if (!rendering)
            return err_no_memory(err);
        rendering_unref(slot->rendering);
        slot->rendering = rendering;
    }
    slot->listing_version = wanted->listing_version;
    slot->fresh_until_ms = clock_monotonic_ms(renderings->clock) + reuse_ms;
    return 0;
}

// Called and left with the lock held; lets go of it meanwhile.
static int make_locked(struct renderings *renderings, struct slot *slot, struct call *call,
                       const struct rendering_wanted *wanted, struct err *err)
{
    auto_buf struct buf bytes = BUF_INIT(wanted->limit_bytes);
    int64_t reuse_ms = 0;

    slot->is_being_made = true;
    slot->attempt++;
    pthread_mutex_unlock(&renderings->lock);
    int error = wanted->make(wanted->context, call, &bytes, &reuse_ms, err);
    pthread_mutex_lock(&renderings->lock);
    if (error == 0)
        error = keep_locked(renderings, slot, wanted, &bytes, reuse_ms, err);
    slot->is_being_made = false;
    if (error == 0) {
        slot->made_attempt = slot->attempt;
    } else {
        slot->failed_attempt = slot->attempt;
        slot->failed_version = wanted->listing_version;
        slot->failure = *err;
    }
    pthread_cond_broadcast(&renderings->made);
    return error;
}

// Waits for the making that is under way. 0: its outcome is another's, look again. 1: the
// rendering will do, since it was made of this listing or a newer one: in a directory that changes
// all the time those who wait would else make one after the other. -errno: its error, or -EINTR.
static int wait_locked(struct renderings *renderings, struct slot *slot, struct call *call,
                       const struct rendering_wanted *wanted, struct err *err)
{
    uint64_t attempt = slot->attempt;

    while (slot->is_being_made && slot->attempt == attempt) {
        if (!call_wait(call, &renderings->made, &renderings->lock))
            return err_set(err, EINTR, "reading %s was cancelled", wanted->file->name);
    }
    if (slot->made_attempt >= attempt)
        return slot->listing_version >= wanted->listing_version ? 1 : 0;
    if (slot->failed_version != wanted->listing_version || slot->failure.errnum == EINTR)
        return 0;
    *err = slot->failure;
    return -err->errnum;
}

int renderings_get(struct renderings *renderings, struct call *call,
                   const struct rendering_wanted *wanted, struct rendering **ret_rendering,
                   struct err *err)
{
    bool is_done = false;
    int error = 0;

    pthread_mutex_lock(&renderings->lock);
    struct slot *slot = slot_get_locked(renderings, wanted->directory, wanted->file);
    if (!slot) {
        pthread_mutex_unlock(&renderings->lock);
        return err_no_memory(err);
    }
    slot->users++;
    while (error == 0 && !is_done) {
        bool is_fresh = slot->rendering && slot->listing_version == wanted->listing_version &&
                        clock_monotonic_ms(renderings->clock) < slot->fresh_until_ms;
        if (is_fresh) {
            is_done = true;
        } else if (slot->is_being_made) {
            int outcome = wait_locked(renderings, slot, call, wanted, err);
            is_done = outcome > 0;
            error = outcome < 0 ? outcome : 0;
        } else {
            // One's own is taken also where it may not be reused.
            error = make_locked(renderings, slot, call, wanted, err);
            is_done = error == 0;
        }
    }
    if (is_done)
        *ret_rendering = rendering_ref(slot->rendering);
    slot->users--;
    forget_locked(renderings);
    pthread_mutex_unlock(&renderings->lock);
    return error;
}
