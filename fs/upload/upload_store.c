// Requests to the store, each a task on the engine's workers.
#include "upload_private.h"

#include "../path.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct upload_engine_options *options_of(const struct upload *upload)
{
    return &upload->engine->options;
}

// ---- parts -------------------------------------------------------------------------------------

void upload_run_begin(struct task *task)
{
    struct upload *upload = CONTAINER_OF(task, struct upload, task);
    const struct s3_put put = {.key = upload->key};
    struct err err = {0};
    write_intent_declare(upload->intent, &upload->call);
    int error =
        s3_multipart_create(options_of(upload)->client, &upload->call, &put, &upload->store, &err);
    if (error < 0) {
        write_intent_doubt(upload->intent);
        upload_fail(upload, &err);
    }
    pthread_mutex_lock(&upload->lock);
    upload->parts_state = error < 0 ? UPLOAD_PARTS_NONE : UPLOAD_PARTS_BEGUN;
    pthread_mutex_unlock(&upload->lock);
    upload_task_ended(upload);
}

void upload_run_piece(struct task *task)
{
    struct piece *piece = CONTAINER_OF(task, struct piece, task);
    struct upload *upload = piece->upload;
    const struct http_piece body = {piece->bytes, piece->size};
    struct s3_part part = {0};
    struct err err = {0};
    int error = s3_multipart_upload_part(options_of(upload)->client, &upload->call, &upload->store,
                                         (int)piece->number, &body, 1, &part, &err);
    if (error < 0)
        upload_fail(upload, &err);
    pthread_mutex_lock(&upload->lock);
    upload->parts[piece->number - 1] = part;
    pthread_mutex_unlock(&upload->lock);
    piece_free(piece);
    upload_task_ended(upload);
}

// ---- the name ----------------------------------------------------------------------------------

static bool may_replace(const struct upload *upload)
{
    return options_of(upload)->may_overwrite && !path_is_under_releases(upload->directory);
}

static int other_stands(const struct upload *upload, struct err *err)
{
    return err_set(err, EEXIST, "%s is there already with other bytes, and nothing is replaced%s",
                   upload->name,
                   path_is_under_releases(upload->directory)
                       ? " under releases/: choose another name"
                       : " without -o overwrite: remove it first, or choose another name");
}

// ---- a file of one piece -----------------------------------------------------------------------

struct comparison {
    const uint8_t *next;
    size_t left;
};

static int compare(void *context, const void *bytes, size_t size)
{
    struct comparison *comparison = context;
    if (size > comparison->left || memcmp(comparison->next, bytes, size) != 0)
        return -ECANCELED;
    comparison->next += size;
    comparison->left -= size;
    return 0;
}

// Whether what stands there has just these bytes.
static int look_at_bytes(struct upload *upload, const struct http_piece *body, bool *ret_is_same,
                         struct err *err)
{
    struct s3_client *client = options_of(upload)->client;
    struct s3_head head = {0};
    *ret_is_same = false;
    if (s3_object_head(client, &upload->closing_call, upload->key, &head, err) < 0)
        return -err->errnum;
    struct comparison comparison = {body->bytes, body->size};
    int error = 0;
    if (head.size_bytes == body->size)
        error = s3_object_read(client, &upload->closing_call, upload->key, head.etag, 0, body->size,
                               compare, &comparison, err);
    *ret_is_same = head.size_bytes == body->size && error == 0 && comparison.left == 0;
    s3_head_done(&head);
    return error == -ECANCELED ? 0 : error;
}

static int put(struct upload *upload, struct err *err)
{
    const struct piece *piece = upload->filling;
    const struct http_piece body = {piece ? (const void *)piece->bytes : "",
                                    piece ? piece->size : 0};
    const struct s3_put put = {
        .key = upload->key,
        .body = &body,
        .body_count = 1,
        .condition = may_replace(upload) ? S3_CONDITION_NONE : S3_CONDITION_ABSENT,
    };
    char etag[S3_ETAG_SIZE];
    int error = s3_object_put(options_of(upload)->client, &upload->closing_call, &put, etag, err);
    if (error != -EEXIST)
        return error;
    bool is_same;
    if (look_at_bytes(upload, &body, &is_same, err) < 0)
        return -err->errnum;
    return is_same ? 0 : other_stands(upload, err);
}

// ---- a file of many ----------------------------------------------------------------------------

// 0 where the name is free or may be taken; 1 where just this file stands there. Files of many
// parts are told apart by ETag, which is the same for the same bytes cut in the same way.
static int look_at_name(struct upload *upload, struct err *err)
{
    struct s3_head head = {0};
    char etag[S3_ETAG_SIZE];
    int error =
        s3_object_head(options_of(upload)->client, &upload->closing_call, upload->key, &head, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    bool is_same = head.size_bytes == upload->size_bytes &&
                   s3_multipart_etag(upload->parts, upload->part_count, etag) &&
                   strcmp(etag, head.etag) == 0;
    s3_head_done(&head);
    if (is_same)
        return 1;
    return may_replace(upload) ? 0 : other_stands(upload, err);
}

static int complete_parts(struct upload *upload, struct err *err)
{
    enum s3_condition condition = may_replace(upload) ? S3_CONDITION_NONE : S3_CONDITION_ABSENT;
    char etag[S3_ETAG_SIZE];
    int error = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        int there = look_at_name(upload, err);
        if (there != 0)
            return there < 0 ? there : 0; // its parts are aborted
        error = s3_multipart_complete(options_of(upload)->client, &upload->closing_call,
                                      &upload->store, upload->parts, upload->part_count, condition,
                                      upload->size_bytes, NULL, etag, err);
        if (error == 0)
            upload->parts_state = UPLOAD_PARTS_NONE;
        if (error == -EOPNOTSUPP) // the look just before is all that such a store offers
            condition = S3_CONDITION_NONE;
        else if (error != -EEXIST)
            return error;
    }
    return error;
}

// ---- the end -----------------------------------------------------------------------------------

static void clean_up(struct upload *upload)
{
    struct err err = {0};
    bool remains = false;
    while (upload->waiting) {
        struct piece *piece = upload->waiting;
        upload->waiting = piece->next;
        piece_free(piece);
    }
    if (upload->parts_state == UPLOAD_PARTS_BEGUN)
        remains = s3_multipart_abort(options_of(upload)->client, &upload->closing_call,
                                     &upload->store, &err) < 0;
    if (remains)
        log_err(LOG_LEVEL_WARN,
                "an upload could not be aborted: the bucket's lifecycle rule will have to", &err,
                "key", upload->key, NULL);
    write_intent_end(upload->intent, &upload->closing_call, remains);
    tree_forget(options_of(upload)->tree, upload->directory);
}

static void say(const struct upload *upload)
{
    char bytes[24];
    snprintf(bytes, sizeof(bytes), "%" PRIu64, upload->size_bytes);
    if (upload->err.errnum == 0) {
        log_event(LOG_LEVEL_INFO, "file stored", "key", upload->key, "bytes", bytes, NULL);
        return;
    }
    log_err(LOG_LEVEL_WARN, "file not stored", &upload->err, "key", upload->key, NULL);
    status_refused(options_of(upload)->status, upload->directory, upload->name, "-",
                   upload->err.text);
}

static void end(struct upload *upload)
{
    clean_up(upload);
    say(upload);
    upload_is_done(upload);
    upload_task_ended(upload);
}

void upload_run_complete(struct task *task)
{
    struct upload *upload = CONTAINER_OF(task, struct upload, task);
    struct err err = {0};
    int error =
        upload->parts_state == UPLOAD_PARTS_NONE ? put(upload, &err) : complete_parts(upload, &err);
    if (error < 0)
        upload_fail(upload, &err);
    end(upload);
}

void upload_run_undo(struct task *task)
{
    end(CONTAINER_OF(task, struct upload, task));
}
