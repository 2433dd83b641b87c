#include "layer_entry.h"

#include "../path.h"
#include "base/scope.h"
#include "s3.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_VERSION = 1 };

static void json_scope(json_t **json)
{
    json_decref(*json);
}

char *layer_entry_format(const char *key, const char *etag)
{
    AUTO(json_scope)
    json_t *json = json_pack("{s:i, s:s, s:s}", "version", SHAPE_VERSION, "key", key, "etag", etag);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

static bool is_tarball_key(const char *prefix, const char *key)
{
    size_t prefix_size = strlen(prefix);
    size_t size = strlen(key);
    return size > prefix_size && size <= S3_KEY_SIZE_MAX &&
           strncmp(key, prefix, prefix_size) == 0 &&
           strncmp(key + prefix_size, PATH_OWN_DIRECTORY "/", strlen(PATH_OWN_DIRECTORY "/")) != 0;
}

int layer_entry_parse(const char *json, size_t size, const char *prefix, char **ret_key,
                      char **ret_etag, struct err *err)
{
    AUTO(json_scope)
    json_t *root =
        size <= LAYER_ENTRY_LIMIT ? json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *key = json_string_value(json_object_get(root, "key"));
    const char *etag = json_string_value(json_object_get(root, "etag"));
    if (json_integer_value(json_object_get(root, "version")) != SHAPE_VERSION || !key || !etag ||
        !*etag || strlen(etag) >= S3_ETAG_SIZE)
        return err_set(err, EBADMSG, "it is no entry of the layer index that this program reads");
    if (!is_tarball_key(prefix, key))
        return err_set(err, EBADMSG, "it names %s, which is no tarball of this mount", key);
    auto_free char *key_copy = strdup(key);
    auto_free char *etag_copy = strdup(etag);
    if (!key_copy || !etag_copy)
        return err_no_memory(err);
    *ret_key = TAKE(key_copy);
    *ret_etag = TAKE(etag_copy);
    return 0;
}
