#include "small_copy.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"
#include "publish/image.h"
#include "publish/record.h"

#include <errno.h>
#include <string.h>

static int check_version(const struct small_copy *copy, const char *etag, struct err *err)
{
    return record_etag_equal(copy->etag, etag)
               ? 0
               : err_set(err, ESTALE, "%s has just been replaced", copy->key);
}

static int put(struct store_place *place, struct call *call, const struct small_copy *copy,
               const char *new_key, const struct s3_head *head, char ret_etag[S3_ETAG_SIZE],
               struct err *err)
{
    auto_buf struct buf bytes = BUF_INIT(SMALL_COPY_MAX);
    char etag[S3_ETAG_SIZE];
    if (s3_object_get(place->client, call, copy->key, SMALL_COPY_MAX, &bytes, etag, err) < 0 ||
        check_version(copy, etag, err) < 0)
        return -err->errnum;
    const struct http_piece body = {buf_text(&bytes), bytes.size};
    const struct s3_put put = {
        .key = new_key,
        .body = &body,
        .body_count = 1,
        .content_type = *head->content_type ? head->content_type : NULL,
        .metadata = head->metadata,
        .metadata_count = head->metadata_count,
        .condition = copy->may_replace ? S3_CONDITION_NONE : S3_CONDITION_ABSENT,
    };
    int error = s3_object_put(place->client, call, &put, ret_etag, err);
    if (error == -EEXIST)
        err_set(err, EEXIST, "%s has just been made by somebody else", copy->new_name);
    return error;
}

// Without one the file is there all the same, and its sha256 is not known.
static void carry_record(struct store_place *place, struct call *call,
                         const struct small_copy *copy, const char *new_key, const char *new_etag)
{
    const char *prefix = place->prefix;
    struct record *record = NULL, *carried = NULL;
    struct err err = {0};
    int error = record_load(place->client, call, prefix, copy->key, copy->etag, &record, &err);
    if (error == 0 && !(carried = record_copy(record, new_key, new_etag, clock_now_ms(place->clock),
                                              copy->who.uid)))
        error = err_no_memory(&err);
    if (error == 0)
        error = record_store(place->client, call, prefix, carried, &err);
    if (error == 0)
        record_cache_put(place->records, TAKE(carried));
    else if (error != -ENOENT)
        log_err(LOG_LEVEL_WARN, "renamed without its record: its sha256 is not known", &err, "key",
                new_key, NULL);
    record_free(record);
    record_free(carried);
}

int small_copy(struct store_place *place, struct call *call, const struct small_copy *copy,
               struct err *err)
{
    if (copy->size_bytes > SMALL_COPY_MAX)
        return err_set(err, EXDEV, "it is too large to be renamed at once: mv copies it instead");
    auto_free char *new_key = tree_key(place->tree, copy->new_directory, copy->new_name);
    struct s3_head head = {0};
    char etag[S3_ETAG_SIZE];
    if (!new_key)
        return err_no_memory(err);
    if (s3_object_head(place->client, call, copy->key, &head, err) < 0)
        return -err->errnum;
    int error = s3_head_metadata(&head, IMAGE_METADATA_DIGEST)
                    ? err_set(err, EXDEV, "it holds an image: mv copies it instead")
                    : check_version(copy, head.etag, err);
    if (error == 0)
        error = put(place, call, copy, new_key, &head, etag, err);
    if (error == 0) {
        carry_record(place, call, copy, new_key, etag);
        if (scratch_is_made_by(place->scratch, copy->who.pid, copy->key, copy->etag))
            scratch_add(place->scratch, copy->who.pid, new_key, etag);
        tree_forget(place->tree, copy->new_directory);
    }
    s3_head_done(&head);
    return error;
}
