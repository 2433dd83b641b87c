#include "completion.h"

#include "image.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *key_of(const struct completion *completion)
{
    return completion->upload->key;
}

int completion_token(char ret_token[COMPLETION_TOKEN_SIZE], struct err *err)
{
    uint8_t random[(COMPLETION_TOKEN_SIZE - 1) / 2];
    if (!digest_random(random, sizeof(random)))
        return err_set(err, EIO, "the kernel gives no random bytes");
    digest_hex(random, sizeof(random), ret_token);
    return 0;
}

// A creation whose reply was lost has begun an upload all the same.
int completion_begin(const struct store_place *place, struct write_intent *intent,
                     struct call *call, const struct s3_put *put, struct s3_upload *ret_upload,
                     struct err *err)
{
    write_intent_declare(intent, call);
    int retries_before = atomic_load(&call->retries_made);
    int error = s3_multipart_create(place->client, call, put, ret_upload, err);
    bool is_refused = error < 0 && err->http_status >= 400 && err->http_status < 500;
    if ((error < 0 && !is_refused) || atomic_load(&call->retries_made) != retries_before)
        write_intent_doubt(intent);
    return error;
}

int completion_abort(const struct store_place *place, struct call *call,
                     const struct s3_upload *upload, struct err *err)
{
    for (int attempt = 1;; attempt++) {
        int error = s3_multipart_abort(place->client, call, upload, err);
        if (error == 0 || !call_should_insist(call, attempt, err))
            return error;
    }
}

bool completion_give_up(const struct store_place *place, struct call *call,
                        const struct s3_upload *upload)
{
    struct err err = {0};
    if (completion_abort(place, call, upload, &err) == 0)
        return false;
    log_err(LOG_LEVEL_WARN,
            "an upload could not be aborted: the bucket's lifecycle rule will have to", &err, "key",
            upload->key, NULL);
    return true;
}

// 1, 0 or below, as completion_judge says; 0 also where nothing stands there.
static int look_at_name(struct completion *completion, struct call *call, struct err *err)
{
    struct s3_head head = {0};
    int error = s3_object_head(completion->place->client, call, key_of(completion), &head, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    completion->is_name_taken = true;
    int verdict = completion->judge(completion->context, call, &head, err);
    s3_head_done(&head);
    return verdict;
}

// ---- the record --------------------------------------------------------------------------------

static int store_record(struct completion *completion, struct call *call, const char *etag,
                        struct err *err)
{
    struct record *record = NULL;
    int error = completion->make_record(completion->context, etag, &record, err);
    if (error == 0 && record)
        error =
            record_store(completion->place->client, call, completion->place->prefix, record, err);
    if (error < 0) {
        record_free(record);
        return error;
    }
    record_free(completion->record);
    completion->record = record;
    return 0;
}

// Before the object is visible: a store that fails just now fails the whole, an account that may
// not store records would fail every one.
static int store_record_early(struct completion *completion, struct call *call, const char *etag,
                              struct err *err)
{
    int error = store_record(completion, call, etag, err);
    if (error != -EACCES && error != -EPERM)
        return error;
    if (!atomic_exchange(&completion->place->is_record_refused, true))
        log_err(
            LOG_LEVEL_WARN,
            "records cannot be stored in the bucket: links are handed out without a sha256, and "
            "all layers are moved",
            err, NULL);
    return 0;
}

// Of what is visible already: losing it costs detail, not the object.
static void store_record_late(struct completion *completion, struct call *call, const char *etag)
{
    struct err err = {0};
    if (!*etag)
        err_set(&err, EPROTO, "the store does not say under which ETag it stands");
    else if (store_record(completion, call, etag, &err) == 0)
        return;
    log_err(LOG_LEVEL_WARN, "stored, but without a record", &err, "key", key_of(completion), NULL);
    record_free(TAKE(completion->record));
}

// ---- completing --------------------------------------------------------------------------------

// Something bears the name by now, or completing failed: whether it is the very same after all
// (from another host, at the same time) decides.
static int settle_race(struct completion *completion, struct call *call, struct err *err)
{
    struct err look = {0};
    int verdict = look_at_name(completion, call, &look);
    completion->is_unchanged = verdict == 1;
    if (completion->is_unchanged)
        return 0;
    if (verdict == -EEXIST)
        *err = look;
    return -err->errnum;
}

static int copy_whole(struct completion *completion, struct call *call, char ret_etag[S3_ETAG_SIZE],
                      struct err *err)
{
    if (completion->claim.count == 0)
        return err_set(err, ESTALE, "the name cannot be held while an object is copied to it");
    int error = s3_object_copy(completion->place->client, call, completion->copy, ret_etag, err);
    if (error < 0 && error != -EINTR) // should it come about later after all, it is the same bytes
        err->errnum = ESTALE;
    completion->is_name_taken |= error == 0;
    return error < 0 ? -err->errnum : 0;
}

static int complete_parts(struct completion *completion, struct call *call,
                          char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    const struct s3_metadata identity = {IMAGE_METADATA_UPLOAD, completion->token};
    enum s3_condition condition =
        completion->may_overwrite ? S3_CONDITION_NONE : S3_CONDITION_ABSENT;
    int error = s3_multipart_complete(completion->place->client, call, completion->upload,
                                      completion->parts, completion->part_count, condition,
                                      completion->size_bytes, &identity, ret_etag, err);
    if (error == -EOPNOTSUPP && condition != S3_CONDITION_NONE)
        // Such a store offers no more than the looks before and after.
        error = s3_multipart_complete(completion->place->client, call, completion->upload,
                                      completion->parts, completion->part_count, S3_CONDITION_NONE,
                                      completion->size_bytes, &identity, ret_etag, err);
    completion->is_completed = error == 0;
    completion->is_name_taken |= error == 0;
    if (error == -ENOENT) // of the upload, which is no fault of the caller's
        err->errnum = EIO;
    return error < 0 ? -err->errnum : 0;
}

// Some stores ignore If-None-Match on completion: the last one wins there. Whoever looks afterwards
// and finds another upload's object has lost, unless that is the same. That it cannot be looked at
// undoes nothing: the object stands, whole.
static int look_after(struct completion *completion, struct call *call, char ret_etag[S3_ETAG_SIZE],
                      struct err *err)
{
    struct s3_head head = {0};
    struct err look = {0};
    if (s3_object_head(completion->place->client, call, key_of(completion), &head, &look) < 0) {
        log_err(LOG_LEVEL_WARN, "stored, but the object could not be looked at afterwards", &look,
                "key", key_of(completion), NULL);
        return 0;
    }
    const char *token = s3_head_metadata(&head, IMAGE_METADATA_UPLOAD);
    int verdict = 1;
    if (token && strcmp(token, completion->token) == 0)
        memcpy(ret_etag, head.etag, S3_ETAG_SIZE);
    else
        verdict = completion->judge(completion->context, call, &head, err);
    s3_head_done(&head);
    if (verdict == 0)
        return err_set(err, EEXIST, "another host has replaced it at once");
    return verdict < 0 ? verdict : 0;
}

static int run(struct completion *completion, struct call *call, const char *predicted_etag,
               struct err *err)
{
    char etag[S3_ETAG_SIZE] = "";
    if (!completion->may_overwrite && claim_take(&completion->place->claims, call,
                                                 completion->upload, &completion->claim, err) < 0)
        return -err->errnum;
    int verdict = look_at_name(completion, call, err);
    completion->is_unchanged = verdict == 1;
    if (verdict != 0)
        return verdict < 0 ? verdict : 0;
    if (*predicted_etag && store_record_early(completion, call, predicted_etag, err) < 0)
        return -err->errnum;
    if ((completion->copy ? copy_whole(completion, call, etag, err)
                          : complete_parts(completion, call, etag, err)) < 0)
        return err->errnum == EEXIST ? settle_race(completion, call, err) : -err->errnum;
    if (look_after(completion, call, etag, err) < 0)
        return -err->errnum;
    if (!*etag) // neither said nor to be asked for
        memcpy(etag, predicted_etag, sizeof(etag));
    if (!*etag || strcmp(etag, predicted_etag) != 0)
        store_record_late(completion, call, etag);
    return 0;
}

int completion_run(struct completion *completion, struct call *call, struct err *err)
{
    char predicted_etag[S3_ETAG_SIZE] = "";
    // Stores that encrypt with KMS give another; then the record is stored once more under that.
    if (completion->copy)
        snprintf(predicted_etag, sizeof(predicted_etag), "%s", completion->copy->source_etag);
    else if (!s3_multipart_etag(completion->parts, completion->part_count, predicted_etag))
        predicted_etag[0] = '\0';
    int error = run(completion, call, predicted_etag, err);
    // A record of a version that does not exist is never read.
    if (error < 0 || completion->is_unchanged)
        record_free(TAKE(completion->record));
    return error;
}

void completion_settle(struct completion *completion, struct call *call)
{
    if (completion->is_name_taken)
        claim_drop(&completion->place->claims, call, key_of(completion), &completion->claim);
}
