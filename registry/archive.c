// What of an image stands in its archive, and in which order.
#include "registry/archive_json.h"
#include "registry/archive_layout.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

static void add_layers(struct layout *layout, const struct registry_image *image)
{
    for (size_t i = 0; i < image->layer_count; i++)
        archive_layout_blob(layout, &image->layers[i]);
}

static void add_documents(struct layout *layout, const struct registry_image *image)
{
    archive_layout_known_blob(layout, &image->config, image->config_bytes);
    archive_layout_known_blob(layout, &image->manifest, image->manifest_bytes);
}

static void lay_out(struct layout *layout, const struct registry_image *image, const char *tag)
{
    add_layers(layout, image);
    for (size_t i = 0; i < image->other_count; i++)
        add_layers(layout, image->others[i]);
    // What varies from image to image stands last, so that images that share their first layers
    // share the first bytes of their files.
    add_documents(layout, image);
    for (size_t i = 0; i < image->other_count; i++)
        add_documents(layout, image->others[i]);
    if (image->index)
        archive_layout_known_blob(layout, &image->index->descriptor, image->index->bytes);

    archive_layout_literal(layout, "oci-layout", ARCHIVE_JSON_OCI_LAYOUT,
                           strlen(ARCHIVE_JSON_OCI_LAYOUT));
    char *text = NULL;
    if (layout->failure == 0)
        layout->failure = archive_json_index(image, tag, &text, layout->err);
    archive_layout_json(layout, "index.json", TAKE(text));
    if (image->artifact_type) // docker would take its files for layers
        return;
    if (layout->failure == 0)
        layout->failure = archive_json_manifest(image, tag, &text, layout->err);
    archive_layout_json(layout, "manifest.json", text);
}

static void lay_out_payload(struct layout *layout, const struct registry_image *image)
{
    if (image->artifact_type && image->layer_count == 1 && image->layers[0].size_bytes > 0)
        archive_layout_payload(layout, &image->layers[0]);
    else
        layout->failure = err_set(layout->err, EINVAL, "it is no artifact of one file");
}

size_t archive_blob_begin(const struct archive *archive, size_t blob_index)
{
    size_t extent_index = archive->blobs[blob_index].extent_index;
    return archive->format == ARCHIVE_FORMAT_PAYLOAD ? extent_index : extent_index - 1;
}

int archive_new(const struct registry_image *image, const char *tag, enum archive_format format,
                struct archive **ret_archive, struct err *err)
{
    size_t layer_count = image->layer_count;
    for (size_t i = 0; i < image->other_count; i++)
        layer_count += image->others[i]->layer_count;
    size_t blob_max = layer_count + 2 * (1 + image->other_count) + 1; // configs, manifests, index
    AUTO(archive_layout_done) struct layout layout = {.err = err};
    if (archive_layout_begin(&layout, format, blob_max, 3) < 0)
        return -err->errnum;
    if (format == ARCHIVE_FORMAT_PAYLOAD)
        lay_out_payload(&layout, image);
    else
        lay_out(&layout, image, tag);
    return archive_layout_end(&layout, ret_archive);
}
