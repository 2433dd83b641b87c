// What two objects have in common.
#include "copy.h"

#include "../publish/image.h"

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

static bool find_sha256(const struct store_place *place, struct call *call,
                        const struct copy_side *side, char ret_sha256[SHA256_HEX_SIZE])
{
    uint64_t size_bytes = side->head->size_bytes;
    if (!side->record || side->record->size_bytes != size_bytes)
        return store_place_sha256(place, call, side->key, side->head->etag, size_bytes, ret_sha256);
    memcpy(ret_sha256, side->record->sha256, SHA256_HEX_SIZE);
    return true;
}

static bool is_same_sha256(const struct store_place *place, struct call *call,
                           const struct copy_side *a, const struct copy_side *b)
{
    char left[SHA256_HEX_SIZE], right[SHA256_HEX_SIZE];
    return find_sha256(place, call, a, left) && find_sha256(place, call, b, right) &&
           strcmp(left, right) == 0;
}

bool copy_is_same(const struct store_place *place, struct call *call, const struct copy_side *a,
                  const struct copy_side *b)
{
    return a->head->size_bytes == b->head->size_bytes &&
           (is_same_origin(a, b) || is_same_image(a, b) || is_same_sha256(place, call, a, b));
}
