// The reference file itself, stored beside its tarballs.
#include "publish_private.h"

#include "../path.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

static char *file_key(const struct publish *publish)
{
    return tree_key(publish->engine->options.store->tree, publish->directory, publish->file);
}

bool publish_is_release(const struct publish *publish)
{
    return path_is_under_releases(publish->directory);
}

int publish_check_file(struct publish *publish, struct call *call, bool *ret_is_same,
                       struct err *err)
{
    *ret_is_same = false;
    auto_free char *key = file_key(publish);
    if (!key)
        return err_no_memory(err);
    auto_buf struct buf present = BUF_INIT(REFERENCE_FILE_LIMIT);
    char etag[S3_ETAG_SIZE];
    int error = s3_object_get(publish->engine->options.store->client, call, key,
                              REFERENCE_FILE_LIMIT, &present, etag, err);
    if (error == -ENOENT)
        return 0;
    if (error < 0 && error != -EFBIG)
        return error;
    *ret_is_same = error == 0 && present.size == publish->file_size &&
                   memcmp(buf_text(&present), publish->file_bytes, present.size) == 0;
    if (*ret_is_same || (publish->own_etag && strcmp(publish->own_etag, etag) == 0))
        return 0;
    return err_set(err, EEXIST,
                   "%s is there already with other lines, and nothing under releases/ is ever "
                   "replaced: choose another name for the reference file",
                   publish->file);
}

// The images are published already, so nothing but EEXIST is taken for an answer at once.
static int put_file(struct publish *publish, const struct s3_put *put, struct err *err)
{
    struct call *call = &publish->closing_call;
    for (int attempt = 1;; attempt++) {
        int error = s3_object_put(publish->engine->options.store->client, call, put,
                                  publish->stored_etag, err);
        if (error == 0)
            return 0;
        if (error == -EEXIST || !call_should_insist(call, attempt, err))
            return err_wrap(err, "the images are published, but storing %s failed", publish->file);
    }
}

int publish_store_file(struct publish *publish, struct err *err)
{
    auto_free char *key = file_key(publish);
    if (!key)
        return err_no_memory(err);
    bool is_same = false;
    if (publish_is_release(publish) &&
        publish_check_file(publish, &publish->closing_call, &is_same, err) < 0)
        return -err->errnum;
    if (is_same)
        return 0;
    const struct http_piece body = {publish->file_bytes, publish->file_size};
    const struct s3_put put = {
        .key = key,
        .body = &body,
        .body_count = 1,
        .content_type = "text/plain; charset=utf-8",
        .condition = publish_is_release(publish) && !publish->own_etag ? S3_CONDITION_ABSENT
                                                                       : S3_CONDITION_NONE,
    };
    return put_file(publish, &put, err);
}
