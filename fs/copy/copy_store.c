// The store's part of a copy, each step a task on the engine's workers: look at source and name,
// begin an upload, copy its parts, look at the source again, complete; or abort.
#include "copy_private.h"

#include "../path.h"
#include "../publish/image.h"
#include "../publish/layer_index.h"
#include "../publish/plan.h"
#include "base/log.h"
#include "base/scope.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METADATA_MAX = 32 }; // of the source, carried along; S3 takes 2 KiB of it

static struct store_place *place_of(const struct copy *copy)
{
    return copy->engine->place;
}

// ---- the source --------------------------------------------------------------------------------

static int check_source(const struct copy *copy, struct call *call, struct s3_head *ret_head,
                        struct err *err)
{
    int error = s3_object_head(place_of(copy)->client, call, copy->source.key, ret_head, err);
    if (error < 0 && error != -ENOENT)
        return error;
    if (error == 0 && ret_head->size_bytes == copy->source.size_bytes &&
        record_etag_equal(ret_head->etag, copy->source.etag))
        return 0;
    if (error == 0)
        s3_head_done(ret_head);
    return err_set(err, ESTALE, "%s was %s while it was being copied: nothing was stored",
                   copy->source.key, error == 0 ? "replaced" : "removed");
}

// What is known of the source comes along; a source that nothing is known of is copied as well.
static int load_record(struct copy *copy, struct err *err)
{
    const struct store_place *place = place_of(copy);
    struct record *record = NULL;
    int error = record_load(place->client, &copy->call, place->prefix, copy->source.key,
                            copy->source.etag, &record, err);
    if (error == -EBADMSG || error == -EACCES)
        log_err(LOG_LEVEL_WARN, "copied without its record", err, "key", copy->source.key, NULL);
    else if (error < 0 && error != -ENOENT)
        return error;
    if (record && record->size_bytes == copy->source.size_bytes)
        copy->source_record = TAKE(record);
    record_free(record);
    return 0;
}

// ---- the name ----------------------------------------------------------------------------------

static int other_stands(const struct copy *copy, const struct s3_head *head, struct err *err)
{
    const char *own = s3_head_metadata(&copy->source_head, IMAGE_METADATA_DIGEST);
    const char *other = s3_head_metadata(head, IMAGE_METADATA_DIGEST);
    if (own && other)
        return err_set(err, EEXIST,
                       "another image stands under that name: it holds %s, what was to be copied "
                       "%s, and nothing is replaced%s",
                       other, own, store_place_remedy(copy->directory));
    return store_place_refuse(copy->directory, copy->name, err);
}

static int judge(void *context, struct call *call, const struct s3_head *head, struct err *err)
{
    struct copy *copy = context;
    const struct copy_side source = {copy->source.key, &copy->source_head, copy->source_record};
    const struct copy_side other = {copy->key, head, NULL};
    if (copy_is_same(place_of(copy), call, &source, &other)) {
        memcpy(copy->unchanged_etag, head->etag, S3_ETAG_SIZE);
        return 1;
    }
    return store_place_may_replace(place_of(copy), copy->directory) ? 0
                                                                    : other_stands(copy, head, err);
}

// Before anything moves; completing looks again.
static int look_at_name(struct copy *copy, struct err *err)
{
    struct s3_head head = {0};
    int error = s3_object_head(place_of(copy)->client, &copy->call, copy->key, &head, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    int verdict = judge(copy, &copy->call, &head, err);
    s3_head_done(&head);
    copy->is_unchanged = verdict == 1;
    return verdict < 0 ? verdict : 0;
}

// ---- the upload --------------------------------------------------------------------------------

static bool is_carried(const struct s3_metadata *metadata)
{
    if (strcmp(metadata->name, IMAGE_METADATA_UPLOAD) == 0 ||
        strcmp(metadata->name, COPY_METADATA_SOURCE) == 0)
        return false;
    for (const char *c = metadata->name; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '-' && *c != '_')
            return false;
    for (const char *c = metadata->value; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return true;
}

static int begin_upload(struct copy *copy, struct err *err)
{
    const struct s3_head *head = &copy->source_head;
    struct s3_metadata metadata[METADATA_MAX + 2];
    size_t count = 0;
    if (completion_token(copy->token, err) < 0)
        return -err->errnum;
    metadata[count++] = (struct s3_metadata){IMAGE_METADATA_UPLOAD, copy->token};
    metadata[count++] = (struct s3_metadata){COPY_METADATA_SOURCE, copy->source.etag};
    for (size_t i = 0; i < head->metadata_count; i++) {
        if (is_carried(&head->metadata[i]) && count < ARRAY_SIZE(metadata))
            metadata[count++] = head->metadata[i];
        else if (!is_carried(&head->metadata[i]) || count == ARRAY_SIZE(metadata))
            log_event(LOG_LEVEL_DEBUG, "metadata not carried along", "key", copy->source.key,
                      "name", head->metadata[i].name, NULL);
    }
    const struct s3_put put = {
        .key = copy->key,
        .content_type = head->content_type,
        .metadata = metadata,
        .metadata_count = count,
    };
    int error =
        completion_begin(place_of(copy), copy->intent, &copy->call, &put, &copy->upload, err);
    copy->has_upload = error == 0;
    return error;
}

// ---- parts -------------------------------------------------------------------------------------

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

uint64_t copy_part_size(uint64_t size_bytes, unsigned parallel)
{
    uint64_t size = divide_up(size_bytes, parallel);
    size = size < PLAN_COPY_SIZE_MIN ? PLAN_COPY_SIZE_MIN : size;
    size = size > PLAN_COPY_SIZE_MAX ? PLAN_COPY_SIZE_MAX : size;
    while (divide_up(size_bytes, size) > S3_PARTS_MAX && size < S3_PART_SIZE_MAX)
        size = 2 * size < S3_PART_SIZE_MAX ? 2 * size : S3_PART_SIZE_MAX;
    return size;
}

static int plan_parts(struct copy *copy, struct err *err)
{
    uint64_t size = copy->source.size_bytes;
    copy->part_size = copy_part_size(size, (unsigned)place_of(copy)->parallel);
    copy->part_count = divide_up(size, copy->part_size);
    if (copy->part_count > S3_PARTS_MAX)
        return err_set(err, EFBIG, "%s is larger than any copy can be", copy->source.key);
    copy->parts = calloc(copy->part_count, sizeof(*copy->parts));
    return copy->parts ? 0 : err_no_memory(err);
}

static int copy_part(struct copy *copy, size_t index, struct err *err)
{
    uint64_t offset = index * copy->part_size;
    uint64_t left = copy->source.size_bytes - offset;
    uint64_t size = left < copy->part_size ? left : copy->part_size;
    if (copy->part_count == 1)
        size = 0; // S3 takes no range of a small object
    int error = s3_multipart_copy_part(place_of(copy)->client, &copy->call, &copy->upload,
                                       (int)index + 1, copy->source.key, copy->source.etag, offset,
                                       size, &copy->parts[index], err);
    if (error != -ENOENT && error != -ESTALE)
        return error;
    // The source has gone or, which is no fault of the caller's, the upload has.
    struct s3_head head = {0};
    struct err look = {0};
    if (check_source(copy, &copy->call, &head, &look) == -ESTALE)
        *err = look;
    s3_head_done(&head);
    err->errnum = err->errnum == ENOENT ? EIO : err->errnum;
    return -err->errnum;
}

// ---- the end -----------------------------------------------------------------------------------

static int make_record(void *context, const char *etag, struct record **ret_record, struct err *err)
{
    const struct copy *copy = context;
    if (!copy->source_record)
        return 0;
    *ret_record = record_copy(copy->source_record, copy->key, etag,
                              clock_now_ms(place_of(copy)->clock), copy->who.uid);
    return *ret_record ? 0 : err_no_memory(err);
}

// The next image finds its layers here, too: a release outlives the build that it came from.
static void keep_record(struct copy *copy, struct record *record)
{
    const struct layer_index index = {place_of(copy)->client, place_of(copy)->prefix};
    struct err err = {0};
    if (record && record->has_image &&
        layer_index_store(&index, &copy->closing_call, record, &err) < 0)
        log_err(LOG_LEVEL_INFO, "layers of the copy will not be found", &err, "key", copy->key,
                NULL);
    record_cache_put(place_of(copy)->records, record);
}

// What stood there with the same bytes, another tool's perhaps, is known by what the source is.
static void keep_missing_record(struct copy *copy)
{
    const struct store_place *place = place_of(copy);
    struct record *record = NULL;
    struct err err = {0};
    if (!copy->source_record || !record_is_missing(place->client, &copy->closing_call,
                                                   place->prefix, copy->key, copy->unchanged_etag))
        return;
    if (make_record(copy, copy->unchanged_etag, &record, &err) == 0 &&
        record_store(place->client, &copy->closing_call, place->prefix, record, &err) == 0) {
        keep_record(copy, record);
        return;
    }
    record_free(record);
    log_err(LOG_LEVEL_WARN, "there already, but without a record", &err, "key", copy->key, NULL);
}

static int complete(struct copy *copy, struct err *err)
{
    struct s3_head after = {0};
    if (check_source(copy, &copy->closing_call, &after, err) < 0)
        return -err->errnum;
    s3_head_done(&after);
    struct completion completion = {
        .place = place_of(copy),
        .upload = &copy->upload,
        .parts = copy->parts,
        .part_count = copy->part_count,
        .size_bytes = copy->source.size_bytes,
        .token = copy->token,
        .may_overwrite = store_place_may_replace(place_of(copy), copy->directory),
        .judge = judge,
        .make_record = make_record,
        .context = copy,
    };
    int error = completion_run(&completion, &copy->closing_call, err);
    copy->has_upload = !completion.is_completed;
    copy->is_unchanged = completion.is_unchanged;
    keep_record(copy, TAKE(completion.record));
    completion_settle(&completion, &copy->closing_call);
    return error;
}

static void clean_up(struct copy *copy)
{
    bool remains =
        copy->has_upload && completion_give_up(place_of(copy), &copy->closing_call, &copy->upload);
    write_intent_end(copy->intent, &copy->closing_call, remains);
    tree_forget(place_of(copy)->tree, copy->directory);
}

static void say(const struct copy *copy, const struct err *err)
{
    char bytes[24];
    snprintf(bytes, sizeof(bytes), "%" PRIu64, copy->source.size_bytes);
    auto_free char *path = path_join(copy->directory, copy->name);
    struct audit audit = {
        .act = "copy", .who = copy->who, .path = path, .from = copy->source.key, .bytes = bytes};
    if (err->errnum == 0) {
        audit.outcome = copy->is_unchanged ? "unchanged" : "copied";
        audit_tell(LOG_LEVEL_INFO, copy->is_unchanged ? "file unchanged" : "file copied", NULL,
                   &audit);
        return;
    }
    audit_tell(LOG_LEVEL_WARN, "file not copied", err, &audit);
    status_refused(place_of(copy)->status, copy->directory, copy->name, "-", err->text);
}

static void finish(struct copy *copy)
{
    struct err err = {0};
    bool has_failed = copy_has_failed(copy);
    if (has_failed) {
        err = copy->err; // which never changes again
    } else if (!copy->is_unchanged) {
        if (complete(copy, &err) < 0)
            copy_fail(copy, &err);
        else
            err = (struct err){0}; // an interrupt that came meanwhile undoes nothing
    }
    if (copy->is_unchanged && err.errnum == 0)
        keep_missing_record(copy);
    clean_up(copy);
    say(copy, &err);
    copy_is_done(copy);
}

void copy_run_end(struct task *task)
{
    struct copy *copy = CONTAINER_OF(task, struct copy, task);
    finish(copy);
    copy_task_ended(copy);
}

static void run_mover(struct task *task)
{
    struct mover *mover = CONTAINER_OF(task, struct mover, task);
    struct copy *copy = mover->copy;
    size_t index = atomic_fetch_add(&copy->next_part, 1);
    if (index < copy->part_count && !copy_has_failed(copy)) {
        struct err err = {0};
        if (copy_part(copy, index, &err) < 0)
            copy_fail(copy, &err);
        workers_add(copy->engine->workers, &copy->lane, task); // others take their turns
        return;
    }
    if (atomic_fetch_sub(&copy->movers_left, 1) == 1)
        finish(copy);
    copy_task_ended(copy);
}

// ---- the beginning -----------------------------------------------------------------------------

static int begin(struct copy *copy, struct err *err)
{
    if (check_source(copy, &copy->call, &copy->source_head, err) < 0 ||
        load_record(copy, err) < 0 || look_at_name(copy, err) < 0)
        return -err->errnum;
    if (copy->is_unchanged)
        return 0;
    return plan_parts(copy, err) < 0 ? -err->errnum : begin_upload(copy, err);
}

void copy_run_begin(struct task *task)
{
    struct copy *copy = CONTAINER_OF(task, struct copy, task);
    struct err err = {0};
    if (begin(copy, &err) < 0)
        copy_fail(copy, &err);
    if (!copy->has_upload) {
        finish(copy);
    } else {
        size_t count = (size_t)place_of(copy)->parallel;
        count = count < copy->part_count ? count : copy->part_count;
        atomic_store(&copy->movers_left, count);
        for (size_t i = 0; i < count; i++) {
            copy->movers[i].copy = copy;
            copy_start(copy, &copy->movers[i].task, run_mover);
        }
    }
    copy_task_ended(copy);
}
