// intent_store.h - a store of intents and uploads, in place of the S3 room. Include once, after
// test.h.
#pragma once

#include "base/buf.h"
#include "base/scope.h"
#include "fs/publish/intent.h"
#include "s3.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { STORE_MAX = 64 };

struct store_object {
    char key[256];
    int64_t modified_ms;
    struct buf bytes;
};

struct store_upload {
    char key[256];
    char id[32];
    int64_t initiated_ms;
};

static struct {
    pthread_mutex_t lock;
    struct store_object objects[STORE_MAX];
    size_t object_count;
    struct store_upload uploads[STORE_MAX];
    size_t upload_count;
    size_t requests;
    int64_t now_ms; // LastModified of what is put
    int page_keys;  // entries of a listing's page; 0: as many as asked for
    // Each answers this errno where it is not 0.
    int list_error, get_error, put_error, delete_error, uploads_error, abort_error;
    const char *error_key;       // and where this is set, to requests on keys that begin so alone
    int http_status;             // of these answers
    void (*after_uploads)(void); // called when uploads have been listed
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline int store_begin(int error, const char *key, const char *action, struct err *err)
{
    pthread_mutex_lock(&store.lock);
    store.requests++;
    if (error == 0 || (store.error_key && strncmp(key, store.error_key, strlen(store.error_key))))
        return 0;
    pthread_mutex_unlock(&store.lock);
    err_set(err, error, "S3 refuses %s on %s", action, key);
    err->http_status = store.http_status;
    return -error;
}

static inline int store_end(int result)
{
    pthread_mutex_unlock(&store.lock);
    return result;
}

static inline struct store_object *store_find(const char *key)
{
    for (size_t i = 0; i < store.object_count; i++)
        if (strcmp(store.objects[i].key, key) == 0)
            return &store.objects[i];
    return NULL;
}

static inline void store_add(const char *key, int64_t modified_ms, const char *bytes, size_t size)
{
    struct store_object *object = store_find(key);
    if (!object)
        object = &store.objects[store.object_count++];
    snprintf(object->key, sizeof(object->key), "%s", key);
    object->modified_ms = modified_ms;
    buf_done(&object->bytes);
    buf_init(&object->bytes, 2 * INTENT_LIMIT);
    buf_append(&object->bytes, bytes, size);
}

static inline void store_begin_upload(const char *key, const char *id, int64_t initiated_ms)
{
    struct store_upload *upload = &store.uploads[store.upload_count++];
    snprintf(upload->key, sizeof(upload->key), "%s", key);
    snprintf(upload->id, sizeof(upload->id), "%s", id);
    upload->initiated_ms = initiated_ms;
}

static inline bool store_has_upload(const char *id)
{
    for (size_t i = 0; i < store.upload_count; i++)
        if (strcmp(store.uploads[i].id, id) == 0)
            return true;
    return false;
}

static inline int store_clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < store.object_count; i++)
        buf_done(&store.objects[i].bytes);
    memset(&store, 0, sizeof(store));
    pthread_mutex_init(&store.lock, NULL);
    return 0;
}

// ---- the door ----------------------------------------------------------------------------------

static int compare_objects(const void *a, const void *b)
{
    return strcmp(((const struct store_object *)a)->key, ((const struct store_object *)b)->key);
}

int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    (void)client;
    (void)call;
    assert_true(!delimiter && !start_after && max_keys > 0);
    if (store_begin(store.list_error, prefix, "s3:ListBucket", err) < 0)
        return -err->errnum;
    qsort(store.objects, store.object_count, sizeof(store.objects[0]), compare_objects);
    static _Thread_local struct s3_object_info objects[STORE_MAX]; // one page at a time
    struct s3_page page = {.objects = objects};
    size_t limit = store.page_keys ? (size_t)store.page_keys : (size_t)max_keys;
    for (size_t i = 0; i < store.object_count; i++) {
        const struct store_object *object = &store.objects[i];
        if (strncmp(object->key, prefix, strlen(prefix)) != 0 ||
            (token && strcmp(object->key, token) <= 0))
            continue;
        if (page.object_count == limit) {
            page.next_token = strdup(page.objects[limit - 1].key);
            break;
        }
        page.objects[page.object_count++] = (struct s3_object_info){
            .key = object->key,
            .size_bytes = object->bytes.size,
            .modified_ms = object->modified_ms,
            .etag = "\"e\"",
            .storage_class = "STANDARD",
        };
    }
    *ret_page = page;
    return store_end(0);
}

void s3_page_done(struct s3_page *page)
{
    free(page->next_token);
    *page = (struct s3_page){0};
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)ret_etag;
    if (store_begin(store.get_error, key, "s3:GetObject", err) < 0)
        return -err->errnum;
    const struct store_object *object = store_find(key);
    if (!object)
        return store_end(err_set(err, ENOENT, "no such key"));
    if (object->bytes.size > limit_bytes)
        return store_end(err_set(err, EFBIG, "too large"));
    if (object->bytes.size > 0 &&
        buf_append(ret_bytes, object->bytes.bytes, object->bytes.size) < 0)
        return store_end(err_no_memory(err));
    return store_end(0);
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)ret_etag;
    if (store_begin(store.put_error, put->key, "s3:PutObject", err) < 0)
        return -err->errnum;
    assert_int_equal(put->body_count, 1);
    store_add(put->key, store.now_ms, put->body->bytes, put->body->size);
    return store_end(0);
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client;
    (void)call;
    if (store_begin(store.delete_error, key, "s3:DeleteObject", err) < 0)
        return -err->errnum;
    struct store_object *object = store_find(key);
    if (object) {
        buf_done(&object->bytes);
        *object = store.objects[--store.object_count];
    }
    return store_end(0);
}

int s3_multipart_list(struct s3_client *client, struct call *call, const char *prefix,
                      int (*on_upload)(void *context, const struct s3_upload *upload,
                                       int64_t initiated_ms),
                      void *context, struct err *err)
{
    (void)client;
    (void)call;
    if (store_begin(store.uploads_error, prefix, "s3:ListBucketMultipartUploads", err) < 0)
        return -err->errnum;
    int error = 0;
    for (size_t i = 0; error == 0 && i < store.upload_count; i++) {
        struct s3_upload upload = {0};
        snprintf(upload.key, sizeof(upload.key), "%s", store.uploads[i].key);
        snprintf(upload.id, sizeof(upload.id), "%s", store.uploads[i].id);
        if (strncmp(upload.key, prefix, strlen(prefix)) == 0)
            error = on_upload(context, &upload, store.uploads[i].initiated_ms);
    }
    if (store.after_uploads)
        store.after_uploads();
    return store_end(error < 0 ? err_set(err, -error, "given up") : 0);
}

int s3_multipart_abort(struct s3_client *client, struct call *call, const struct s3_upload *upload,
                       struct err *err)
{
    (void)client;
    (void)call;
    if (store_begin(store.abort_error, upload->key, "s3:AbortMultipartUpload", err) < 0)
        return -err->errnum;
    for (size_t i = 0; i < store.upload_count; i++)
        if (strcmp(store.uploads[i].id, upload->id) == 0)
            store.uploads[i] = store.uploads[--store.upload_count];
    return store_end(0);
}
