#include "symlink_object.h"

#include "base/log.h"
#include "base/scope.h"
#include "path.h"
#include "symlink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *symlink_key(const struct tree *tree, const char *directory, const char *name)
{
    auto_free char *object_name = NULL;
    if (asprintf(&object_name, "%s%s", name, SYMLINK_SUFFIX) < 0)
        return NULL;
    return tree_key(tree, directory, object_name);
}

static int key_of(const struct store_place *place, const struct symlink_place *link, char **ret_key,
                  struct err *err)
{
    auto_free char *key = symlink_key(place->tree, link->directory, link->name);
    if (!key)
        return err_no_memory(err);
    if (strlen(key) > S3_KEY_SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "a key is at most %d bytes long, and a link's ends in %s",
                       S3_KEY_SIZE_MAX, SYMLINK_SUFFIX);
    *ret_key = TAKE(key);
    return 0;
}

static int put(struct store_place *place, struct call *call, const struct symlink_place *link,
               const char *target, enum s3_condition condition, char ret_etag[S3_ETAG_SIZE],
               struct err *err)
{
    auto_free char *key = NULL;
    const struct http_piece body = {target, strlen(target)};
    if (symlink_check_target(link->directory, target, err) < 0 ||
        key_of(place, link, &key, err) < 0)
        return -err->errnum;
    const struct s3_put put = {
        .key = key,
        .body = &body,
        .body_count = 1,
        .content_type = "text/plain",
        .condition = condition,
    };
    int error = s3_object_put(place->client, call, &put, ret_etag, err);
    // Also of one that was not stored: somebody else's may stand there, which the next look shows.
    tree_forget(place->tree, link->directory);
    return error == -EEXIST
               ? err_set(err, EEXIST, "%s has just been made by somebody else", link->name)
               : error;
}

int symlink_make(struct store_place *place, struct call *call, const struct symlink_place *link,
                 const char *target, struct audit_who who, char ret_etag[S3_ETAG_SIZE],
                 struct err *err)
{
    int error = put(place, call, link, target, S3_CONDITION_ABSENT, ret_etag, err);
    if (error < 0)
        return error;
    auto_free char *key = symlink_key(place->tree, link->directory, link->name);
    if (key)
        scratch_add(place->scratch, who.pid, key, ret_etag);
    return 0;
}

int symlink_read(struct store_place *place, struct call *call, const struct symlink_place *link,
                 struct buf *ret_target, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    auto_free char *key = NULL;
    auto_buf struct buf target = {0};
    if (key_of(place, link, &key, err) < 0 ||
        s3_object_get(place->client, call, key, SYMLINK_TARGET_MAX, &target, ret_etag, err) < 0)
        return -err->errnum;
    if (target.size == 0 || memchr(target.bytes, '\0', target.size))
        return err_set(err, EIO, "what is stored as the link %s is no target", key);
    if (symlink_check_target(link->directory, buf_text(&target), err) < 0)
        return err_wrap(err, "the link %s, which this program has not made, is not followed", key);
    *ret_target = target;
    target = (struct buf){0};
    return 0;
}

// ---- moving ------------------------------------------------------------------------------------

// What the new name leads to, where it is a link. Of one that cannot be read nothing is said.
static void look_at_replaced(struct store_place *place, struct call *call,
                             const struct symlink_place *link, struct symlink_moved *moved)
{
    auto_buf struct buf target = {0};
    char etag[S3_ETAG_SIZE];
    struct err ignored = {0};
    if (symlink_read(place, call, link, &target, etag, &ignored) == 0)
        moved->replaced = buf_take(&target);
}

// What has been switched is switched: a passing name that stays is litter, and no failure.
static int remove_old(struct store_place *place, struct call *call, const struct symlink_move *move,
                      struct err *err)
{
    auto_free char *key = symlink_key(place->tree, move->from.directory, move->from.name);
    if (!key)
        return err_no_memory(err);
    bool is_scratch = scratch_is_made_by(place->scratch, move->who.pid, key, move->etag);
    int error = s3_object_delete(place->client, call, key, err);
    if (error == 0)
        return tree_keep(place->tree, move->from.directory, err);
    if (!is_scratch)
        return error;
    log_err(LOG_LEVEL_WARN, "a link's passing name was left behind", err, "key", key, NULL);
    *err = (struct err){0};
    return 0;
}

static int put_moved(struct store_place *place, struct call *call, const struct symlink_move *move,
                     const struct symlink_moved *moved, struct err *err)
{
    bool is_release = path_is_under_releases(move->to.directory);
    char etag[S3_ETAG_SIZE];
    if (moved->replaced && strcmp(moved->replaced, moved->target) == 0 && !move->is_exclusive)
        return 0;
    enum s3_condition condition =
        move->is_exclusive || is_release ? S3_CONDITION_ABSENT : S3_CONDITION_NONE;
    // Some stores ignore the condition: what is known to be there needs none.
    int error = -EEXIST;
    if (!move->is_there || !is_release)
        error = put(place, call, &move->to, moved->target, condition, etag, err);
    if (error != -EEXIST || !is_release)
        return error;
    return err_set(err, EEXIST,
                   "%s is there already and leads elsewhere, and nothing is replaced under "
                   "releases/: keep links that move outside of it",
                   move->to.name);
}

int symlink_move(struct store_place *place, struct call *call, const struct symlink_move *move,
                 struct symlink_moved *ret_moved, struct err *err)
{
    struct symlink_moved moved = {0};
    auto_buf struct buf target = {0};
    char etag[S3_ETAG_SIZE];
    if (symlink_read(place, call, &move->from, &target, etag, err) < 0)
        return -err->errnum;
    moved.target = buf_take(&target);
    if (!moved.target)
        return err_no_memory(err);
    look_at_replaced(place, call, &move->to, &moved);
    int error = put_moved(place, call, move, &moved, err);
    if (error == 0)
        error = remove_old(place, call, move, err);
    if (error < 0) {
        symlink_moved_done(&moved);
        return error;
    }
    *ret_moved = moved;
    return 0;
}

void symlink_moved_done(struct symlink_moved *moved)
{
    free(moved->target);
    free(moved->replaced);
    *moved = (struct symlink_moved){0};
}
