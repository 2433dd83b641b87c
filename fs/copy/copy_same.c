// What two objects have in common.
#include "copy.h"

#include "../publish/image.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

static bool is_same_metadata(const struct copy_side *a, const struct copy_side *b, const char *name)
{
    const char *left = s3_head_metadata(a->head, name);
    const char *right = s3_head_metadata(b->head, name);
    return left && right && strcmp(left, right) == 0;
}

// The bytes of a tarball depend on these alone, and on its format, in which its size differs.
static bool is_same_image(const struct copy_side *a, const struct copy_side *b)
{
    return is_same_metadata(a, b, IMAGE_METADATA_DIGEST) &&
           is_same_metadata(a, b, IMAGE_METADATA_PLATFORM) &&
           is_same_metadata(a, b, IMAGE_METADATA_TAG);
}

static bool is_etag(const char *a, const char *b)
{
    return a && b && record_etag_equal(a, b);
}

// Equal bytes that were cut in the same way share an ETag; a copy bears that of what it was made
// of.
static bool is_same_origin(const struct copy_side *a, const struct copy_side *b)
{
    const char *left = s3_head_metadata(a->head, COPY_METADATA_SOURCE);
    const char *right = s3_head_metadata(b->head, COPY_METADATA_SOURCE);
    return is_etag(a->head->etag, b->head->etag) || is_etag(left, b->head->etag) ||
           is_etag(a->head->etag, right) || is_etag(left, right);
}

// NULL where there is none, or it cannot be had. *ret_loaded is the caller's.
static const struct record *find_record(const struct store_place *place, struct call *call,
                                        const struct copy_side *side, struct record **ret_loaded)
{
    struct err err = {0};
    if (side->record)
        return side->record;
    int error = record_load(place->client, call, place->prefix, side->key, side->head->etag,
                            ret_loaded, &err);
    if (error < 0 && error != -ENOENT)
        log_err(LOG_LEVEL_INFO, "a record is left aside", &err, "key", side->key, NULL);
    return error < 0 ? NULL : *ret_loaded;
}

static bool is_same_sha256(const struct store_place *place, struct call *call,
                           const struct copy_side *a, const struct copy_side *b)
{
    struct record *loaded[2] = {NULL, NULL};
    const struct record *left = find_record(place, call, a, &loaded[0]);
    const struct record *right = left ? find_record(place, call, b, &loaded[1]) : NULL;
    bool is_same = left && right && left->size_bytes == a->head->size_bytes &&
                   right->size_bytes == b->head->size_bytes &&
                   strcmp(left->sha256, right->sha256) == 0;
    record_free(loaded[0]);
    record_free(loaded[1]);
    return is_same;
}

bool copy_is_same(const struct store_place *place, struct call *call, const struct copy_side *a,
                  const struct copy_side *b)
{
    return a->head->size_bytes == b->head->size_bytes &&
           (is_same_origin(a, b) || is_same_image(a, b) || is_same_sha256(place, call, a, b));
}
