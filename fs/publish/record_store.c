// The S3 half of record.h.

#include "../path.h"
#include "base/scope.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_PREFIX PATH_OWN_DIRECTORY "/records/"
#define RECORDS_LONG ".long/" // in place of DIRECTORY/NAME where that would make the key too long

DEFINE_SCOPE_CLEANUP(record, struct record, record_free)
#define auto_record AUTO(record_scope)

// The bytes between the quotes.
static const char *etag_bare(const char *etag, size_t *ret_size)
{
    size_t size = strlen(etag);

    if (size >= 2 && etag[0] == '"' && etag[size - 1] == '"') {
        *ret_size = size - 2;
        return etag + 1;
    }
    *ret_size = size;
    return etag;
}

bool record_etag_equal(const char *a, const char *b)
{
    size_t a_size;
    size_t b_size;
    const char *a_bare = etag_bare(a, &a_size);
    const char *b_bare = etag_bare(b, &b_size);

    return a_size == b_size && memcmp(a_bare, b_bare, a_size) == 0;
}

// Where two ETags share a file name by this, the later record replaces the earlier, and looking
// for the earlier finds a record of another ETag, which is refused: slower, never wrong.
static void append_etag(struct buf *key, const char *etag)
{
    size_t size;
    const char *bare = etag_bare(etag, &size);

    for (size_t i = 0; i < size; i++) {
        bool is_safe = (bare[i] >= '0' && bare[i] <= '9') || (bare[i] >= 'a' && bare[i] <= 'z') ||
                       (bare[i] >= 'A' && bare[i] <= 'Z') || bare[i] == '-';
        buf_append_char(key, is_safe ? bare[i] : '_');
    }
    buf_append_text(key, ".json");
}

char *record_object_key(const char *prefix, const char *key, const char *etag)
{
    size_t prefix_size = strlen(prefix);
    bool is_below = strncmp(key, prefix, prefix_size) == 0;
    const char *path = is_below ? key + prefix_size : key;
    auto_buf struct buf object_key = BUF_INIT(RECORD_LIMIT);

    buf_append_text(&object_key, prefix);
    buf_append_text(&object_key, RECORDS_PREFIX);
    buf_append_text(&object_key, path);
    buf_append_char(&object_key, '/');
    append_etag(&object_key, etag);
    if (!object_key.is_full && object_key.size > S3_KEY_SIZE_MAX) {
        char hex[SHA256_HEX_SIZE];
        sha256_hex_of(path, strlen(path), hex);
        buf_clear(&object_key);
        buf_append_text(&object_key, prefix);
        buf_append_text(&object_key, RECORDS_PREFIX RECORDS_LONG);
        buf_append_text(&object_key, hex);
        buf_append_char(&object_key, '/');
        append_etag(&object_key, etag);
    }
    return buf_take(&object_key);
}

char *record_list_prefix(const char *prefix, const char *directory)
{
    auto_free char *records = path_key(prefix, "", RECORDS_PREFIX);

    return records ? path_list_prefix(records, directory) : NULL;
}

int record_store(struct s3_client *client, struct call *call, const char *prefix,
                 const struct record *record, struct err *err)
{
    auto_free char *object_key = record_object_key(prefix, record->key, record->etag);
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    char etag[S3_ETAG_SIZE];

    if (!object_key)
        return err_no_memory(err);
    int error = record_format(record, &json, err);
    if (error == 0) {
        struct http_piece body = {json.bytes, json.size};
        struct s3_put put = {
            .key = object_key,
            .body = &body,
            .body_count = 1,
            .content_type = "application/json",
        };
        error = s3_object_put(client, call, &put, etag, err);
    }
    return error < 0 ? err_wrap(err, "cannot store the record of %s", record->key) : 0;
}

int record_load(struct s3_client *client, struct call *call, const char *prefix, const char *key,
                const char *etag, struct record **ret_record, struct err *err)
{
    auto_free char *object_key = record_object_key(prefix, key, etag);
    auto_buf struct buf json = BUF_INIT(RECORD_LIMIT);
    auto_record struct record *record = NULL;

    if (!object_key)
        return err_no_memory(err);
    int error = s3_object_get(client, call, object_key, RECORD_LIMIT, &json, NULL, err);
    if (error == -EFBIG)
        error = err_set(err, EBADMSG, "it has more than %d bytes", RECORD_LIMIT);
    if (error == 0)
        error = record_parse(buf_text(&json), json.size, &record, err);
    if (error == 0 && (strcmp(record->key, key) != 0 || !record_etag_equal(record->etag, etag)))
        error = err_set(err, EBADMSG, "it is the record of another object (%s, ETag %s)",
                        record->key, record->etag);
    if (error < 0)
        return err_wrap(err, "the record of %s", key);
    *ret_record = TAKE(record);
    return 0;
}

bool record_is_missing(struct s3_client *client, struct call *call, const char *prefix,
                       const char *key, const char *etag)
{
    auto_record struct record *record = NULL;
    struct err err = {0};
    return record_load(client, call, prefix, key, etag, &record, &err) == -ENOENT;
}

int record_delete(struct s3_client *client, struct call *call, const char *prefix, const char *key,
                  const char *etag, struct err *err)
{
    auto_free char *object_key = record_object_key(prefix, key, etag);

    if (!object_key)
        return err_no_memory(err);
    int error = s3_object_delete(client, call, object_key, err);
    return error < 0 && error != -ENOENT ? err_wrap(err, "cannot delete the record of %s", key) : 0;
}
