#include "collect.h"

#include "../path.h"
#include "../publish/reference_file.h"
#include "virtual.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SETTLING_MS = 60 * 1000, // age under which a file's record may still be on its way
};

bool collect_wants(const struct tree_entry *entry)
{
    return !entry->is_directory && !entry->is_symlink && !path_is_reference_file(entry->name) &&
           !virtual_find(entry->name);
}

bool collect_is_branch(const struct tree_listing *listing)
{
    if (*listing->directory == '\0' || path_is_under_releases(listing->directory))
        return false;
    for (size_t i = 0; i < listing->count; i++) {
        const struct tree_entry *entry = &listing->entries[i];
        if (entry->is_directory && path_is_commit(entry->name, strlen(entry->name)))
            return true;
    }
    return false;
}

static void free_all(char **texts, size_t count)
{
    for (size_t i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

void collection_done(struct collection *collection)
{
    size_t count = collection->snapshot.file_count;

    if (collection->wanted)
        record_cache_release(collection->records, collection->wanted, collection->wanted_count);
    free(collection->wanted);
    free(collection->owners);
    free_all(collection->download_names, count);
    free_all(collection->keys, count);
    free_all(collection->urls, count);
    free(collection->files);
    free(collection->branch);
    newest_free(collection->newest, collection->newest_count);
    below_done(&collection->below);
    tree_listing_unref(collection->listing);
    *collection = (struct collection){0};
}

// ---- the files and their names -----------------------------------------------------------------

static int collect_names(struct collection *collection, size_t count, struct err *err)
{
    auto_free const char **names = calloc(count ? count : 1, sizeof(*names));
    auto_free char **download_names = calloc(count ? count : 1, sizeof(*download_names));

    if (!names || !download_names)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        names[i] = path_last(collection->files[i].name);
    if (path_download_names(names, count, download_names) < 0)
        return err_no_memory(err);
    collection->download_names = TAKE(download_names);
    for (size_t i = 0; i < count; i++)
        collection->files[i].download_name = collection->download_names[i];
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct snapshot_file *left = a, *right = b;
    int order = strcmp(path_last(left->name), path_last(right->name));

    return order != 0 ? order : strcmp(left->name, right->name);
}

// Those of the listing and, of a branch, the newest below.
static int collect_files(const struct collect_options *options, struct collection *collection,
                         struct err *err)
{
    const struct tree_listing *listing = collection->listing;
    size_t limit = listing->count + collection->newest_count + 1;
    size_t count = 0;

    collection->files = calloc(limit, sizeof(*collection->files));
    collection->keys = calloc(limit, sizeof(*collection->keys));
    if (!collection->files || !collection->keys)
        return err_no_memory(err);
    for (size_t i = 0; i < listing->count; i++) {
        const struct tree_entry *entry = &listing->entries[i];
        if (collect_wants(entry))
            collection->files[count++] = (struct snapshot_file){
                .name = entry->name,
                .size_bytes = entry->size_bytes,
                .modified_ms = entry->modified_ms,
                .etag = entry->etag,
            };
    }
    for (size_t i = 0; i < collection->newest_count; i++)
        collection->files[count++] = (struct snapshot_file){
            .name = collection->newest[i].path,
            .size_bytes = collection->newest[i].size_bytes,
            .modified_ms = collection->newest[i].modified_ms,
            .etag = collection->newest[i].etag,
        };
    if (collection->newest_count > 0)
        qsort(collection->files, count, sizeof(*collection->files), compare_names);
    collection->snapshot.files = collection->files;
    collection->snapshot.file_count = count;
    for (size_t i = 0; i < count; i++) {
        collection->keys[i] =
            tree_key(options->tree, listing->directory, collection->files[i].name);
        if (!collection->keys[i])
            return err_no_memory(err);
    }
    return collect_names(collection, count, err);
}

// ---- records -----------------------------------------------------------------------------------

// Whether the file lies in that build: "abc1234", or the directory's own.
static bool is_of_build(const struct snapshot_file *file, const char *build, size_t build_size)
{
    size_t size = (size_t)(path_last(file->name) - file->name);

    return size == build_size && memcmp(file->name, build, size) == 0;
}

// Asks for the records of all files of the build in which files[first] lies.
static int collect_build_records(const struct collect_options *options, struct call *call,
                                 struct collection *collection, size_t first, struct err *err)
{
    const char *build = collection->files[first].name;
    size_t build_size = (size_t)(path_last(build) - build);
    size_t held = collection->wanted_count;
    size_t count = held;
    // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): clang 14 forgets that it has a name
    auto_free char *below = strndup(build, build_size > 0 ? build_size - 1 : 0);
    if (!below)
        return err_no_memory(err);
    auto_free char *directory = build_size > 0 ? path_join(collection->snapshot.directory, below)
                                               : strdup(collection->snapshot.directory);
    if (!directory)
        return err_no_memory(err);
    for (size_t i = first; i < collection->snapshot.file_count; i++) {
        if (is_of_build(&collection->files[i], build, build_size)) {
            collection->owners[count] = &collection->files[i];
            collection->wanted[count++] = (struct record_wanted){
                .key = collection->keys[i],
                .etag = collection->files[i].etag,
            };
        }
    }
    int error = record_cache_get_all(options->records, call, directory, &collection->wanted[held],
                                     count - held, err);
    if (error < 0)
        return err_wrap(err, "cannot read the records of %s", directory);
    collection->wanted_count = count;
    return 0;
}

static bool is_first_of_build(const struct collection *collection, size_t index)
{
    const char *build = collection->files[index].name;
    size_t build_size = (size_t)(path_last(build) - build);

    for (size_t i = 0; i < index; i++) {
        if (is_of_build(&collection->files[i], build, build_size))
            return false;
    }
    return true;
}

static int collect_records(const struct collect_options *options, struct call *call,
                           struct collection *collection, struct err *err)
{
    size_t count = collection->snapshot.file_count;

    collection->owners = calloc(count ? count : 1, sizeof(void *));
    collection->wanted = calloc(count ? count : 1, sizeof(*collection->wanted));
    collection->records = options->records;
    if (!collection->owners || !collection->wanted)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        int error = is_first_of_build(collection, i)
                        ? collect_build_records(options, call, collection, i, err)
                        : 0;
        if (error < 0)
            return error;
    }
    for (size_t i = 0; i < collection->wanted_count && collection->owners[i]; i++) {
        const struct record *record = collection->wanted[i].record;
        struct snapshot_file *file = collection->owners[i];
        // A record that disagrees with the listing says nothing about this object.
        if (record && record->size_bytes == file->size_bytes)
            file->record = record;
        else if (!record && collection->snapshot.now_ms - file->modified_ms < SETTLING_MS)
            collection->is_settling = true;
    }
    return 0;
}

// ---- signatures --------------------------------------------------------------------------------

// The file that would hold the image's signatures; NULL where there is none. *ret_error: -ENOMEM.
static const struct snapshot_file *find_signatures(const struct collection *collection,
                                                   const struct snapshot_file *image,
                                                   int *ret_error)
{
    auto_free char *name = reference_signatures_name(image->name);
    if (!name) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    const struct snapshot_file key = {.name = name};
    return bsearch(&key, collection->files, collection->snapshot.file_count,
                   sizeof(*collection->files), compare_names);
}

// What stands beside an image and is about it may be newer than the image's own record.
static int collect_signatures(struct collection *collection, struct err *err)
{
    for (size_t i = 0; i < collection->snapshot.file_count; i++) {
        struct snapshot_file *file = &collection->files[i];
        const struct record *record = file->record;
        int error = 0;
        if (!record || !record->has_image)
            continue;
        const struct snapshot_file *signatures = find_signatures(collection, file, &error);
        if (error < 0)
            return err_no_memory(err);
        if (signatures && signatures->record &&
            strcmp(signatures->record->referrers.of, record->manifest_digest) == 0)
            file->signatures = signatures;
        if (file->signatures || record->referrers.is_known)
            file->referrers =
                file->signatures ? &file->signatures->record->referrers : &record->referrers;
    }
    return 0;
}

// ---- links -------------------------------------------------------------------------------------

static int check_life(const struct collect_options *options, int64_t asked_ms, int64_t soonest_ms,
                      struct err *err)
{
    // Signatures count in whole seconds, rounded down.
    int64_t life_s = (soonest_ms - asked_ms / 1000 * 1000) / 1000;
    char soonest[CLOCK_RFC3339_SIZE];

    if (life_s >= options->min_expires_s)
        return 0;
    clock_format_rfc3339(soonest_ms, soonest);
    return err_set(err, EACCES,
                   "links would die at %s, in %lld seconds, with the session that signs them, and "
                   "min_expires= asks for %d: raise the role's maximum session duration (and "
                   "presign_session=), use presign_profile= for links of up to 7 days, or lower "
                   "min_expires=",
                   soonest, (long long)life_s, options->min_expires_s);
}

static int sign_all(const struct collect_options *options, struct s3_session *session,
                    struct collection *collection, struct err *err)
{
    auto_buf struct buf url = BUF_INIT(COLLECT_URL_LIMIT);

    for (size_t i = 0; i < collection->snapshot.file_count; i++) {
        struct snapshot_file *file = &collection->files[i];
        buf_clear(&url);
        int error = s3_presign_get(session, collection->keys[i], file->download_name,
                                   options->expires_s, &url, &file->expires_ms, err);
        if (error < 0)
            return err_wrap(err, "cannot sign a link to %s", file->name);
        collection->urls[i] = strdup(buf_text(&url));
        if (!collection->urls[i])
            return err_no_memory(err);
        file->url = collection->urls[i];
        if (file->expires_ms < collection->soonest_ms)
            collection->soonest_ms = file->expires_ms;
    }
    return 0;
}

// The newest file's link: encryption may have been turned on since the others were written.
static int try_a_link(const struct collect_options *options, struct call *call,
                      struct s3_session *session, const struct collection *collection,
                      struct err *err)
{
    size_t newest = 0;

    if (collection->snapshot.file_count == 0)
        return 0;
    for (size_t i = 1; i < collection->snapshot.file_count; i++)
        if (collection->files[i].modified_ms > collection->files[newest].modified_ms)
            newest = i;
    return s3_presigner_try(options->presigner, call, session, collection->keys[newest], err);
}

static int collect_links(const struct collect_options *options, struct call *call,
                         struct collection *collection, struct err *err)
{
    size_t count = collection->snapshot.file_count;
    struct s3_session *session;

    collection->urls = calloc(count ? count : 1, sizeof(*collection->urls));
    if (!collection->urls)
        return err_no_memory(err);
    int error = s3_presigner_session(options->presigner, call, &session, err);
    if (error < 0)
        return err_wrap(err, "cannot make links");
    int64_t asked_ms = clock_now_ms(options->clock);
    error = sign_all(options, session, collection, err);
    if (error == 0)
        error = check_life(options, asked_ms, collection->soonest_ms, err);
    if (error == 0)
        error = try_a_link(options, call, session, collection, err);
    s3_session_unref(session);
    return error;
}

static int sign_one(const struct collect_options *options, struct s3_session *session,
                    const struct collection *collection, const char *name, struct buf *ret_url,
                    int64_t *ret_expires_ms, struct err *err)
{
    for (size_t i = 0; i < collection->snapshot.file_count; i++)
        if (strcmp(collection->files[i].name, name) == 0)
            return s3_presign_get(session, collection->keys[i], collection->files[i].download_name,
                                  options->expires_s, ret_url, ret_expires_ms, err);
    return err_set(err, ENOENT, "there is no link to %s", name);
}

int collect_link(const struct collect_options *options, struct call *call,
                 struct tree_listing *listing, const char *name, struct buf *ret_url,
                 int64_t *ret_expires_ms, struct err *err)
{
    struct collection collection = {.listing = tree_listing_ref(listing)};
    struct s3_session *session = NULL;
    int error = collect_files(options, &collection, err);
    if (error == 0)
        error = s3_presigner_session(options->presigner, call, &session, err);
    int64_t asked_ms = clock_now_ms(options->clock);
    if (error == 0)
        error = sign_one(options, session, &collection, name, ret_url, ret_expires_ms, err);
    if (error == 0)
        error = check_life(options, asked_ms, *ret_expires_ms, err);
    if (error == 0)
        error = try_a_link(options, call, session, &collection, err);
    s3_session_unref(session);
    collection_done(&collection);
    return error;
}

// ---- the whole ---------------------------------------------------------------------------------

// Which build the directory is: releases/VERSION, or BRANCH/SHA; or a whole branch.
static int name_build(struct collection *collection, struct err *err)
{
    struct snapshot *snapshot = &collection->snapshot;
    const char *directory = snapshot->directory;
    size_t releases_size = strlen(PATH_RELEASES "/");

    if (path_is_under_releases(directory) && strlen(directory) > releases_size) {
        snapshot->is_release = true;
        snapshot->branch = "";
        snapshot->build = directory + releases_size;
        return 0;
    }
    snapshot->is_branch = collect_is_branch(collection->listing);
    collection->branch = snapshot->is_branch ? strdup(directory) : path_parent(directory);
    if (!collection->branch)
        return err_no_memory(err);
    snapshot->branch = collection->branch;
    snapshot->build = snapshot->is_branch ? "" : path_last(directory);
    return 0;
}

static struct collection begin(const struct collect_options *options, struct tree_listing *listing)
{
    return (struct collection){
        .listing = tree_listing_ref(listing),
        .soonest_ms = INT64_MAX,
        .snapshot =
            {
                .directory = listing->directory,
                .now_ms = clock_now_ms(options->clock),
                .origin = s3_client_origin(options->client),
                .bucket = s3_client_bucket(options->client),
                .title = options->title,
                .contact = options->contact,
                .version = PRERELEASEFS_VERSION,
            },
    };
}

int collect(const struct collect_options *options, struct call *call, struct tree_listing *listing,
            bool wants_links, struct collection *ret_collection, struct err *err)
{
    struct collection collection = begin(options, listing);
    int error = name_build(&collection, err);

    if (error == 0 && collection.snapshot.is_branch)
        error =
            newest_collect(options->client, call, tree_prefix(options->tree), listing->directory,
                           &collection.newest, &collection.newest_count, err);
    if (error == 0)
        error = collect_files(options, &collection, err);
    if (error == 0)
        error = collect_records(options, call, &collection, err);
    if (error == 0)
        error = collect_signatures(&collection, err);
    // Last, so that reading records takes nothing of the links' lives.
    if (error == 0 && wants_links)
        error = collect_links(options, call, &collection, err);
    if (error < 0) {
        collection_done(&collection);
        return error;
    }
    *ret_collection = collection;
    return 0;
}

int collect_index(const struct collect_options *options, struct call *call,
                  struct tree_listing *listing, struct collection *ret_collection, struct err *err)
{
    struct collection collection = begin(options, listing);
    struct snapshot *snapshot = &collection.snapshot;
    int error = below_collect(options->client, call, tree_prefix(options->tree), listing,
                              &collection.below, err);
    if (error < 0) {
        collection_done(&collection);
        return err_wrap(err, "listing what is below %s/", listing->directory);
    }
    snapshot->builds = collection.below.builds;
    snapshot->build_count = collection.below.build_count;
    snapshot->children = collection.below.children;
    snapshot->child_count = collection.below.child_count;
    snapshot->is_cut = collection.below.is_cut;
    snapshot->has_reports = options->presigner;
    snapshot->is_branch = collect_is_branch(listing);
    *ret_collection = collection;
    return 0;
}
