// Every open for writing has an inode of its own. CREATE makes one; an OPEN comes with the inode
// that the name led to, which others may be reading: the kernel forgets the size of what is opened
// with O_TRUNC, and locks what is written. So that OPEN is answered with ESTALE, upon which the
// kernel looks the name up once more, in the same thread, and opens what it is given then.
#include "ops_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MS = 10 * 1000 }; // for a thread that was killed before it came back

struct ops_reopening {
    struct ops_reopening *next;
    struct inode *inode; // a reference
    pid_t caller;        // its thread; 0 where the kernel cannot tell
    uid_t uid;
    int64_t since_ms;
};

static bool is_of(const struct ops_reopening *reopening, const struct fuse_ctx *caller)
{
    return reopening->caller == caller->pid && reopening->uid == caller->uid;
}

static void end_all(struct ops *ops, bool (*is_over)(const struct ops_reopening *, const void *),
                    const void *context)
{
    struct ops_reopening *taken = NULL;
    pthread_mutex_lock(&ops->lock);
    for (struct ops_reopening **at = &ops->reopenings; *at;) {
        struct ops_reopening *reopening = *at;
        if (!is_over(reopening, context)) {
            at = &reopening->next;
            continue;
        }
        *at = reopening->next;
        reopening->next = taken;
        taken = reopening;
    }
    pthread_mutex_unlock(&ops->lock);
    while (taken) {
        struct ops_reopening *reopening = taken;
        taken = reopening->next;
        inode_unref(ops->inodes, reopening->inode);
        free(reopening);
    }
}

static bool is_old(const struct ops_reopening *reopening, const void *now_ms)
{
    return reopening->since_ms + KEPT_MS < *(const int64_t *)now_ms;
}

static bool has_come_back(const struct ops_reopening *reopening, const void *inode)
{
    return reopening->inode == inode;
}

static bool is_any(const struct ops_reopening *reopening, const void *context)
{
    (void)reopening;
    (void)context;
    return true;
}

int ops_send_back(fuse_req_t req, struct inode *inode)
{
    struct ops *ops = ops_of(req);
    int64_t now_ms = clock_monotonic_ms(clock_system());
    end_all(ops, is_old, &now_ms);
    struct ops_reopening *reopening = calloc(1, sizeof(*reopening));
    struct inode *own = reopening ? inode_to_write(ops->inodes, inode) : NULL;
    if (!own) {
        free(reopening);
        return ENOMEM;
    }
    reopening->inode = inode_ref(ops->inodes, own);
    inode_forget(ops->inodes, own, 1); // the kernel has not seen it yet
    reopening->caller = fuse_req_ctx(req)->pid;
    reopening->uid = fuse_req_ctx(req)->uid;
    reopening->since_ms = now_ms;
    pthread_mutex_lock(&ops->lock);
    reopening->next = ops->reopenings; // the newest first
    ops->reopenings = reopening;
    pthread_mutex_unlock(&ops->lock);
    return ESTALE;
}

struct inode *ops_look_again(fuse_req_t req, const char *directory, const char *name)
{
    struct ops *ops = ops_of(req);
    struct inode *inode = NULL;
    pthread_mutex_lock(&ops->lock);
    for (struct ops_reopening *each = ops->reopenings; each && !inode; each = each->next) {
        if (is_of(each, fuse_req_ctx(req)) && strcmp(each->inode->name, name) == 0 &&
            strcmp(each->inode->directory, directory) == 0)
            inode = inode_look_up(ops->inodes, each->inode);
    }
    pthread_mutex_unlock(&ops->lock);
    return inode;
}

void ops_has_come_back(struct ops *ops, const struct inode *inode)
{
    end_all(ops, has_come_back, inode);
}

void ops_forget_reopenings(struct ops *ops)
{
    end_all(ops, is_any, NULL);
}
