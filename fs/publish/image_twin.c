#include "image_twin.h"

#include "../path.h"
#include "base/buf.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

bool image_is_recorded(const struct image *image, const struct record *record)
{
    const struct registry_image *resolved = image->resolved;
    return record->has_image && record->size_bytes == image->archive->size_bytes &&
           record->format == image->line->format &&
           strcmp(record->manifest_digest, registry_image_digest(resolved)) == 0 &&
           strcmp(record->platform, resolved->platforms) == 0 &&
           strcmp(record->tag, image->line->tag) == 0;
}

// Whether the plan copies all layers from there, so that the file's hash is known to their end.
static bool is_first_copied(const struct image *image, const struct record *record)
{
    const struct plan_run *run = image->plan->parts[0].run;
    const struct record_midstate *end = &image->runs.midstates[image->archive->blob_count];
    return run && run->source_key == record->key && run->offset == 0 && run->source_offset == 0 &&
           end->sha256.size_bytes && end->sha256.size_bytes <= run->size;
}

// The record is a small object that is there; the scratch key is one that the store should refuse
// to make.
static bool store_binds_copies(const struct image *image, struct call *call,
                               const struct record *record)
{
    const struct image_place *place = image->place;
    auto_free char *source = record_object_key(place->store->prefix, record->key, record->etag);
    auto_buf struct buf scratch = BUF_INIT(S3_KEY_SIZE_MAX + 1);
    return source &&
           buf_printf(&scratch, "%s" PATH_OWN_DIRECTORY "/scratch/%s", place->store->prefix,
                      image->upload_token) == 0 &&
           s3_client_copies_conditionally(place->store->client, call, source, buf_text(&scratch));
}

void image_find_twin(struct image *image, struct call *call)
{
    const struct image_place *place = image->place;
    image->twin = NULL;
    if (!place->is_alone || image->referrers->count > 0 || place->may_overwrite ||
        image->archive->size_bytes > S3_PART_SIZE_MAX || !claims_are_needed(&place->store->claims))
        return;
    for (size_t i = 0; i < image->runs.source_count; i++) {
        const struct record *record = image->runs.sources[i];
        if (image_is_recorded(image, record) && is_first_copied(image, record) &&
            store_binds_copies(image, call, record))
            image->twin = record;
    }
}

int image_check_twin(const struct image *image, struct err *err)
{
    char sha256[SHA256_HEX_SIZE];
    if (!image->twin)
        return 0;
    pump_sha256(image->pump, sha256);
    if (strcmp(sha256, image->twin->sha256) == 0)
        return 0;
    return err_set(err, ESTALE, "%s has not the SHA-256 that this image's tarball has",
                   image->twin->key);
}

void image_fill_twin_copy(const struct image *image, struct image_twin_copy *ret_copy)
{
    image_fill_metadata(image, &ret_copy->metadata);
    ret_copy->copy = (struct s3_copy){
        .put = image_put(image, &ret_copy->metadata),
        .source_key = image->twin->key,
        .source_etag = image->twin->etag,
        .identity = &ret_copy->metadata.pairs[IMAGE_METADATA_OF_UPLOAD],
    };
}
