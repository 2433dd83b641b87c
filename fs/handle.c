#include "handle.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LIVE_LIMIT = 64 * 1024 * 1024 }; // bytes of a live file; STATUS_ROWS_MAX rows are far below

struct handles {
    struct inodes *inodes;
    pthread_mutex_t lock; // guards the list, and every handle's in_table
    struct handle *first;
};

int handles_new(struct inodes *inodes, struct handles **ret_handles, struct err *err)
{
    struct handles *handles = calloc(1, sizeof(*handles));
    if (!handles)
        return err_no_memory(err);
    handles->inodes = inodes;
    pthread_mutex_init(&handles->lock, NULL);
    *ret_handles = handles;
    return 0;
}

static void close_handle(struct handles *handles, struct handle *handle, bool is_abandoned)
{
    reader_close(handle->reader);
    if (handle->writing.writer)
        writer_release(handle->writing.writer, is_abandoned);
    pthread_mutex_destroy(&handle->writing.lock);
    rendering_unref(handle->rendering);
    buf_done(&handle->live);
    tree_listing_unref(handle->listing);
    free(handle->files);
    inode_unref(handles->inodes, handle->inode);
    free(handle);
}

void handles_free(struct handles *handles)
{
    if (!handles)
        return;
    for (struct handle *handle = handles->first, *next; handle; handle = next) {
        next = handle->in_table.next;
        close_handle(handles, handle, true);
    }
    pthread_mutex_destroy(&handles->lock);
    free(handles);
}

bool handles_has_generated(struct handles *handles, const char *elsewhere, const char *name,
                           pid_t process)
{
    pthread_mutex_lock(&handles->lock);
    const struct handle *handle = handles->first;
    while (handle && !((handle->kind == HANDLE_RENDERING || handle->kind == HANDLE_LIVE) &&
                       atomic_load(&handle->reader_process) == process &&
                       strcmp(handle->inode->name, name) == 0 &&
                       strcmp(handle->inode->directory, elsewhere) != 0))
        handle = handle->in_table.next;
    pthread_mutex_unlock(&handles->lock);
    return handle != NULL;
}

bool handles_has_writers(struct handles *handles)
{
    pthread_mutex_lock(&handles->lock);
    const struct handle *handle = handles->first;
    while (handle && handle->kind != HANDLE_WRITER)
        handle = handle->in_table.next;
    pthread_mutex_unlock(&handles->lock);
    return handle != NULL;
}

bool handles_has_closed_empty(struct handles *handles, const char *directory, const char *name,
                              int64_t since_ms)
{
    pthread_mutex_lock(&handles->lock);
    const struct handle *handle = handles->first;
    while (handle && (handle->kind != HANDLE_WRITER ||
                      atomic_load(&handle->writing.closed_empty_ms) <= since_ms ||
                      !atomic_load(&handle->writing.closed_empty_ms) ||
                      (name && strcmp(handle->inode->name, name) != 0) ||
                      strcmp(handle->inode->directory, directory) != 0))
        handle = handle->in_table.next;
    pthread_mutex_unlock(&handles->lock);
    return handle != NULL;
}

struct handle *handle_new(struct handles *handles, enum handle_kind kind, struct inode *inode)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return NULL;
    handle->kind = kind;
    handle->inode = inode_ref(handles->inodes, inode);
    buf_init(&handle->live, LIVE_LIMIT);
    pthread_mutex_init(&handle->writing.lock, NULL);

    pthread_mutex_lock(&handles->lock);
    handle->in_table.references = 1;
    handle->in_table.next = handles->first;
    handle->in_table.at = &handles->first;
    if (handles->first)
        handles->first->in_table.at = &handle->in_table.next;
    handles->first = handle;
    pthread_mutex_unlock(&handles->lock);
    return handle;
}

struct handle *handle_ref(struct handles *handles, struct handle *handle)
{
    pthread_mutex_lock(&handles->lock);
    handle->in_table.references++;
    pthread_mutex_unlock(&handles->lock);
    return handle;
}

void handle_unref(struct handles *handles, struct handle *handle)
{
    if (!handle)
        return;
    pthread_mutex_lock(&handles->lock);
    bool is_last = --handle->in_table.references == 0;
    if (is_last) {
        *handle->in_table.at = handle->in_table.next;
        if (handle->in_table.next)
            handle->in_table.next->in_table.at = handle->in_table.at;
    }
    pthread_mutex_unlock(&handles->lock);
    if (is_last)
        close_handle(handles, handle, false);
}
