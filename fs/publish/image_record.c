#include "image_record.h"
#include "signatures.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text)
{
    return strdup(text ? text : "");
}

static int add_record_blob(struct record *record, const struct registry_descriptor *blob,
                           const struct archive_extent *header,
                           const struct archive_extent *content,
                           const struct record_midstate *midstate)
{
    struct record_layer *layer = &record->layers[record->layer_count++];
    memcpy(layer->digest, blob->digest, sizeof(layer->digest));
    layer->size_bytes = blob->size_bytes;
    layer->offset = header->offset;
    layer->blob_offset = content->offset;
    layer->media_type = copy_text(blob->media_type);
    // Where layers of 0 bytes come last, the layers end before the config begins.
    layer->has_midstate = midstate && midstate->sha256.size_bytes == header->offset;
    if (layer->has_midstate)
        layer->midstate = *midstate;
    return layer->media_type ? 0 : -ENOMEM;
}

static int record_provenance(const struct image *image, struct record *record)
{
    const struct registry_provenance *from = &image->resolved->provenance;
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++) {
        if (!from->facts[i])
            continue;
        record->provenance.facts[i] = strdup(from->facts[i]);
        if (!record->provenance.facts[i])
            return -ENOMEM;
    }
    return 0;
}

static int record_layers(const struct image *image, struct record *record)
{
    const struct archive *archive = image->archive;
    record->layers = calloc(archive->blob_count + 1, sizeof(*record->layers));
    if (!record->layers)
        return -ENOMEM;
    for (size_t i = 0; i < archive->blob_count; i++) {
        const struct archive_extent *begin = &archive->extents[archive_blob_begin(archive, i)];
        const struct archive_extent *extent = &archive->extents[archive->blobs[i].extent_index];
        // What has no header has nothing at which hashing could go on.
        const struct record_midstate *midstate =
            begin == extent ? NULL : pump_midstate(image->pump, i);
        if (add_record_blob(record, &archive->blobs[i].descriptor, begin, extent, midstate) < 0)
            return -ENOMEM;
    }
    for (size_t i = 1; i < archive->extent_count; i++) {
        const struct archive_extent *extent = &archive->extents[i];
        if (extent->kind == ARCHIVE_LITERAL && extent->literal == image->resolved->config_bytes)
            return add_record_blob(record, &image->resolved->config, extent - 1, extent,
                                   pump_midstate(image->pump, archive->blob_count));
    }
    return 0;
}

struct record *image_begin_record(const struct image *image, const char *etag)
{
    char sha256[SHA256_HEX_SIZE];
    pump_sha256(image->pump, sha256);
    return record_new(image->key, etag, image->archive->size_bytes, sha256,
                      clock_now_ms(image->place->store->clock), image->place->publisher_uid);
}

int image_make_record(void *context, const char *etag, struct record **ret_record, struct err *err)
{
    const struct image *image = context;
    struct record *record = image_begin_record(image, etag);
    if (!record)
        return err_no_memory(err);
    const struct registry_image *resolved = image->resolved;

    record->has_image = true;
    record->format = image->line->format;
    record->reference = copy_text(image->line->reference.text);
    record->tag = copy_text(image->line->tag);
    memcpy(record->source_digest, resolved->source_digest, sizeof(record->source_digest));
    memcpy(record->manifest_digest, registry_image_digest(resolved),
           sizeof(record->manifest_digest));
    memcpy(record->config_digest, resolved->config.digest, sizeof(record->config_digest));
    record->platform = copy_text(resolved->platforms);
    record->has_zstd_layers = resolved->has_zstd_layers;
    if (resolved->artifact_type)
        record->artifact_type = strdup(resolved->artifact_type);
    record->is_all_platforms = image->line->platforms.is_all;
    signatures_fill_record(image, &record->referrers);
    if (record_layers(image, record) < 0 || record_provenance(image, record) < 0 ||
        !record->reference || !record->tag || !record->platform ||
        (resolved->artifact_type && !record->artifact_type)) {
        record_free(record);
        return err_no_memory(err);
    }
    *ret_record = record;
    return 0;
}
