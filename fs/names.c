#include "names.h"

#include "base/log.h"
#include "base/scope.h"
#include "path.h"
#include "publish/record.h"
#include "small_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

DEFINE_SCOPE_CLEANUP(listing, struct tree_listing, tree_listing_unref)
#define auto_listing AUTO(listing_scope)

static bool is_generated(struct service *service, const struct tree_listing *listing,
                         const char *name)
{
    const struct virtual_file *file = virtual_find(name);
    return file && virtual_exists(service->virtuals, file, listing);
}

// ---- removing ----------------------------------------------------------------------------------

static char *key_of(struct service *service, const char *directory, const struct tree_entry *entry)
{
    return entry->is_symlink ? symlink_key(service->tree, directory, entry->name)
                             : tree_key(service->tree, directory, entry->name);
}

static bool may_delete(struct service *service, pid_t process, const char *directory,
                       const struct tree_entry *entry)
{
    if (service->options->may_delete || entry->is_directory)
        return service->options->may_delete;
    auto_free char *key = key_of(service, directory, entry);
    return key && scratch_is_made_by(service->scratch, process, key, entry->etag);
}

static int delete_object(struct service *service, struct call *call, const char *directory,
                         const struct tree_entry *entry, struct err *err)
{
    auto_free char *key = key_of(service, directory, entry);
    if (!key)
        return err_no_memory(err);
    if (s3_object_delete(service->client, call, key, err) < 0 ||
        tree_keep(service->tree, directory, err) < 0)
        return -err->errnum;
    // Without its object a record means nothing to anybody; one that stays behind is only litter.
    struct err ignored = {0};
    if (!path_is_reference_file(entry->name) && !entry->is_symlink &&
        record_delete(service->client, call, service->options->prefix, key, entry->etag, &ignored) <
            0 &&
        ignored.errnum != ENOENT)
        log_err(LOG_LEVEL_INFO, "a deleted file's record was left behind", &ignored, "key", key,
                NULL);
    return 0;
}

int names_remove(struct service *service, struct call *call, const char *directory,
                 const char *name, pid_t process, bool *ret_is_removed, struct err *err)
{
    auto_listing struct tree_listing *listing = NULL;
    if (service->options->is_read_only)
        return err_set(err, EROFS, "the mount is read-only (ro)");
    if (tree_list(service->tree, call, directory, &listing, err) < 0)
        return -err->errnum;
    if (is_generated(service, listing, name))
        return 0;
    const struct tree_entry *entry = tree_listing_find(listing, name);
    if (!entry)
        return err_set(err, ENOENT, "there is no such file");
    if (entry->is_directory)
        return err_set(err, EISDIR, "it is a directory");
    if (!may_delete(service, process, directory, entry))
        return err_set(err, EPERM, "deleting is off; mount with allow_delete to turn it on");
    int error = delete_object(service, call, directory, entry, err);
    *ret_is_removed = error == 0;
    return error;
}

// ---- moving ------------------------------------------------------------------------------------

static int use_mv(struct err *err)
{
    return err_set(err, EXDEV, "it cannot be renamed at once: mv copies it instead");
}

// Whether a directory holds nothing, and nothing of it is in the bucket.
static int is_empty(struct service *service, struct call *call, const char *path,
                    bool *ret_is_empty, struct err *err)
{
    auto_listing struct tree_listing *listing = NULL;
    if (tree_list(service->tree, call, path, &listing, err) < 0)
        return -err->errnum;
    *ret_is_empty = listing->count == 0 && listing->left_out_count == 0;
    return 0;
}

// What mv would copy, and publish, and then be unable to remove.
static int check_removable(struct service *service, struct call *call,
                           const struct names_move *move, const struct tree_entry *entry,
                           struct err *err)
{
    if (may_delete(service, move->who.pid, move->directory, entry))
        return 0;
    bool is_nothing = false;
    if (entry->is_directory) {
        auto_free char *path = path_join(move->directory, move->name);
        if (!path)
            return err_no_memory(err);
        if (is_empty(service, call, path, &is_nothing, err) < 0)
            return -err->errnum;
        is_nothing &= tree_is_made_here(service->tree, path);
    }
    return is_nothing ? 0
                      : err_set(err, EPERM,
                                "mv removes what it has copied, and deleting is off: use cp, or "
                                "mount with allow_delete");
}

static int replace_directory(struct service *service, struct call *call,
                             const struct names_move *move, const struct tree_entry *other,
                             struct err *err)
{
    bool is_nothing = false;
    auto_free char *path = path_join(move->new_directory, move->new_name);
    if (!path)
        return err_no_memory(err);
    if (!other->is_directory)
        return err_set(err, ENOTDIR, "%s is a file", move->new_name);
    if (is_empty(service, call, path, &is_nothing, err) < 0)
        return -err->errnum;
    return is_nothing ? use_mv(err) : err_set(err, ENOTEMPTY, "%s is not empty", move->new_name);
}

static int is_same(struct service *service, struct call *call, const struct names_move *move,
                   bool *ret_is_same, struct err *err)
{
    auto_free char *key = tree_key(service->tree, move->directory, move->name);
    auto_free char *new_key = tree_key(service->tree, move->new_directory, move->new_name);
    struct s3_head head = {0}, other = {0};
    if (!key || !new_key)
        return err_no_memory(err);
    int error = s3_object_head(service->client, call, key, &head, err);
    if (error == 0)
        error = s3_object_head(service->client, call, new_key, &other, err);
    if (error == 0)
        *ret_is_same = copy_is_same(&service->place, call, &(struct copy_side){key, &head, NULL},
                                    &(struct copy_side){new_key, &other, NULL});
    s3_head_done(&head);
    s3_head_done(&other);
    return error;
}

// What is written to a reference file publishes; a directory is many files.
static int rename_file(struct service *service, struct call *call, const struct names_move *move,
                       const struct tree_entry *entry, bool may_replace, struct err *err)
{
    if (entry->is_directory || path_is_reference_file(move->new_name))
        return use_mv(err);
    auto_free char *key = tree_key(service->tree, move->directory, move->name);
    if (!key)
        return err_no_memory(err);
    const struct small_copy copy = {
        .key = key,
        .etag = entry->etag,
        .size_bytes = entry->size_bytes,
        .new_directory = move->new_directory,
        .new_name = move->new_name,
        .who = move->who,
        .may_replace = may_replace,
    };
    int error = small_copy(&service->place, call, &copy, err);
    return error < 0 ? error : delete_object(service, call, move->directory, entry, err);
}

static int replace_file(struct service *service, struct call *call, const struct names_move *move,
                        const struct tree_entry *entry, const struct tree_entry *other,
                        struct err *err)
{
    bool is_the_same = false;
    if (other->is_directory)
        return err_set(err, EISDIR, "%s is a directory", move->new_name);
    if (other->is_symlink)
        return err_set(err, EEXIST,
                       "%s is a symbolic link, which no file replaces: remove it first",
                       move->new_name);
    if (path_is_reference_file(move->new_name) && !path_is_under_releases(move->new_directory))
        return use_mv(err);
    if (store_place_may_replace(&service->place, move->new_directory))
        return rename_file(service, call, move, entry, true, err);
    if (is_same(service, call, move, &is_the_same, err) < 0)
        return -err->errnum;
    return is_the_same ? delete_object(service, call, move->directory, entry, err)
                       : store_place_refuse(move->new_directory, move->new_name, err);
}

// A symbolic link takes a new name, or that of another one.
static int move_symlink(struct service *service, struct call *call, const struct names_move *move,
                        const struct tree_entry *entry, const struct tree_entry *other,
                        struct symlink_moved *ret_moved, struct err *err)
{
    if (other && other->is_directory)
        return err_set(err, EISDIR, "%s is a directory", move->new_name);
    if (other && !other->is_symlink)
        return err_set(err, EEXIST,
                       "%s is a file, which no symbolic link replaces: remove it first",
                       move->new_name);
    const struct symlink_move to = {
        .from = {move->directory, move->name},
        .to = {move->new_directory, move->new_name},
        .etag = entry->etag,
        .is_there = other,
        .is_exclusive = move->is_exclusive,
        .who = move->who,
    };
    return symlink_move(&service->place, call, &to, ret_moved, err);
}

static int replace(struct service *service, struct call *call, const struct names_move *move,
                   const struct tree_entry *entry, struct symlink_moved *ret_moved, struct err *err)
{
    auto_listing struct tree_listing *listing = NULL;
    if (tree_list(service->tree, call, move->new_directory, &listing, err) < 0)
        return -err->errnum;
    const struct tree_entry *other = tree_listing_find(listing, move->new_name);
    if (other && move->is_exclusive)
        return err_set(err, EEXIST, "%s is there already", move->new_name);
    if (entry->is_symlink)
        return move_symlink(service, call, move, entry, other, ret_moved, err);
    if (!other)
        return rename_file(service, call, move, entry, false, err);
    return entry->is_directory ? replace_directory(service, call, move, other, err)
                               : replace_file(service, call, move, entry, other, err);
}

int names_move(struct service *service, struct call *call, const struct names_move *move,
               struct names_moved *ret_moved, struct err *err)
{
    auto_listing struct tree_listing *listing = NULL;
    if (service->options->is_read_only)
        return err_set(err, EROFS, "the mount is read-only (ro)");
    if (tree_list(service->tree, call, move->directory, &listing, err) < 0)
        return -err->errnum;
    // mv of a whole directory moves what it finds in it: the new directory makes its own.
    if (is_generated(service, listing, move->name) && strcmp(move->name, move->new_name) == 0)
        return 0;
    if (virtual_find(move->new_name))
        return err_set(err, EPERM, "%s is made by this program, it cannot be written",
                       move->new_name);
    if (is_generated(service, listing, move->name))
        return err_set(err, EPERM, "%s is made by this program: cp it instead", move->name);
    const struct tree_entry *entry = tree_listing_find(listing, move->name);
    if (!entry)
        return err_set(err, ENOENT, "there is no such file");
    if (check_removable(service, call, move, entry, err) < 0)
        return -err->errnum;
    int error = replace(service, call, move, entry, &ret_moved->symlink, err);
    ret_moved->is_moved = error == 0;
    return error;
}
