#include "store_place.h"

#include "../path.h"
#include "base/log.h"
#include "record.h"

#include <errno.h>
#include <string.h>

bool store_place_may_replace(const struct store_place *place, const char *directory)
{
    return place->may_overwrite && !path_is_under_releases(directory);
}

const char *store_place_remedy(const char *directory)
{
    return path_is_under_releases(directory)
               ? " under releases/: choose another name"
               : " without -o overwrite: remove it first, or choose another name";
}

int store_place_refuse(const char *directory, const char *name, struct err *err)
{
    return err_set(err, EEXIST, "%s is there already with other bytes, and nothing is replaced%s",
                   name, store_place_remedy(directory));
}

static int hash(void *context, const void *bytes, size_t size)
{
    sha256_update(context, bytes, size);
    return 0;
}

bool store_place_sha256(const struct store_place *place, struct call *call, const char *key,
                        const char *etag, uint64_t size_bytes, char ret_sha256[SHA256_HEX_SIZE])
{
    struct record *record = NULL;
    struct err err = {0};
    bool is_recorded =
        record_load(place->client, call, place->prefix, key, etag, &record, &err) == 0 &&
        record->size_bytes == size_bytes;
    if (is_recorded)
        memcpy(ret_sha256, record->sha256, SHA256_HEX_SIZE);
    record_free(record);
    if (is_recorded)
        return true;
    struct sha256 sha256;
    sha256_init(&sha256);
    if (s3_object_read(place->client, call, key, etag, 0, size_bytes, hash, &sha256, &err) < 0) {
        log_err(LOG_LEVEL_INFO, "an object cannot be compared", &err, "key", key, NULL);
        return false;
    }
    sha256_final_hex(&sha256, ret_sha256);
    return true;
}
