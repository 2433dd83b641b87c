#include "newest.h"

#include "../path.h"
#include "../publish/reference_file.h"
#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_FIRST = 64 }; // room for so many at first; doubles

struct search {
    struct newest_file *files;
    size_t count;
    size_t capacity;
    size_t key_count;
};

void newest_free(struct newest_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i].path);
        free(files[i].etag);
    }
    free(files);
}

// ---- what is there -----------------------------------------------------------------------------

// "abc1234/NAME.tar", and how long "abc1234" is; 0 for anything else.
static size_t build_size(const char *path)
{
    size_t size = strcspn(path, "/");
    const char *name = path + size + 1;
    enum archive_format format;

    if (path[size] != '/' || !path_is_commit(path, size) || strchr(name, '/') ||
        !path_is_component(name, strlen(name)) || !reference_name_format(name, &format))
        return 0;
    return size;
}

static int add(struct search *search, const struct s3_object_info *object, const char *path,
               size_t size)
{
    if (search->count == search->capacity) {
        size_t capacity = search->capacity ? search->capacity * 2 : FILES_FIRST;
        struct newest_file *files = reallocarray(search->files, capacity, sizeof(*files));
        if (!files)
            return -ENOMEM;
        search->files = files;
        search->capacity = capacity;
    }
    struct newest_file *file = &search->files[search->count];
    *file = (struct newest_file){
        .path = strdup(path),
        .etag = strdup(object->etag),
        .build_size = size,
        .size_bytes = object->size_bytes,
        .modified_ms = object->modified_ms,
    };
    search->count++;
    return file->path && file->etag ? 0 : -ENOMEM;
}

static int add_page(struct search *search, const struct s3_page *page, size_t prefix_size)
{
    for (size_t i = 0; i < page->object_count; i++) {
        const char *path = page->objects[i].key + prefix_size;
        size_t size = build_size(path);
        if (size > 0 && add(search, &page->objects[i], path, size) < 0)
            return -ENOMEM;
    }
    search->key_count += page->object_count;
    return 0;
}

static int list(struct search *search, struct s3_client *client, struct call *call,
                const char *list_prefix, struct err *err)
{
    auto_free char *token = NULL;

    do {
        struct s3_page page = {0};
        if (search->key_count >= NEWEST_KEYS_MAX)
            return err_set(err, EFBIG, "more than %d files lie below: open the builds' own pages",
                           NEWEST_KEYS_MAX);
        int error = s3_list_page(client, call, list_prefix, NULL, NULL, token, S3_LIST_PAGE_KEYS,
                                 &page, err);
        if (error < 0)
            return error;
        error = add_page(search, &page, strlen(list_prefix));
        free(token);
        token = TAKE(page.next_token);
        s3_page_done(&page);
        if (error < 0)
            return err_no_memory(err);
    } while (token);
    return 0;
}

// ---- the newest of them ------------------------------------------------------------------------

static const char *name_of(const struct newest_file *file)
{
    return file->path + file->build_size + 1;
}

size_t newest_image_size(const char *name)
{
    size_t size = strlen(name);
    size_t to_colon = strcspn(name, ":");

    if (to_colon < size)
        return to_colon;
    size -=
        size > strlen(".gz") && strcmp(name + size - strlen(".gz"), ".gz") == 0 ? strlen(".gz") : 0;
    size -= strlen(".tar");
    return reference_name_is_signatures(name) ? size - strlen(".signatures") : size;
}

static int compare_images(const struct newest_file *a, const struct newest_file *b)
{
    size_t a_size = newest_image_size(name_of(a)), b_size = newest_image_size(name_of(b));
    int order = memcmp(name_of(a), name_of(b), a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static bool is_of_build(const struct newest_file *a, const struct newest_file *b)
{
    return a->build_size == b->build_size && memcmp(a->path, b->path, a->build_size) == 0;
}

// Signatures may be published long after their image, which does not make it a newer one.
static int64_t age_of(const struct newest_file *file)
{
    return reference_name_is_signatures(name_of(file)) ? INT64_MIN : file->modified_ms;
}

// By image, the newest first; of files of one age always the same one.
static int compare_ages(const void *a, const void *b)
{
    const struct newest_file *left = a, *right = b;
    int order = compare_images(left, right);

    if (order != 0)
        return order;
    int64_t left_ms = age_of(left), right_ms = age_of(right);
    if (left_ms != right_ms)
        return left_ms > right_ms ? -1 : 1;
    return strcmp(left->path, right->path);
}

static int compare_names(const void *a, const void *b)
{
    const struct newest_file *left = a, *right = b;
    int order = strcmp(name_of(left), name_of(right));

    return order != 0 ? order : strcmp(left->path, right->path);
}

static void keep_newest(struct search *search)
{
    struct newest_file *files = search->files;
    size_t kept = 0;

    if (search->count == 0)
        return;
    qsort(files, search->count, sizeof(*files), compare_ages);
    // files[newest] is the first of its image; it is kept, so it comes to stand at or before `i`.
    size_t newest = 0;
    for (size_t i = 0; i < search->count; i++) {
        bool is_first = i == 0 || compare_images(&files[newest], &files[i]) != 0;
        if (!is_first && !is_of_build(&files[newest], &files[i])) {
            free(files[i].path);
            free(files[i].etag);
            continue;
        }
        files[kept] = files[i];
        newest = is_first ? kept : newest;
        kept++;
    }
    search->count = kept;
    qsort(files, kept, sizeof(*files), compare_names);
}

int newest_collect(struct s3_client *client, struct call *call, const char *prefix,
                   const char *directory, struct newest_file **ret_files, size_t *ret_count,
                   struct err *err)
{
    struct search search = {0};
    auto_free char *list_prefix = path_list_prefix(prefix, directory);
    int error = list_prefix ? list(&search, client, call, list_prefix, err) : err_no_memory(err);

    if (error < 0) {
        newest_free(search.files, search.count);
        return error;
    }
    keep_newest(&search);
    *ret_files = search.files;
    *ret_count = search.count;
    return 0;
}
