#include "image_record.h"
#include "image_twin.h"
#include "payload.h"
#include "signatures.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
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
    const struct registry_image *resolved = image->resolved;
    return is_same_text(s3_head_metadata(head, IMAGE_METADATA_DIGEST),
                        registry_image_digest(resolved)) &&
           is_same_text(s3_head_metadata(head, IMAGE_METADATA_PLATFORM), resolved->platforms) &&
           is_same_text(s3_head_metadata(head, IMAGE_METADATA_TAG), image->line->tag) &&
           head->size_bytes == image->archive->size_bytes;
}

static int set_taken(const struct image *image, const struct s3_head *head, struct err *err)
{
    const char *digest = s3_head_metadata(head, IMAGE_METADATA_DIGEST);
    const char *tag = s3_head_metadata(head, IMAGE_METADATA_TAG);
    if (!digest)
        return err_set(err, EEXIST,
                       "an object that was not published from a reference (ETag %s, %" PRIu64
                       " bytes) stands under that name: choose another name, or remove it first",
                       head->etag, head->size_bytes);
    bool is_same = is_same_text(digest, registry_image_digest(image->resolved));
    if (is_same && is_same_text(tag, image->line->tag))
        return err_set(err, EEXIST,
                       "the same image (%s) stands there already with other platforms or "
                       "attestations, or in another order of them: write platform= as it was, "
                       "choose another name, or mount with -o overwrite",
                       digest);
    if (is_same)
        return err_set(err, EEXIST,
                       "the same image (%s) stands there already with the tag %s, this one has %s: "
                       "choose another name, or mount with -o overwrite",
                       digest, tag ? tag : "-", image->line->tag);
    return err_set(err, EEXIST,
                   "another image stands under that name: it holds %s, the reference names %s; "
                   "choose another name%s",
                   digest, registry_image_digest(image->resolved),
                   image->place->may_overwrite ? ""
                                               : ", or mount with -o overwrite (never under "
                                                 "releases/)");
}

// Of an object that says nothing of itself, since another tool stored the same bytes; a copy of the
// tarball over them has left its record.
static bool is_same_by_record(const struct s3_head *head, const struct image *image,
                              struct call *call)
{
    const struct store_place *place = image->place->store;
    struct record *record = NULL;
    struct err ignored = {0};
    if (s3_head_metadata(head, IMAGE_METADATA_DIGEST) ||
        head->size_bytes != image->archive->size_bytes ||
        record_load(place->client, call, place->prefix, image->key, head->etag, &record, &ignored) <
            0)
        return false;
    bool is_same = image_is_recorded(image, record);
    record_free(record);
    return is_same;
}

// As completion_judge: with overwrite, another image may be replaced.
static int judge(void *context, struct call *call, const struct s3_head *head, struct err *err)
{
    const struct image *image = context;
    if (is_same_image(head, image) || is_same_by_record(head, image, call))
        return 1;
    return image->place->may_overwrite ? 0 : set_taken(image, head, err);
}

static int look_at_name(struct image *image, struct call *call, struct err *err)
{
    struct s3_head head = {0};
    int error = s3_object_head(image->place->store->client, call, image->key, &head, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    int verdict = image->kind->judge(image, call, &head, err);
    image->is_unchanged = verdict == 1;
    s3_head_done(&head);
    return verdict < 0 ? verdict : 0;
}

// ---- preparing ---------------------------------------------------------------------------------

static void fill_metadata(const struct image *image, struct image_metadata *ret_metadata)
{
    struct s3_metadata *pairs = ret_metadata->pairs;
    pairs[0] = (struct s3_metadata){IMAGE_METADATA_DIGEST, registry_image_digest(image->resolved)};
    pairs[1] = (struct s3_metadata){IMAGE_METADATA_PLATFORM, image->resolved->platforms};
    pairs[2] = (struct s3_metadata){IMAGE_METADATA_TAG, image->line->tag};
}

void image_fill_metadata(const struct image *image, struct image_metadata *ret_metadata)
{
    image->kind->fill_metadata(image, ret_metadata);
    ret_metadata->pairs[IMAGE_METADATA_OF_UPLOAD] =
        (struct s3_metadata){IMAGE_METADATA_UPLOAD, image->upload_token};
}

enum archive_format image_format(const struct image *image)
{
    bool is_beside_a_file = image->of && image->line->format == ARCHIVE_FORMAT_PAYLOAD;
    return is_beside_a_file ? ARCHIVE_FORMAT_TAR : image->line->format;
}

struct s3_put image_put(const struct image *image, const struct image_metadata *metadata)
{
    static const char *const types[] = {
        [ARCHIVE_FORMAT_TAR] = "application/x-tar",
        [ARCHIVE_FORMAT_TAR_GZ] = "application/gzip",
        [ARCHIVE_FORMAT_PAYLOAD] = "application/octet-stream", // whatever it says that it is
    };
    return (struct s3_put){
        .key = image->key,
        .content_type = types[image_format(image)],
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
    int error = completion_begin(image->place->store, image->place->intent, call, &put,
                                 &image->upload, err);
    image->has_upload = error == 0;
    return error;
}

static int check_payload(const struct image *image, struct err *err)
{
    if (image->line->format != ARCHIVE_FORMAT_PAYLOAD ||
        payload_check(image->resolved, image->line->name, err) == 0)
        return 0;
    return err_wrap(err, "%s", image->line->reference.text);
}

static int lay_out(struct image *image, struct call *call, struct err *err)
{
    const struct reference_line *line = image->line;
    if (!image->resolved &&
        (registry_image_resolve(image->place->registry, call, &line->reference, &line->platforms,
                                &image->resolved, err) < 0 ||
         check_payload(image, err) < 0 || signatures_find(image, call, err) < 0))
        return -err->errnum;
    return archive_new(image->resolved, line->tag, line->format, &image->archive, err);
}

int image_prepare(struct image *image, struct call *call, struct err *err)
{
    const struct image_place *place = image->place;
    const struct plan_options plan_options = {
        .memory_bytes = memory_ceiling(place->store->memory),
        .parallel = (unsigned)place->store->parallel,
    };
    if (image->kind->lay_out(image, call, err) < 0 || look_at_name(image, call, err) < 0)
        return -err->errnum;
    status_row_set_total(image->status, image->archive->size_bytes);
    if (image->is_unchanged)
        return 0;
    // Moved once more without copies, it is known already.
    if (image->kind->has_layers && !image->is_without_copies &&
        (registry_image_read_attested(place->registry, call, image->resolved, err) < 0 ||
         layer_index_find(&place->index, call, image->archive, &image->runs, err) < 0))
        return -err->errnum;
    if (plan_new(image->archive->size_bytes, &plan_options, image->runs.runs, image->runs.run_count,
                 &image->plan, err) < 0 ||
        begin_upload(image, call, err) < 0)
        return -err->errnum;
    if (image->kind->has_layers)
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

const struct image_kind image_kind = {
    .lay_out = lay_out,
    .fill_metadata = fill_metadata,
    .judge = judge,
    .make_record = image_make_record,
    .has_layers = true,
};

int image_complete(struct image *image, struct call *call, struct err *err)
{
    const struct image_place *place = image->place;
    struct image_twin_copy twin = {0};
    if (image->twin)
        image_fill_twin_copy(image, &twin);
    struct completion *completion = &image->completion;
    *completion = (struct completion){
        .place = place->store,
        .upload = &image->upload,
        .parts = pump_parts(image->pump),
        .part_count = image->plan->part_count,
        .copy = image->twin ? &twin.copy : NULL,
        .size_bytes = image->archive->size_bytes,
        .token = image->upload_token,
        .may_overwrite = place->may_overwrite,
        .judge = image->kind->judge,
        .make_record = image->kind->make_record,
        .context = image,
    };
    int error = completion_run(completion, call, err);
    completion->copy = NULL;
    image->has_upload = !completion->is_completed;
    image->is_unchanged = completion->is_unchanged;
    image->is_published = error == 0 && !completion->is_unchanged;
    if (image->is_published && image->twin)
        status_row_add_done(image->status, (int64_t)image->plan->copy_bytes);
    struct record *record = TAKE(completion->record);
    if (!record)
        return error;
    struct err index_err = {0};
    if (image->kind->has_layers && layer_index_store(&place->index, call, record, &index_err) < 0)
        log_err(LOG_LEVEL_WARN, "the next image with these layers will be moved whole", &index_err,
                "key", image->key, NULL);
    record_cache_put(place->store->records, record);
    return error;
}

void image_settle(struct image *image, struct call *call)
{
    if (image->completion.place)
        completion_settle(&image->completion, call);
}

int image_undo(struct image *image, struct call *call, struct err *err)
{
    if (!image->has_upload)
        return 0;
    int error = completion_abort(image->place->store, call, &image->upload, err);
    image->has_upload = error < 0;
    return error;
}

void image_done(struct image *image)
{
    forget(image);
    registry_referrers_free(image->referrers);
    if (!image->of)
        registry_image_free(image->resolved);
    free(image->name);
    free(image->key);
}
