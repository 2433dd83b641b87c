#include "below.h"

#include "../path.h"
#include "../symlink.h"
#include "base/scope.h"
#include "collect.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define LAST_CHARACTER "\xF4\x8F\xBF\xBF" // U+10FFFF: behind all keys that go on behind it

enum { BUILDS_FIRST = 64 }; // room for so many at first; doubles

struct gathering {
    struct below below;
    const struct tree_listing *listing;
    char *list_prefix;
    char *own_prefix; // of this program's own objects; NULL but for the root
    size_t capacity;
    size_t key_count;
    void *by_path; // tsearch: what comes of one directory does not come at once
    bool has_failed;
};

// A node of the tree; the build itself moves when there are more.
struct place {
    char *path;
    size_t index;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

static void free_place(void *place)
{
    free(place); // its path is the build's
}

// ---- adding up ---------------------------------------------------------------------------------

static bool is_nameable(const char *path)
{
    while (*path) {
        size_t size = strcspn(path, "/");
        if (!path_is_component(path, size))
            return false;
        path += size + (path[size] == '/');
    }
    return true;
}

static struct snapshot_build *add_build(struct gathering *gathering, const char *path)
{
    struct below *below = &gathering->below;

    if (below->build_count == gathering->capacity) {
        size_t capacity = gathering->capacity ? gathering->capacity * 2 : BUILDS_FIRST;
        struct snapshot_build *builds = reallocarray(below->builds, capacity, sizeof(*builds));
        if (!builds)
            return NULL;
        below->builds = builds;
        gathering->capacity = capacity;
    }
    struct snapshot_build *build = &below->builds[below->build_count];
    *build = (struct snapshot_build){.path = strdup(path)};
    if (!build->path)
        return NULL;
    below->build_count++;
    return build;
}

static struct snapshot_build *find_or_add(struct gathering *gathering, char *path)
{
    struct below *below = &gathering->below;
    struct place wanted = {.path = path};
    void *found = tfind(&wanted, &gathering->by_path, compare_places);

    if (found)
        return &below->builds[(*(struct place **)found)->index];
    struct place *place = malloc(sizeof(*place));
    struct snapshot_build *build = place ? add_build(gathering, path) : NULL;
    if (!build) {
        free(place);
        return NULL;
    }
    *place = (struct place){(char *)build->path, below->build_count - 1};
    if (!tsearch(place, &gathering->by_path, compare_places)) {
        free(place);
        return NULL;
    }
    return build;
}

static int compare_children(const void *a, const void *b)
{
    return strcmp(((const struct snapshot_child *)a)->name,
                  ((const struct snapshot_child *)b)->name);
}

// The one below which the path leads; NULL where the listing has not seen it yet.
static struct snapshot_child *child_of(const struct below *below, const char *path)
{
    char name[PATH_NAME_MAX + 1] = "";
    const struct snapshot_child wanted = {.name = name};

    if (below->child_count == 0)
        return NULL;
    memcpy(name, path, strcspn(path, "/")); // is_nameable
    return bsearch(&wanted, below->children, below->child_count, sizeof(*below->children),
                   compare_children);
}

// "fix-login/abc1234", which makes fix-login a branch.
static bool is_build_of_child(const char *path, const char *child)
{
    const char *build = path + strlen(child);

    return *build == '/' && path_is_commit(build + 1, strlen(build + 1)) &&
           !path_is_under_releases(path);
}

static void add_object(struct gathering *gathering, const struct s3_object_info *object)
{
    assert(gathering->list_prefix); // since it has begun
    size_t prefix_size = strlen(gathering->list_prefix);

    if (strncmp(object->key, gathering->list_prefix, prefix_size) != 0)
        return;
    const char *relative = object->key + prefix_size;
    const char *slash = strrchr(relative, '/');
    if (!slash || !is_nameable(relative)) // a file of the directory itself is report.html's
        return;
    auto_free char *path = strndup(relative, (size_t)(slash - relative));
    if (!path) {
        gathering->has_failed = true;
        return;
    }
    struct snapshot_child *child = child_of(&gathering->below, path);
    if (child && strchr(path, '/'))
        child->has_index = true;
    const struct tree_entry entry = {
        .name = slash + 1,
        .is_symlink = symlink_name_size(slash + 1, object->size_bytes) > 0,
    };
    if (!*entry.name || !collect_wants(&entry))
        return;
    struct snapshot_build *build = find_or_add(gathering, path);
    if (!build) {
        gathering->has_failed = true;
        return;
    }
    build->size_bytes += object->size_bytes;
    build->file_count++;
    if (object->modified_ms > build->modified_ms)
        build->modified_ms = object->modified_ms;
    if (child) {
        child->is_branch |= is_build_of_child(path, child->name);
        child->size_bytes += object->size_bytes;
        if (object->modified_ms > child->modified_ms)
            child->modified_ms = object->modified_ms;
    }
}

// ---- listing -----------------------------------------------------------------------------------

static bool is_own(const struct gathering *gathering, const char *key)
{
    return gathering->own_prefix &&
           strncmp(key, gathering->own_prefix, strlen(gathering->own_prefix)) == 0;
}

// What comes behind the last key that was looked at is not known.
static void cut(struct below *below, const char *last_path)
{
    size_t size = strcspn(last_path, "/");

    below->is_cut = true;
    for (size_t i = 0; i < below->child_count; i++) {
        const char *name = below->children[i].name;
        int order = strncmp(name, last_path, size);
        below->children[i].is_unknown = order > 0 || (order == 0 && name[size] != '\0');
    }
}

static void add_page(struct gathering *gathering, const struct s3_page *page)
{
    for (size_t i = 0; i < page->object_count; i++) {
        if (is_own(gathering, page->objects[i].key))
            continue;
        add_object(gathering, &page->objects[i]);
        gathering->key_count++;
    }
    if (page->next_token && page->object_count > 0 && gathering->key_count >= BELOW_KEYS_MAX)
        cut(&gathering->below,
            page->objects[page->object_count - 1].key + strlen(gathering->list_prefix));
}

static int list_below(struct gathering *gathering, struct s3_client *client, struct call *call,
                      struct err *err)
{
    auto_free char *token = NULL;
    auto_free char *behind_own =
        gathering->own_prefix ? path_key(gathering->own_prefix, "", LAST_CHARACTER) : NULL;
    bool is_behind = false;
    bool goes_on = true;

    while (goes_on && !gathering->below.is_cut) {
        struct s3_page page = {0};
        int error = s3_list_page(client, call, gathering->list_prefix, NULL,
                                 is_behind && !token ? behind_own : NULL, token, S3_LIST_PAGE_KEYS,
                                 &page, err);
        if (error < 0)
            return error;
        add_page(gathering, &page);
        free(token);
        token = TAKE(page.next_token);
        goes_on = token;
        // A page that ends among the program's own objects: the next begins behind them.
        if (token && !is_behind && page.object_count > 0 &&
            is_own(gathering, page.objects[page.object_count - 1].key)) {
            free(TAKE(token));
            is_behind = true;
        }
        s3_page_done(&page);
        if (gathering->has_failed)
            return err_no_memory(err);
    }
    return 0;
}

// ---- the whole ---------------------------------------------------------------------------------

static int compare_dates(int64_t a_ms, int64_t b_ms, const char *a, const char *b)
{
    return a_ms != b_ms ? (a_ms < b_ms) - (a_ms > b_ms) : strcmp(a, b);
}

static int compare_builds(const void *a, const void *b)
{
    const struct snapshot_build *left = a, *right = b;
    return compare_dates(left->modified_ms, right->modified_ms, left->path, right->path);
}

static int compare_children_dates(const void *a, const void *b)
{
    const struct snapshot_child *left = a, *right = b;
    return compare_dates(left->modified_ms, right->modified_ms, left->name, right->name);
}

static int begin(struct gathering *gathering, const char *prefix, struct err *err)
{
    const struct tree_listing *listing = gathering->listing;
    struct below *below = &gathering->below;
    bool is_root = listing->directory[0] == '\0';

    gathering->list_prefix = path_list_prefix(prefix, listing->directory);
    gathering->own_prefix = is_root ? path_key(prefix, PATH_OWN_DIRECTORY, "") : NULL;
    below->children = calloc(listing->count + 1, sizeof(*below->children));
    if (!gathering->list_prefix || (is_root && !gathering->own_prefix) || !below->children)
        return err_no_memory(err);
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->entries[i].is_directory)
            below->children[below->child_count++].name = listing->entries[i].name;
    }
    return 0;
}

static void finish(struct below *below)
{
    for (size_t i = 0; i < below->build_count; i++) {
        struct snapshot_child *child = child_of(below, below->builds[i].path);
        if (child)
            child->build_count++;
    }
    if (below->build_count > 0)
        qsort(below->builds, below->build_count, sizeof(*below->builds), compare_builds);
    qsort(below->children, below->child_count, sizeof(*below->children), compare_children_dates);
}

int below_collect(struct s3_client *client, struct call *call, const char *prefix,
                  const struct tree_listing *listing, struct below *ret_below, struct err *err)
{
    struct gathering gathering = {.listing = listing};
    int error = begin(&gathering, prefix, err);

    if (error == 0)
        error = list_below(&gathering, client, call, err);
    tdestroy(gathering.by_path, free_place);
    free(gathering.list_prefix);
    free(gathering.own_prefix);
    if (error < 0) {
        below_done(&gathering.below);
        return error;
    }
    finish(&gathering.below);
    *ret_below = gathering.below;
    return 0;
}

void below_done(struct below *below)
{
    for (size_t i = 0; i < below->build_count; i++)
        free((char *)below->builds[i].path);
    free(below->builds);
    free(below->children);
    *below = (struct below){0};
}
