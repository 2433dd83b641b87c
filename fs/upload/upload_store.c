// Requests to the store, each a task on the engine's workers.
#include "upload_private.h"

#include "../path.h"
#include "../publish/image.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store_place *place_of(const struct upload *upload)
{
    return upload->engine->place;
}

// ---- parts -------------------------------------------------------------------------------------

void upload_run_begin(struct task *task)
{
    struct upload *upload = CONTAINER_OF(task, struct upload, task);
    const struct s3_metadata metadata = {IMAGE_METADATA_UPLOAD, upload->token};
    const struct s3_put put = {.key = upload->key, .metadata = &metadata, .metadata_count = 1};
    struct err err = {0};
    int error = completion_token(upload->token, &err);
    if (error == 0)
        error = completion_begin(place_of(upload), upload->intent, &upload->call, &put,
                                 &upload->store, &err);
    if (error < 0)
        upload_fail(upload, &err);
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
    int error = s3_multipart_upload_part(place_of(upload)->client, &upload->call, &upload->store,
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
    return store_place_may_replace(place_of(upload), upload->directory);
}

// ---- the record --------------------------------------------------------------------------------

static int make_record(void *context, const char *etag, struct record **ret_record, struct err *err)
{
    const struct upload *upload = context;
    char sha256[SHA256_HEX_SIZE];
    sha256_final_hex(&upload->sha256, sha256);
    *ret_record = record_new(upload->key, etag, upload->size_bytes, sha256,
                             clock_now_ms(place_of(upload)->clock), upload->who.uid);
    return *ret_record ? 0 : err_no_memory(err);
}

// Of an object that stands already: losing it costs detail, not the file.
static void store_record(struct upload *upload, const char *etag)
{
    const struct store_place *place = place_of(upload);
    struct record *record = NULL;
    struct err err = {0};
    if (make_record(upload, etag, &record, &err) == 0 &&
        record_store(place->client, &upload->closing_call, place->prefix, record, &err) == 0) {
        record_cache_put(place_of(upload)->records, record);
        return;
    }
    record_free(record);
    log_err(LOG_LEVEL_WARN, "stored, but without a record: its sha256 is not known", &err, "key",
            upload->key, NULL);
}

// Of what stood there with the same bytes, another tool's perhaps. A record that it has may say
// more.
static void store_missing_record(struct upload *upload, const char *etag)
{
    const struct store_place *place = place_of(upload);
    if (record_is_missing(place->client, &upload->closing_call, place->prefix, upload->key, etag))
        store_record(upload, etag);
}

// Its maker may take back what it has made for itself.
static void note_scratch(const struct upload *upload, const char *etag)
{
    if (upload->is_exclusive && (upload->is_read_too || upload->size_bytes == 0))
        scratch_add(place_of(upload)->scratch, upload->who.pid, upload->key, etag);
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

// Whether what stands there has just these bytes, and its ETag.
static int look_at_bytes(struct upload *upload, const struct http_piece *body, bool *ret_is_same,
                         char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    struct s3_client *client = place_of(upload)->client;
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
    memcpy(ret_etag, head.etag, S3_ETAG_SIZE);
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
    int error = s3_object_put(place_of(upload)->client, &upload->closing_call, &put, etag, err);
    if (error == 0) {
        note_scratch(upload, etag);
        store_record(upload, etag);
    }
    if (error != -EEXIST)
        return error;
    bool is_same;
    if (look_at_bytes(upload, &body, &is_same, etag, err) < 0)
        return -err->errnum;
    if (!is_same)
        return store_place_refuse(upload->directory, upload->name, err);
    upload->is_unchanged = true;
    store_missing_record(upload, etag);
    return 0;
}

// ---- a file of many ----------------------------------------------------------------------------

// Files of many parts are told apart by ETag, which is the same for the same bytes cut in the same
// way, and else by their SHA-256.
static bool is_same_file(struct upload *upload, struct call *call, const struct s3_head *head)
{
    char etag[S3_ETAG_SIZE], own[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];
    if (head->size_bytes != upload->size_bytes)
        return false;
    if (s3_multipart_etag(upload->parts, upload->part_count, etag) &&
        record_etag_equal(etag, head->etag))
        return true;
    sha256_final_hex(&upload->sha256, own);
    return store_place_sha256(place_of(upload), call, upload->key, head->etag, head->size_bytes,
                              other) &&
           strcmp(own, other) == 0;
}

static int judge(void *context, struct call *call, const struct s3_head *head, struct err *err)
{
    struct upload *upload = context;
    if (is_same_file(upload, call, head)) {
        store_missing_record(upload, head->etag);
        return 1;
    }
    return may_replace(upload) ? 0 : store_place_refuse(upload->directory, upload->name, err);
}

static int complete_parts(struct upload *upload, struct completion *completion, struct err *err)
{
    *completion = (struct completion){
        .place = place_of(upload),
        .upload = &upload->store,
        .parts = upload->parts,
        .part_count = upload->part_count,
        .size_bytes = upload->size_bytes,
        .token = upload->token,
        .may_overwrite = may_replace(upload),
        .judge = judge,
        .make_record = make_record,
        .context = upload,
    };
    int error = completion_run(completion, &upload->closing_call, err);
    if (completion->is_completed) // else its parts are aborted
        upload->parts_state = UPLOAD_PARTS_NONE;
    upload->is_unchanged = completion->is_unchanged;
    if (completion->is_completed && completion->record)
        note_scratch(upload, completion->record->etag);
    record_cache_put(place_of(upload)->records, TAKE(completion->record));
    return error;
}

// ---- the end -----------------------------------------------------------------------------------

static void clean_up(struct upload *upload)
{
    while (upload->waiting) {
        struct piece *piece = upload->waiting;
        upload->waiting = piece->next;
        piece_free(piece);
    }
    bool remains = upload->parts_state == UPLOAD_PARTS_BEGUN &&
                   completion_give_up(place_of(upload), &upload->closing_call, &upload->store);
    write_intent_end(upload->intent, &upload->closing_call, remains);
    tree_forget(place_of(upload)->tree, upload->directory);
}

// err: why it was not stored, or NULL. Not the upload's own: an interrupt may still set that, which
// undoes nothing that was completed.
static void say(const struct upload *upload, const struct err *err)
{
    char bytes[24];
    snprintf(bytes, sizeof(bytes), "%" PRIu64, upload->size_bytes);
    auto_free char *path = path_join(upload->directory, upload->name);
    struct audit audit = {.act = "store", .who = upload->who, .path = path, .bytes = bytes};
    if (!err) {
        audit.outcome = upload->is_unchanged ? "unchanged" : "stored";
        audit_tell(LOG_LEVEL_INFO, upload->is_unchanged ? "file unchanged" : "file stored", NULL,
                   &audit);
        return;
    }
    audit_tell(LOG_LEVEL_WARN, "file not stored", err, &audit);
    status_refused(place_of(upload)->status, upload->directory, upload->name, "-", err->text);
}

static void end(struct upload *upload, const struct err *err)
{
    clean_up(upload);
    say(upload, err);
    upload_is_done(upload);
    upload_task_ended(upload);
}

void upload_run_complete(struct task *task)
{
    struct upload *upload = CONTAINER_OF(task, struct upload, task);
    struct completion completion = {0};
    struct err err = {0};
    int error = upload->parts_state == UPLOAD_PARTS_NONE
                    ? put(upload, &err)
                    : complete_parts(upload, &completion, &err);
    if (error < 0)
        upload_fail(upload, &err);
    if (completion.place)
        completion_settle(&completion, &upload->closing_call);
    end(upload, error < 0 ? &err : NULL);
}

void upload_run_undo(struct task *task)
{
    struct upload *upload = CONTAINER_OF(task, struct upload, task);
    end(upload, &upload->err); // which never changes again
}
