#include "image_record.h"
#include "image_twin.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what is there already ---------------------------------------------------------------------

static bool is_same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

// The bytes of a tarball depend on these three and its format, which its name tells.
static bool is_same_image(const struct s3_head *head, const struct image *image)
{
    char platform[100];
    registry_platform_format(&image->resolved->platform, platform);
    return is_same_text(s3_head_metadata(head, IMAGE_METADATA_DIGEST),
                        image->resolved->manifest.digest) &&
           is_same_text(s3_head_metadata(head, IMAGE_METADATA_PLATFORM), platform) &&
           is_same_text(s3_head_metadata(head, IMAGE_METADATA_TAG), image->line->tag) &&
           head->size_bytes == image->archive->size_bytes;
}

static int set_taken(const struct image *image, const struct s3_head *head, struct err *err)
{
    const char *digest = s3_head_metadata(head, IMAGE_METADATA_DIGEST);
    const char *tag = s3_head_metadata(head, IMAGE_METADATA_TAG);
    if (!digest)
        return err_set(err, EEXIST,
                       "an object that no mount published (ETag %s, %" PRIu64
                       " bytes) stands under that name: choose another name, or remove it first",
                       head->etag, head->size_bytes);
    if (is_same_text(digest, image->resolved->manifest.digest))
        return err_set(err, EEXIST,
                       "the same image (%s) stands there already with the tag %s, this one has %s: "
                       "choose another name, or mount with -o overwrite",
                       digest, tag ? tag : "-", image->line->tag);
    return err_set(err, EEXIST,
                   "another image stands under that name: it holds %s, the reference names %s; "
                   "choose another name%s",
                   digest, image->resolved->manifest.digest,
                   image->place->may_overwrite ? ""
                                               : ", or mount with -o overwrite (never under "
                                                 "releases/)");
}

// Whether the object that bears the name now is this very image; none or, with overwrite, another
// one is not.
static int look_at_name(struct image *image, struct call *call, bool *ret_is_same, struct err *err)
{
    struct s3_head head = {0};
    int error = s3_object_head(image->place->client, call, image->key, &head, err);
    if (error == -ENOENT) {
        *ret_is_same = false;
        return 0;
    }
    if (error < 0)
        return error;
    image->is_name_taken = true;
    *ret_is_same = is_same_image(&head, image);
    if (!*ret_is_same && !image->place->may_overwrite)
        error = set_taken(image, &head, err);
    s3_head_done(&head);
    return error;
}

// ---- preparing ---------------------------------------------------------------------------------

void image_fill_metadata(const struct image *image, struct image_metadata *ret_metadata)
{
    registry_platform_format(&image->resolved->platform, ret_metadata->platform);
    const struct s3_metadata pairs[] = {
        {IMAGE_METADATA_DIGEST, image->resolved->manifest.digest},
        {IMAGE_METADATA_PLATFORM, ret_metadata->platform},
        {IMAGE_METADATA_TAG, image->line->tag},
        [IMAGE_METADATA_OF_UPLOAD] = {IMAGE_METADATA_UPLOAD, image->upload_token},
    };
    _Static_assert(sizeof(pairs) == sizeof(ret_metadata->pairs), "all of them");
    memcpy(ret_metadata->pairs, pairs, sizeof(pairs));
}

struct s3_put image_put(const struct image *image, const struct image_metadata *metadata)
{
    return (struct s3_put){
        .key = image->key,
        .content_type =
            image->line->format == ARCHIVE_FORMAT_TAR_GZ ? "application/gzip" : "application/x-tar",
        .metadata = metadata->pairs,
        .metadata_count = ARRAY_SIZE(metadata->pairs),
    };
}

static int begin_upload(struct image *image, struct call *call, struct err *err)
{
    if (completion_token(image->upload_token, err) < 0)
        return -err->errnum;
    struct image_metadata metadata;
    image_fill_metadata(image, &metadata);
    const struct s3_put put = image_put(image, &metadata);
    int error = completion_begin(image->place->client, image->place->intent, call, &put,
                                 &image->upload, err);
    image->has_upload = error == 0;
    return error;
}

int image_prepare(struct image *image, struct call *call, struct err *err)
{
    const struct image_place *place = image->place;
    const struct plan_options plan_options = {
        .memory_bytes = place->memory_bytes,
        .parallel = (unsigned)place->parallel,
    };
    if (registry_image_resolve(place->registry, call, &image->line->reference,
                               &image->line->platform, &image->resolved, err) < 0 ||
        archive_new(image->resolved, image->line->tag, image->line->format, &image->archive, err) <
            0 ||
        look_at_name(image, call, &image->is_unchanged, err) < 0)
        return -err->errnum;
    status_row_set_total(image->status, image->archive->size_bytes);
    if (image->is_unchanged)
        return 0;
    if (!image->is_without_copies &&
        layer_index_find(&place->index, call, image->archive, &image->runs, err) < 0)
        return -err->errnum;
    if (plan_new(image->archive->size_bytes, &plan_options, image->runs.runs, image->runs.run_count,
                 &image->plan, err) < 0 ||
        begin_upload(image, call, err) < 0)
        return -err->errnum;
    image_find_twin(image, call);
    return 0;
}

int image_check_sources(struct image *image, struct call *call, struct err *err)
{
    if (image_check_twin(image, err) < 0)
        return -err->errnum;
    return layer_runs_check(&image->place->index, call, &image->runs, image->plan, err);
}

static void forget(struct image *image)
{
    pump_free(TAKE(image->pump));
    plan_free(TAKE(image->plan));
    image->twin = NULL;
    layer_runs_done(&image->runs);
    archive_free(TAKE(image->archive));
    registry_image_free(TAKE(image->resolved));
}

int image_start_over(struct image *image, struct call *call, struct err *err)
{
    int error = image_undo(image, call, err);
    if (error < 0)
        write_intent_doubt(image->place->intent);
    forget(image);
    image->is_without_copies = true;
    return error;
}

// ---- completing --------------------------------------------------------------------------------

static int store_record(const struct image *image, struct call *call, const char *etag,
                        struct record **ret_record, struct err *err)
{
    struct record *record = NULL;
    if (image_make_record(image, etag, &record, err) < 0)
        return -err->errnum;
    if (record_store(image->place->client, call, image->place->prefix, record, err) < 0) {
        record_free(record);
        return err_wrap(err, "storing the record");
    }
    record_free(*ret_record);
    *ret_record = record;
    return 0;
}

// Another object bears the name by now, or completing failed: whether ours is what stands there
// after all (the same image, published by another host at the same time) decides.
static int settle_race(struct image *image, struct call *call, struct err *err)
{
    bool is_same;
    struct err look = {0};
    int error = look_at_name(image, call, &is_same, &look);
    if (error == 0 && is_same) {
        image->is_unchanged = true;
        return 0;
    }
    if (error == -EEXIST)
        *err = look;
    return -err->errnum;
}

// ENOENT is for images that are not there, and an upload that is gone is no fault of the caller's.
static int upload_is_lost(struct err *err)
{
    if (err->errnum == ENOENT)
        err->errnum = EIO;
    return -err->errnum;
}

static int complete_upload(struct image *image, struct call *call, char ret_etag[S3_ETAG_SIZE],
                           struct err *err)
{
    const struct image_place *place = image->place;
    const struct s3_metadata identity = {IMAGE_METADATA_UPLOAD, image->upload_token};
    int error = s3_multipart_complete(
        place->client, call, &image->upload, pump_parts(image->pump), image->plan->part_count,
        place->may_overwrite ? S3_CONDITION_NONE : S3_CONDITION_ABSENT, image->archive->size_bytes,
        &identity, ret_etag, err);
    if (error == 0)
        image->has_upload = false;
    return error < 0 ? upload_is_lost(err) : 0;
}

// Some stores ignore If-None-Match on completion: the last one wins there. Whoever looks
// afterwards and finds another upload's object has lost. That it cannot be looked at undoes
// nothing: the tarball stands, whole.
static int check_after(struct image *image, struct call *call, char ret_etag[S3_ETAG_SIZE],
                       struct err *err)
{
    struct s3_head head = {0};
    struct err look = {0};
    if (s3_object_head(image->place->client, call, image->key, &head, &look) < 0) {
        log_err(LOG_LEVEL_WARN, "published, but the object could not be looked at afterwards",
                &look, "key", image->key, NULL);
        return 0;
    }
    int error = 0;
    if (is_same_text(s3_head_metadata(&head, IMAGE_METADATA_UPLOAD), image->upload_token)) {
        memcpy(ret_etag, head.etag, S3_ETAG_SIZE);
    } else if (!is_same_image(&head, image)) {
        image->is_published = false;
        error = set_taken(image, &head, err);
    }
    s3_head_done(&head);
    return error;
}

// Before the tarball is visible: a store that fails just now fails the publish, an account that may
// not would fail every one.
static int store_record_early(const struct image *image, struct call *call, const char *etag,
                              struct record **record, struct err *err)
{
    int error = store_record(image, call, etag, record, err);
    if (error != -EACCES && error != -EPERM)
        return error;
    if (!atomic_exchange(image->place->is_record_refused, true))
        log_err(
            LOG_LEVEL_WARN,
            "records cannot be stored in the bucket: links are handed out without a sha256, and "
            "all layers are moved",
            err, NULL);
    return 0;
}

// The record of what is visible already: losing it costs detail, not the tarball.
static void store_record_late(const struct image *image, struct call *call, const char *etag,
                              struct record **record)
{
    struct err err = {0};
    if (!*etag)
        err_set(&err, EPROTO, "the store does not say under which ETag it stands");
    else if (store_record(image, call, etag, record, &err) == 0)
        return;
    log_err(LOG_LEVEL_WARN, "published, but without a record", &err, "key", image->key, NULL);
    record_free(TAKE(*record));
}

static int complete_with_record(struct image *image, struct call *call, const char *predicted_etag,
                                struct record **record, struct err *err)
{
    char etag[S3_ETAG_SIZE] = "";
    bool is_same;
    if ((!image->place->may_overwrite &&
         claim_take(image->place->claims, call, &image->upload, &image->claim, err) < 0) ||
        look_at_name(image, call, &is_same, err) < 0)
        return -err->errnum;
    if (is_same) { // another host was faster with the very same
        image->is_unchanged = true;
        return 0;
    }
    if (*predicted_etag && store_record_early(image, call, predicted_etag, record, err) < 0)
        return -err->errnum;
    if ((image->twin ? image_copy_twin(image, call, etag, err)
                     : complete_upload(image, call, etag, err)) < 0)
        return err->errnum == EEXIST ? settle_race(image, call, err) : -err->errnum;
    image->is_published = image->is_name_taken = true;
    if (check_after(image, call, etag, err) < 0)
        return -err->errnum;
    if (!*etag) // neither said nor to be asked for
        memcpy(etag, predicted_etag, sizeof(etag));
    if (!*etag || strcmp(etag, predicted_etag) != 0)
        store_record_late(image, call, etag, record);
    return 0;
}

int image_complete(struct image *image, struct call *call, struct err *err)
{
    struct record *record = NULL;
    char predicted_etag[S3_ETAG_SIZE] = "";
    // Stores that encrypt with KMS give another; then the record is stored once more under that.
    if (image->twin)
        snprintf(predicted_etag, sizeof(predicted_etag), "%s", image->twin->etag);
    else if (!s3_multipart_etag(pump_parts(image->pump), image->plan->part_count, predicted_etag))
        predicted_etag[0] = '\0';
    int error = complete_with_record(image, call, predicted_etag, &record, err);
    if (error < 0 || image->is_unchanged || !record) {
        // The stored record stays: it may be that of the same image, published by another host,
        // and one of a version that does not exist is never read.
        record_free(record);
        return error;
    }
    struct err index_err = {0};
    if (layer_index_store(&image->place->index, call, record, &index_err) < 0)
        log_err(LOG_LEVEL_WARN, "the next image with these layers will be moved whole", &index_err,
                "key", image->key, NULL);
    record_cache_put(image->place->records, record);
    return 0;
}

void image_settle(struct image *image, struct call *call)
{
    if (image->is_name_taken)
        claim_drop(image->place->claims, call, image->key, &image->claim);
}

int image_undo(struct image *image, struct call *call, struct err *err)
{
    if (!image->has_upload)
        return 0;
    for (int attempt = 1;; attempt++) {
        int error = s3_multipart_abort(image->place->client, call, &image->upload, err);
        image->has_upload = error < 0;
        if (error == 0 || !call_should_insist(call, attempt, err))
            return error;
    }
}

void image_done(struct image *image)
{
    forget(image);
    free(image->key);
}
