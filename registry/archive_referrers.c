// What stands in the tarball of an image's referrers.
#include "registry/archive_json.h"
#include "registry/archive_layout.h"

#include "base/scope.h"

#include <string.h>

static void add_indexes(struct layout *layout, const struct registry_image *image)
{
    for (size_t i = 0; i < image->index_count; i++)
        if (&image->indexes[i] != image->index) // that is in the image's own tarball
            archive_layout_known_blob(layout, &image->indexes[i].descriptor,
                                      image->indexes[i].bytes);
}

static void lay_out(struct layout *layout, const struct registry_image *image,
                    const struct registry_referrers *referrers, const char *tag)
{
    for (size_t i = 0; i < referrers->count; i++)
        for (size_t at = 0; at < referrers->list[i].blob_count; at++)
            archive_layout_blob(layout, &referrers->list[i].blobs[at]);
    for (size_t i = 0; i < referrers->count; i++)
        archive_layout_known_blob(layout, &referrers->list[i].manifest,
                                  referrers->list[i].manifest_bytes);
    add_indexes(layout, image);
    archive_layout_literal(layout, "oci-layout", ARCHIVE_JSON_OCI_LAYOUT,
                           strlen(ARCHIVE_JSON_OCI_LAYOUT));
    char *text = NULL;
    if (layout->failure == 0)
        layout->failure = archive_json_referrers(image, referrers, tag, &text, layout->err);
    archive_layout_json(layout, "index.json", text);
}

int archive_new_referrers(const struct registry_image *image,
                          const struct registry_referrers *referrers, const char *tag,
                          enum archive_format format, struct archive **ret_archive, struct err *err)
{
    size_t blob_max = image->index_count + referrers->count;
    for (size_t i = 0; i < referrers->count; i++)
        blob_max += referrers->list[i].blob_count;
    AUTO(archive_layout_done) struct layout layout = {.err = err};
    if (archive_layout_begin(&layout, format, blob_max, 2) < 0)
        return -err->errnum;
    lay_out(&layout, image, referrers, tag);
    return archive_layout_end(&layout, ret_archive);
}
