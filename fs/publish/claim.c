#include "claim.h"

#include "../path.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_PREFIX PATH_OWN_DIRECTORY "/names/"

enum {
    KEY_SIZE = S3_KEY_SIZE_MAX + 1,
    CLAIM_LIMIT = S3_UPLOAD_ID_SIZE + 256 + S3_KEY_SIZE_MAX + 8, // bytes
    CLAIMS_MAX = 1000,                                           // on one name
    LOOK_EVERY_MS = 200,
};

// The claims on a name are numbered: the next is stored when the one before has lapsed. Replacing
// that one instead would take If-Match, which Ceph does not understand.
static int claim_key(const struct claims *claims, const char *key, unsigned number,
                     char ret_key[KEY_SIZE], struct err *err)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex_of(key, strlen(key), hex);
    int size = snprintf(ret_key, KEY_SIZE, "%s" NAMES_PREFIX "%s/%u", claims->prefix, hex, number);
    return size < KEY_SIZE ? 0 : err_set(err, ENAMETOOLONG, "a claim's key is too long");
}

static int store(const struct claims *claims, struct call *call, const struct s3_upload *upload,
                 const char *claim_key, struct err *err)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    auto_buf struct buf text = BUF_INIT(CLAIM_LIMIT);
    if (buf_printf(&text, "%s\n%s\n%s\n", upload->id, host, upload->key) < 0)
        return err_no_memory(err);
    const struct http_piece body = {text.bytes, text.size};
    const struct s3_put put = {
        .key = claim_key,
        .body = &body,
        .body_count = 1,
        .content_type = "text/plain",
        .condition = S3_CONDITION_ABSENT,
    };
    return s3_object_put(claims->client, call, &put, NULL, err);
}

// The upload that a claim names: its first line. ENOENT where the claim is gone.
static int read_claim(const struct claims *claims, struct call *call, const char *claim_key,
                      const char *key, struct s3_upload *ret_upload, struct err *err)
{
    auto_buf struct buf text = {0};
    if (s3_object_get(claims->client, call, claim_key, CLAIM_LIMIT, &text, NULL, err) < 0)
        return -err->errnum;
    const char *end = memchr(buf_text(&text), '\n', text.size);
    size_t size = end ? (size_t)(end - text.bytes) : 0;
    if (size == 0 || size >= sizeof(ret_upload->id) || strlen(key) >= sizeof(ret_upload->key))
        return err_set(err, EBADMSG, "%s is no claim", claim_key);
    *ret_upload = (struct s3_upload){0};
    memcpy(ret_upload->id, text.bytes, size);
    memcpy(ret_upload->key, key, strlen(key) + 1);
    return 0;
}

enum state { CLAIM_HELD, CLAIM_LAPSED, CLAIM_GONE, CLAIM_OTHERS };

// Tries to store this one, and says who holds it if not we: a state, or -errno.
static int try(const struct claims *claims, struct call *call, const struct s3_upload *upload,
               const char *claim_key, struct err *err)
{
    int error = store(claims, call, upload, claim_key, err);
    if (error == 0)
        return CLAIM_HELD;
    if (error != -EEXIST)
        return error;
    struct s3_upload other;
    bool is_open;
    error = read_claim(claims, call, claim_key, upload->key, &other, err);
    if (error == 0)
        error = s3_multipart_is_open(claims->client, call, &other, &is_open, err);
    if (error == 0)
        return is_open ? CLAIM_OTHERS : CLAIM_LAPSED;
    // What is no claim names no upload, and so binds nobody, whoever wrote it.
    if (error == -EBADMSG || error == -EFBIG)
        return CLAIM_LAPSED;
    return error == -ENOENT ? CLAIM_GONE : error;
}

static int take(const struct claims *claims, struct call *call, const struct s3_upload *upload,
                struct claim *ret_claim, struct err *err)
{
    int64_t until_ms = clock_monotonic_ms(call->clock) + CLAIM_WAIT_MS;
    for (unsigned number = 0; number < CLAIMS_MAX;) {
        char key[KEY_SIZE];
        if (claim_key(claims, upload->key, number, key, err) < 0)
            return -err->errnum;
        int state = try(claims, call, upload, key, err);
        if (state < 0)
            return state;
        if (state == CLAIM_HELD) {
            ret_claim->count = number + 1;
            return 0;
        }
        if (state == CLAIM_LAPSED) {
            number++;
            continue;
        }
        if (clock_monotonic_ms(call->clock) >= until_ms)
            return err_set(err, EBUSY,
                           "another upload is about to be completed under that name and does not "
                           "end: %s says by whom; when it is aborted, by that host's next mount or "
                           "by the bucket's lifecycle rule, the name is free",
                           key);
        if (!call_sleep(call, LOOK_EVERY_MS))
            return err_set(err, EINTR, "cancelled");
        if (state == CLAIM_GONE) // its upload was completed, and all claims are being deleted
            number = 0;
    }
    return err_set(err, EBUSY, "more than %d claims stand on that name", CLAIMS_MAX);
}

bool claims_are_needed(const struct claims *claims)
{
    return !s3_client_completes_conditionally(claims->client) && !atomic_load(&claims->is_refused);
}

int claim_take(struct claims *claims, struct call *call, const struct s3_upload *upload,
               struct claim *ret_claim, struct err *err)
{
    *ret_claim = (struct claim){0};
    if (!claims_are_needed(claims))
        return 0;
    int error = take(claims, call, upload, ret_claim, err);
    if (error != -EACCES && error != -EPERM && error != -EOPNOTSUPP)
        return error;
    if (!atomic_exchange(&claims->is_refused, true))
        log_err(LOG_LEVEL_WARN,
                "names cannot be claimed in the bucket: of two mounts that publish different "
                "images under one name in the same moment, both may succeed and one image stand",
                err, NULL);
    return 0;
}

void claim_drop(struct claims *claims, struct call *call, const char *key, struct claim *claim)
{
    for (unsigned number = 0; number < claim->count; number++) {
        char own_key[KEY_SIZE];
        struct err err = {0};
        if (claim_key(claims, key, number, own_key, &err) == 0 &&
            s3_object_delete(claims->client, call, own_key, &err) == 0)
            continue;
        log_err(LOG_LEVEL_DEBUG, "a claim is left, which binds nobody", &err, "key", key, NULL);
        return;
    }
    claim->count = 0;
}
