#include "attributes.h"

#include "collect.h"
#include "virtual_private.h"

#include "../publish/reference_file.h"

#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

// ---- those that a record or a listing knows ----------------------------------------------------

// NULL where there is no such thing.
typedef const char *(*value_of)(const struct attributes_of *object, const struct record *record);

static const char *etag_of(const struct attributes_of *object, const struct record *record)
{
    (void)record;
    return object->etag;
}

static const char *sha256_of_record(const struct attributes_of *object, const struct record *record)
{
    (void)object;
    return record ? record->sha256 : NULL;
}

static const char *image_of(const struct attributes_of *object, const struct record *record)
{
    (void)object;
    return record && record->has_image ? record->reference : NULL;
}

static const char *digest_of(const struct attributes_of *object, const struct record *record)
{
    (void)object;
    return record && record->has_image ? record->manifest_digest : NULL;
}

static const char *platform_of(const struct attributes_of *object, const struct record *record)
{
    (void)object;
    bool has_one =
        record && record->has_image && strcmp(record->platform, REGISTRY_NO_PLATFORM) != 0;
    return has_one ? record->platform : NULL;
}

// Says only whether it is known: get_signatures puts it into words.
static const char *signatures_of_record(const struct attributes_of *object,
                                        const struct record *record)
{
    (void)object;
    return record && record->has_image && record->referrers.is_known ? "" : NULL;
}

static const char signatures[] = ATTRIBUTE_PREFIX "signatures";

static const struct attribute {
    const char *name;
    value_of value;
} attributes[] = {
    {ATTRIBUTE_PREFIX "digest", digest_of},        {ATTRIBUTE_PREFIX "etag", etag_of},
    {ATTRIBUTE_PREFIX "image", image_of},          {ATTRIBUTE_PREFIX "platform", platform_of},
    {ATTRIBUTE_PREFIX "sha256", sha256_of_record}, {signatures, signatures_of_record},
};
enum { ATTRIBUTES_COUNT = sizeof(attributes) / sizeof(attributes[0]) };

bool attribute_is_ours(const char *attribute)
{
    return strncmp(attribute, ATTRIBUTE_PREFIX, strlen(ATTRIBUTE_PREFIX)) == 0;
}

static const struct attribute *find(const char *name)
{
    for (size_t i = 0; i < ATTRIBUTES_COUNT; i++)
        if (strcmp(attributes[i].name, name) == 0)
            return &attributes[i];
    return NULL;
}

// What is done with an object whose record, or NULL, is at hand.
typedef int (*use_record)(const struct attributes_of *object, const struct record *record,
                          const void *context, struct buf *ret_text, struct err *err);

static int with_record(struct virtuals *virtuals, struct call *call,
                       const struct attributes_of *object, use_record use, const void *context,
                       struct buf *ret_text, struct err *err)
{
    const struct collect_options *options = virtuals_collect_options(virtuals);
    auto_free char *key = tree_key(options->tree, object->directory, object->name);
    if (!key)
        return err_no_memory(err);
    struct record_wanted wanted = {.key = key, .etag = object->etag};
    if (record_cache_get(options->records, call, &wanted, 1, err) < 0)
        return err_wrap(err, "cannot read the record of %s", object->name);
    const struct record *record = wanted.record;
    if (record && record->size_bytes != object->size_bytes)
        record = NULL; // it disagrees with the listing: it says nothing about this object
    int error = use(object, record, context, ret_text, err);
    record_cache_release(options->records, &wanted, 1);
    return error;
}

static int no_such(const char *attribute, struct err *err)
{
    return err_set(err, ENODATA, "it has no attribute %s", attribute);
}

static int append_value(const struct attributes_of *object, const struct record *record,
                        const void *context, struct buf *ret_value, struct err *err)
{
    const struct attribute *attribute = context;
    const char *value = attribute->value(object, record);
    if (!value)
        return no_such(attribute->name, err);
    return buf_append_text(ret_value, value) < 0 ? err_no_memory(err) : 0;
}

static int append_names(const struct attributes_of *object, const struct record *record,
                        const void *context, struct buf *ret_names, struct err *err)
{
    (void)context;
    for (size_t i = 0; i < ATTRIBUTES_COUNT; i++) {
        const char *name = attributes[i].name;
        if (attributes[i].value(object, record) &&
            buf_append(ret_names, name, strlen(name) + 1) < 0)
            return err_no_memory(err);
    }
    return 0;
}

// ---- signatures --------------------------------------------------------------------------------

static int append_signatures(const struct attributes_of *object, const struct record *record,
                             const void *context, struct buf *ret_value, struct err *err)
{
    const struct record *beside = context; // of the file that holds them, where there is one
    (void)object;
    if (!record || !record->has_image)
        return no_such(signatures, err);
    bool is_about_it = beside && strcmp(beside->referrers.of, record->manifest_digest) == 0;
    const struct record_referrers *referrers = &(is_about_it ? beside : record)->referrers;
    if (!referrers->is_known)
        return no_such(signatures, err);
    return record_referrers_text(referrers, ret_value) < 0 ? err_no_memory(err) : 0;
}

// As collect does: what stands beside an image and is about it may be newer than its own record.
static int get_signatures(struct virtuals *virtuals, struct call *call,
                          const struct attributes_of *object, struct buf *ret_value,
                          struct err *err)
{
    const struct collect_options *options = virtuals_collect_options(virtuals);
    auto_free char *name = reference_signatures_name(object->name);
    auto_free char *key = name ? tree_key(options->tree, object->directory, name) : NULL;
    struct tree_listing *listing = NULL;
    const struct tree_entry *entry;
    struct record_wanted beside = {.key = key};
    if (!key)
        return err_no_memory(err);
    int error = tree_lookup(options->tree, call, object->directory, name, &listing, &entry, err);
    if (error == 0) {
        beside.etag = entry->etag;
        error = record_cache_get(options->records, call, &beside, 1, err);
    }
    bool has = error == 0;
    if (error == 0 || error == -ENOENT)
        error =
            with_record(virtuals, call, object, append_signatures, beside.record, ret_value, err);
    if (has)
        record_cache_release(options->records, &beside, 1);
    tree_listing_unref(listing);
    return error;
}

int attributes_list(struct virtuals *virtuals, struct call *call,
                    const struct attributes_of *object, struct buf *ret_names, struct err *err)
{
    return with_record(virtuals, call, object, append_names, NULL, ret_names, err);
}

// ---- links -------------------------------------------------------------------------------------

static const char url[] = ATTRIBUTE_PREFIX "url";
static const char expires[] = ATTRIBUTE_PREFIX "expires";

bool attribute_is_link(const char *attribute)
{
    return strcmp(attribute, url) == 0;
}

bool attribute_is_guarded(const char *attribute)
{
    return attribute_is_link(attribute) || strcmp(attribute, expires) == 0;
}

static int append_link(struct virtuals *virtuals, struct call *call,
                       const struct attributes_of *object, const char *attribute,
                       struct buf *ret_value, struct err *err)
{
    const struct collect_options *options = virtuals_collect_options(virtuals);
    if (virtuals_check_presigner(virtuals, attribute, err) < 0)
        return -err->errnum;
    struct tree_listing *listing;
    if (tree_list(options->tree, call, object->directory, &listing, err) < 0)
        return -err->errnum;
    auto_buf struct buf link = BUF_INIT(COLLECT_URL_LIMIT);
    int64_t expires_ms = 0;
    int error = collect_link(options, call, listing, object->name, &link, &expires_ms, err);
    tree_listing_unref(listing);
    if (error == -ENOENT)
        return no_such(attribute, err);
    if (error < 0)
        return error;
    char moment[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(expires_ms, moment);
    const char *value = attribute_is_link(attribute) ? buf_text(&link) : moment;
    return buf_append_text(ret_value, value) < 0 ? err_no_memory(err) : 0;
}

int attributes_get(struct virtuals *virtuals, struct call *call, const struct attributes_of *object,
                   const char *attribute, struct buf *ret_value, struct err *err)
{
    if (attribute_is_guarded(attribute))
        return append_link(virtuals, call, object, attribute, ret_value, err);
    if (strcmp(attribute, signatures) == 0)
        return get_signatures(virtuals, call, object, ret_value, err);
    const struct attribute *known = find(attribute);
    if (!known)
        return no_such(attribute, err);
    return with_record(virtuals, call, object, append_value, known, ret_value, err);
}
