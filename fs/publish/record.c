#include "record.h"

#include "../utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORD_MAX = 1024,      // bytes of a reference, a tag, a platform, a media type
    LINE_MAX_BYTES = 255, // bytes of a host's name, of this program's version
};
static const int64_t published_max_ms = INT64_C(253402300799999); // the end of 9999

void record_free(struct record *record)
{
    if (!record)
        return;
    for (size_t i = 0; i < record->layer_count; i++)
        free(record->layers[i].media_type);
    free(record->layers);
    free(record->key);
    free(record->etag);
    free(record->reference);
    free(record->tag);
    free(record->platform);
    free(record->artifact_type);
    registry_provenance_done(&record->provenance);
    free(record->publisher_host);
    free(record->version);
    free(record);
}

static bool copy_text(const char *text, char **ret_text)
{
    *ret_text = text ? strdup(text) : NULL;
    return !text || *ret_text;
}

struct record *record_new(const char *key, const char *etag, uint64_t size_bytes,
                          const char *sha256, int64_t published_ms, int64_t publisher_uid)
{
    char host[LINE_MAX_BYTES + 1] = "";
    struct record *record = calloc(1, sizeof(*record));
    if (!record)
        return NULL;
    gethostname(host, sizeof(host) - 1);
    snprintf(record->sha256, sizeof(record->sha256), "%s", sha256);
    record->size_bytes = size_bytes;
    record->published_ms = published_ms;
    record->publisher_uid = publisher_uid;
    if (!copy_text(key, &record->key) || !copy_text(etag, &record->etag) ||
        !copy_text(host, &record->publisher_host) ||
        !copy_text(PRERELEASEFS_VERSION, &record->version)) {
        record_free(record);
        return NULL;
    }
    return record;
}

static bool copy_layers(const struct record *from, struct record *to)
{
    to->layers = calloc(from->layer_count ? from->layer_count : 1, sizeof(*to->layers));
    if (!to->layers)
        return false;
    for (size_t i = 0; i < from->layer_count; i++) {
        to->layers[i] = from->layers[i];
        to->layer_count = i + 1;
        if (!copy_text(from->layers[i].media_type, &to->layers[i].media_type))
            return false;
    }
    return true;
}

static bool copy_provenance(const struct registry_provenance *from, struct registry_provenance *to)
{
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        if (!copy_text(from->facts[i], &to->facts[i]))
            return false;
    return true;
}

struct record *record_copy(const struct record *record, const char *key, const char *etag,
                           int64_t published_ms, int64_t publisher_uid)
{
    struct record *copy =
        record_new(key, etag, record->size_bytes, record->sha256, published_ms, publisher_uid);
    if (!copy)
        return NULL;
    copy->referrers = record->referrers;
    if (!record->has_image)
        return copy;
    copy->has_image = true;
    copy->format = record->format;
    copy->has_zstd_layers = record->has_zstd_layers;
    copy->is_all_platforms = record->is_all_platforms;
    memcpy(copy->source_digest, record->source_digest, sizeof(copy->source_digest));
    memcpy(copy->manifest_digest, record->manifest_digest, sizeof(copy->manifest_digest));
    memcpy(copy->config_digest, record->config_digest, sizeof(copy->config_digest));
    if (!copy_text(record->reference, &copy->reference) || !copy_text(record->tag, &copy->tag) ||
        !copy_text(record->platform, &copy->platform) ||
        !copy_text(record->artifact_type, &copy->artifact_type) || !copy_layers(record, copy) ||
        !copy_provenance(&record->provenance, &copy->provenance)) {
        record_free(copy);
        return NULL;
    }
    return copy;
}

static int refuse(struct err *err, const char *member, const char *reason)
{
    return err_set(err, EBADMSG, "\"%s\" %s", member, reason);
}

// ---- what a record must be, whoever wrote it ---------------------------------------------------

static bool is_hex(const char *text, size_t size)
{
    return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

static bool is_digest(const char *text)
{
    return strncmp(text, "sha256:", 7) == 0 && is_hex(text + 7, 64);
}

// Fit for a page, a table's cell, a line of a log.
static bool is_line(const char *text, size_t size_max)
{
    size_t size = text ? strlen(text) : 0;

    return size > 0 && size <= size_max && utf8_is_line(text, size);
}

// Printable ASCII without blanks.
static bool is_word(const char *text)
{
    size_t size = text ? strlen(text) : 0;

    if (size == 0 || size > WORD_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return true;
}

static int check_object(const struct record *record, struct err *err)
{
    size_t key_size = record->key ? strlen(record->key) : 0;

    if (key_size == 0 || key_size > S3_KEY_SIZE_MAX || !utf8_is_valid(record->key, key_size))
        return refuse(err, "key", "is no key");
    if (!is_word(record->etag) || strlen(record->etag) >= S3_ETAG_SIZE)
        return refuse(err, "etag", "is no ETag");
    if (record->size_bytes > S3_OBJECT_SIZE_MAX)
        return refuse(err, "size", "is larger than any object");
    if (!is_hex(record->sha256, 64))
        return refuse(err, "sha256", "is no SHA-256 in lower-case hex");
    if (record->published_ms < 0 || record->published_ms > published_max_ms)
        return refuse(err, "published", "is no time between 1970 and 9999");
    if (!record->publisher_host ||
        (*record->publisher_host && !is_line(record->publisher_host, LINE_MAX_BYTES)))
        return refuse(err, "publisher.host", "is no host's name");
    if (record->publisher_uid < 0 || record->publisher_uid > UINT32_MAX)
        return refuse(err, "publisher.uid", "is no user id");
    if (!is_line(record->version, LINE_MAX_BYTES))
        return refuse(err, "program", "is no version");
    return 0;
}

static int check_layer(const struct record *record, const struct record_layer *layer,
                       struct err *err)
{
    uint64_t end = record->size_bytes;

    if (!is_digest(layer->digest))
        return refuse(err, "layers.digest", "is no sha256 digest");
    if (!is_word(layer->media_type))
        return refuse(err, "layers.media_type", "is no media type");
    if (layer->offset > end || layer->blob_offset < layer->offset || layer->blob_offset > end ||
        layer->size_bytes > end - layer->blob_offset)
        return refuse(err, "layers.offset", "leads out of the object");
    if (layer->has_midstate && layer->midstate.sha256.size_bytes != layer->offset)
        return refuse(err, "layers.midstate", "is not that of the layer's offset");
    return 0;
}

const char *record_format_name(enum archive_format format)
{
    static const char *const names[] = {[ARCHIVE_FORMAT_TAR] = "tar",
                                        [ARCHIVE_FORMAT_TAR_GZ] = "tar.gz",
                                        [ARCHIVE_FORMAT_PAYLOAD] = "payload"};
    return names[format];
}

static int check_image(const struct record *record, struct err *err)
{
    struct err tag_err = {0};

    if (record->format > ARCHIVE_FORMAT_PAYLOAD)
        return refuse(err, "image.format", "is neither tar, tar.gz nor payload");
    if (record->artifact_type && !is_word(record->artifact_type))
        return refuse(err, "image.artifact_type", "is no media type");
    if (record->format == ARCHIVE_FORMAT_PAYLOAD && !record->artifact_type)
        return refuse(err, "image.artifact_type", "is missing");
    if (!is_word(record->reference))
        return refuse(err, "image.reference", "is no reference");
    // Pages show it in commands that people paste into a shell: the strict grammar, not is_word.
    if (!is_word(record->tag) || registry_tag_check(record->tag, &tag_err) < 0)
        return refuse(err, "image.tag", "is no REPOSITORY:TAG");
    if (!is_digest(record->source_digest) || !is_digest(record->manifest_digest) ||
        !is_digest(record->config_digest))
        return refuse(err, "image.*_digest", "is no sha256 digest");
    if (!is_word(record->platform))
        return refuse(err, "image.platform", "is no platform");
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++) {
        const char *fact = record->provenance.facts[i];
        if (fact && !is_line(fact, REGISTRY_FACT_MAX))
            return refuse(err, "image.provenance", "holds what is no line of text");
    }
    if (record->layer_count > REGISTRY_LAYERS_MAX)
        return refuse(err, "image.layers", "are more than an image can have");
    for (size_t i = 0; i < record->layer_count; i++) {
        int error = check_layer(record, &record->layers[i], err);
        if (error < 0)
            return error;
    }
    return 0;
}

int record_check(const struct record *record, struct err *err)
{
    int error = check_object(record, err);

    if (error == 0)
        error = record_referrers_check(&record->referrers, err);
    return error < 0 || !record->has_image ? error : check_image(record, err);
}
