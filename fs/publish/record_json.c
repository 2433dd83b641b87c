// The JSON half of record.h; the only place that knows the shape of what is stored.

#include "record.h"

#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHAPE_VERSION = 1, // of the JSON; new members do not need a new one, new meanings do
    // Eight words, then the bytes behind the last whole block.
    MIDSTATE_HEX_SIZE = 2 * (SHA256_SIZE + SHA256_BLOCK) + 1,
    // What hostile JSON may hold before it is built into objects, each of which costs some 100
    // bytes of memory for as little as two of text.
    DEPTH_MAX = 8,
    VALUES_MAX = 16 * REGISTRY_LAYERS_MAX,
};
_Static_assert(VALUES_MAX > 8 * REGISTRY_LAYERS_MAX + 64, "every record must be small enough");

DEFINE_SCOPE_CLEANUP(record, struct record, record_free)
#define auto_record AUTO(record_scope)

static void json_scope(json_t **json)
{
    json_decref(*json);
}
#define auto_json AUTO(json_scope)

static int refuse(struct err *err, const char *member, const char *reason)
{
    return err_set(err, EBADMSG, "\"%s\" %s", member, reason);
}

// ---- to JSON -----------------------------------------------------------------------------------

static size_t midstate_rest_size(const struct record_layer *layer)
{
    return layer->offset % SHA256_BLOCK;
}

static json_t *layer_to_json(const struct record_layer *layer, enum archive_format format)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:s}", "digest", layer->digest, "size",
                  (json_int_t)layer->size_bytes, "offset", (json_int_t)layer->offset, "blob_offset",
                  (json_int_t)layer->blob_offset, "media_type", layer->media_type);
    char hex[MIDSTATE_HEX_SIZE];

    if (!json || !layer->has_midstate)
        return json;
    for (size_t i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08" PRIx32, layer->midstate.sha256.words[i]);
    digest_hex(layer->midstate.sha256.rest, midstate_rest_size(layer),
               hex + 2 * (size_t)SHA256_SIZE);
    if (json_object_set_new(json, "midstate", json_string(hex)) < 0 ||
        (format == ARCHIVE_FORMAT_TAR_GZ &&
         json_object_set_new(json, "crc32", json_integer(layer->midstate.crc32)) < 0)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *layers_to_json(const struct record *record)
{
    json_t *layers = json_array();

    for (size_t i = 0; layers && i < record->layer_count; i++) {
        if (json_array_append_new(layers, layer_to_json(&record->layers[i], record->format)) < 0) {
            json_decref(layers);
            return NULL;
        }
    }
    return layers;
}

static const char *const fact_names[REGISTRY_FACT_COUNT] = {
    [REGISTRY_FACT_SOURCE] = "source",
    [REGISTRY_FACT_REVISION] = "revision",
    [REGISTRY_FACT_VERSION] = "version",
    [REGISTRY_FACT_CREATED] = "created",
    [REGISTRY_FACT_BUILDER] = "builder",
    [REGISTRY_FACT_BUILT_FROM] = "built_from",
    [REGISTRY_FACT_BUILT_REVISION] = "built_revision",
};

// Members that are not there where nothing is known: most images state little.
static int add_optional(const struct record *record, json_t *image)
{
    json_t *provenance = json_object();
    if (!provenance)
        return -ENOMEM;
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++) {
        const char *fact = record->provenance.facts[i];
        if (fact && json_object_set_new(provenance, fact_names[i], json_string(fact)) < 0) {
            json_decref(provenance);
            return -ENOMEM;
        }
    }
    if (json_object_size(provenance) == 0)
        json_decref(provenance);
    else if (json_object_set_new(image, "provenance", provenance) < 0)
        return -ENOMEM;
    if (record->artifact_type &&
        json_object_set_new(image, "artifact_type", json_string(record->artifact_type)) < 0)
        return -ENOMEM;
    return record->is_all_platforms ? json_object_set_new(image, "all_platforms", json_true()) : 0;
}

static json_t *image_to_json(const struct record *record)
{
    json_t *layers = layers_to_json(record);

    if (!layers)
        return NULL;
    // 'o' takes the reference over, also when json_pack fails.
    json_t *image =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "format",
                  record_format_name(record->format), "reference", record->reference, "tag",
                  record->tag, "platform", record->platform, "source_digest", record->source_digest,
                  "manifest_digest", record->manifest_digest, "config_digest",
                  record->config_digest, "zstd_layers", record->has_zstd_layers, "layers", layers);
    if (image && add_optional(record, image) < 0) {
        json_decref(image);
        return NULL;
    }
    return image;
}

static int append_json(const char *bytes, size_t size, void *context)
{
    return buf_append(context, bytes, size);
}

int record_format(const struct record *record, struct buf *ret_json, struct err *err)
{
    char published[CLOCK_RFC3339_SIZE];
    int error = record_check(record, err);

    if (error < 0)
        return err_wrap(err, "a record that nobody could read");
    clock_format_rfc3339(record->published_ms, published);
    auto_json json_t *json = json_pack(
        "{s:i, s:s, s:s, s:I, s:s, s:s, s:{s:s, s:I}, s:s}", "version", SHAPE_VERSION, "key",
        record->key, "etag", record->etag, "size", (json_int_t)record->size_bytes, "sha256",
        record->sha256, "published", published, "publisher", "host", record->publisher_host, "uid",
        (json_int_t)record->publisher_uid, "program", record->version);
    if (!json ||
        (record->referrers.is_known &&
         json_object_set_new(json, "signatures", record_referrers_to_json(&record->referrers)) <
             0) ||
        (record->has_image && json_object_set_new(json, "image", image_to_json(record)) < 0))
        return err_no_memory(err);
    // Members stay in the order in which they were packed: the same record is the same bytes.
    if (json_dump_callback(json, append_json, ret_json, JSON_COMPACT) < 0 ||
        buf_append_char(ret_json, '\n') < 0)
        return err_set(err, EFBIG, "the record is larger than %zu bytes", ret_json->limit);
    return 0;
}

// ---- from JSON ---------------------------------------------------------------------------------

// Whether the text holds few enough values, and nested few enough, to be parsed at all. Counts
// brackets and commas outside strings; what else is wrong with it the parser will say.
static bool is_bounded(const char *json, size_t size)
{
    size_t depth = 0;
    size_t values = 0;
    bool is_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = json[i];
        if (is_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_string = false;
        } else if (c == '"') {
            is_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > DEPTH_MAX)
                return false;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0 ? 1 : 0;
        } else if (c == ',') {
            values++;
        }
    }
    return values <= VALUES_MAX;
}

// A string into memory of its own. NULs do not come: jansson refuses \u0000 unless asked.
static int take_text(const json_t *object, const char *member, char **ret_text, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, member));

    if (!text)
        return refuse(err, member, "is missing or no string");
    char *copy = strdup(text);
    if (!copy)
        return err_no_memory(err);
    *ret_text = copy;
    return 0;
}

// A string into a field of fixed size; `size` is the field's, the NUL included.
static int take_fixed(const json_t *object, const char *member, char *ret_text, size_t size,
                      struct err *err)
{
    const char *text = json_string_value(json_object_get(object, member));

    if (!text || strlen(text) >= size)
        return refuse(err, member, "is missing, no string, or too long");
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int take_integer(const json_t *object, const char *member, uint64_t *ret_number,
                        struct err *err)
{
    const json_t *number = json_object_get(object, member);

    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return refuse(err, member, "is missing or no whole number");
    *ret_number = (uint64_t)json_integer_value(number);
    return 0;
}

static int parse_midstate(const json_t *object, enum archive_format format,
                          struct record_layer *layer, struct err *err)
{
    const json_t *member = json_object_get(object, "midstate");
    const char *hex = json_string_value(member);
    struct sha256_midstate *sha256 = &layer->midstate.sha256;
    const size_t words_size = 2 * (size_t)SHA256_SIZE;
    size_t rest_size = 2 * midstate_rest_size(layer);
    uint64_t crc32 = 0;

    if (!member)
        return 0;
    if (!hex || strlen(hex) != words_size + rest_size ||
        strspn(hex, "0123456789abcdef") != words_size + rest_size)
        return refuse(err, "layers.midstate", "is no SHA-256 state in hex");
    if (format == ARCHIVE_FORMAT_TAR_GZ && take_integer(object, "crc32", &crc32, err) < 0)
        return -err->errnum;
    if (crc32 > UINT32_MAX)
        return refuse(err, "layers.crc32", "has more than 32 bits");
    for (size_t i = 0; i < 8; i++) {
        char word[9];
        memcpy(word, hex + 8 * i, 8);
        word[8] = '\0';
        sha256->words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    digest_from_hex(hex + words_size, rest_size, sha256->rest);
    sha256->size_bytes = layer->offset;
    layer->midstate.crc32 = (uint32_t)crc32;
    layer->has_midstate = true;
    return 0;
}

static int parse_layer(const json_t *object, enum archive_format format, struct record_layer *layer,
                       struct err *err)
{
    int error = take_fixed(object, "digest", layer->digest, sizeof(layer->digest), err);

    if (error == 0)
        error = take_integer(object, "size", &layer->size_bytes, err);
    if (error == 0)
        error = take_integer(object, "offset", &layer->offset, err);
    if (error == 0)
        error = take_integer(object, "blob_offset", &layer->blob_offset, err);
    if (error == 0)
        error = take_text(object, "media_type", &layer->media_type, err);
    return error < 0 ? error : parse_midstate(object, format, layer, err);
}

static int parse_layers(const json_t *image, struct record *record, struct err *err)
{
    const json_t *layers = json_object_get(image, "layers");
    size_t count = json_array_size(layers);

    if (!json_is_array(layers) || count > REGISTRY_LAYERS_MAX)
        return refuse(err, "image.layers", "is missing, no list, or longer than any image's");
    if (count == 0)
        return 0;
    record->layers = calloc(count, sizeof(struct record_layer));
    if (!record->layers)
        return err_no_memory(err);
    record->layer_count = count;
    for (size_t i = 0; i < count; i++) {
        int error = parse_layer(json_array_get(layers, i), record->format, &record->layers[i], err);
        if (error < 0)
            return error;
    }
    return 0;
}

static bool parse_format(const char *name, enum archive_format *ret_format)
{
    for (enum archive_format format = 0; format <= ARCHIVE_FORMAT_PAYLOAD; format++) {
        if (strcmp(name, record_format_name(format)) == 0) {
            *ret_format = format;
            return true;
        }
    }
    return false;
}

// What older programs did not write.
static int parse_optional(const json_t *image, struct record *record, struct err *err)
{
    const json_t *provenance = json_object_get(image, "provenance");
    if (provenance && !json_is_object(provenance))
        return refuse(err, "image.provenance", "is no object");
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        if (json_object_get(provenance, fact_names[i]) &&
            take_text(provenance, fact_names[i], &record->provenance.facts[i], err) < 0)
            return -err->errnum;
    if (json_object_get(image, "artifact_type") &&
        take_text(image, "artifact_type", &record->artifact_type, err) < 0)
        return -err->errnum;
    record->is_all_platforms = json_is_true(json_object_get(image, "all_platforms"));
    return 0;
}

static int parse_image(const json_t *image, struct record *record, struct err *err)
{
    char format[sizeof("payload")];
    const json_t *zstd_layers = json_object_get(image, "zstd_layers");
    int error = take_fixed(image, "format", format, sizeof(format), err);

    if (error == 0)
        error = take_text(image, "reference", &record->reference, err);
    if (error == 0)
        error = take_text(image, "tag", &record->tag, err);
    if (error == 0)
        error = take_text(image, "platform", &record->platform, err);
    if (error == 0)
        error =
            take_fixed(image, "source_digest", record->source_digest, REGISTRY_DIGEST_SIZE, err);
    if (error == 0)
        error = take_fixed(image, "manifest_digest", record->manifest_digest, REGISTRY_DIGEST_SIZE,
                           err);
    if (error == 0)
        error =
            take_fixed(image, "config_digest", record->config_digest, REGISTRY_DIGEST_SIZE, err);
    if (error < 0)
        return error;
    if (!parse_format(format, &record->format))
        return refuse(err, "image.format", "is neither tar, tar.gz nor payload");
    if (!json_is_boolean(zstd_layers))
        return refuse(err, "image.zstd_layers", "is missing or neither true nor false");
    record->has_zstd_layers = json_is_true(zstd_layers);
    error = parse_optional(image, record, err);
    return error < 0 ? error : parse_layers(image, record, err);
}

static int parse_object(const json_t *json, struct record *record, struct err *err)
{
    const json_t *publisher = json_object_get(json, "publisher");
    char published[CLOCK_RFC3339_SIZE];
    uint64_t uid = 0;
    int error = take_text(json, "key", &record->key, err);

    if (error == 0)
        error = take_text(json, "etag", &record->etag, err);
    if (error == 0)
        error = take_integer(json, "size", &record->size_bytes, err);
    if (error == 0)
        error = take_fixed(json, "sha256", record->sha256, sizeof(record->sha256), err);
    if (error == 0)
        error = take_fixed(json, "published", published, sizeof(published), err);
    if (error == 0 && clock_parse_rfc3339(published, &record->published_ms) < 0)
        error = refuse(err, "published", "is no RFC 3339 time");
    if (error == 0)
        error = take_text(publisher, "host", &record->publisher_host, err);
    if (error == 0)
        error = take_integer(publisher, "uid", &uid, err);
    if (error == 0)
        error = take_text(json, "program", &record->version, err);
    if (error == 0)
        record->publisher_uid = (int64_t)uid;
    return error;
}

int record_parse(const char *json, size_t size, struct record **ret_record, struct err *err)
{
    json_error_t why;

    if (size > RECORD_LIMIT || !is_bounded(json, size))
        return err_set(err, EBADMSG, "the record is larger than any image's");
    auto_json json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(err, EBADMSG, "the record is no JSON: %s", why.text);
    const json_t *version = json_object_get(root, "version");
    if (!json_is_integer(version))
        return refuse(err, "version", "is missing or no whole number");
    if (json_integer_value(version) != SHAPE_VERSION)
        return err_set(err, EBADMSG,
                       "the record has shape %lld, and this program reads shape %d: a newer one "
                       "wrote it",
                       (long long)json_integer_value(version), SHAPE_VERSION);

    auto_record struct record *record = calloc(1, sizeof(*record));
    if (!record)
        return err_no_memory(err);
    int error = parse_object(root, record, err);
    if (error == 0)
        error = record_referrers_from_json(json_object_get(root, "signatures"), &record->referrers,
                                           err);
    const json_t *image = json_object_get(root, "image");
    record->has_image = image;
    if (error == 0 && image)
        error = parse_image(image, record, err);
    if (error == 0)
        error = record_check(record, err);
    if (error < 0)
        return err_wrap(err, "this is no record");
    *ret_record = TAKE(record);
    return 0;
}
