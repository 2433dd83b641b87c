#include "listing.h"

#include "base/scope.h"
#include "path.h"
#include "symlink.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_FIRST = 1024,      // bytes of strings that are allocated at once, at first; doubles ...
    CHUNK_LAST = 128 * 1024, // ... up to this
    ENTRIES_FIRST = 16,      // room for so many at first; doubles
};

struct chunk {
    struct chunk *next;
    size_t used;
    size_t capacity;
    char bytes[];
};

struct listing {
    struct tree_listing public; // first: the two are one address
    atomic_uint references;
    struct chunk *chunks;
};

struct listing_builder {
    struct listing *listing;
    size_t capacity;
    char *list_prefix;
    char *hidden;
    bool is_in_store;
    bool has_failed;
};

static void listing_free(struct listing *listing)
{
    while (listing->chunks) {
        struct chunk *chunk = listing->chunks;
        listing->chunks = chunk->next;
        free(chunk);
    }
    free(listing->public.entries);
    free((char *)listing->public.directory);
    free(listing);
}

struct tree_listing *tree_listing_ref(struct tree_listing *listing)
{
    atomic_fetch_add(&((struct listing *)listing)->references, 1);
    return listing;
}

void tree_listing_unref(struct tree_listing *listing)
{
    if (listing && atomic_fetch_sub(&((struct listing *)listing)->references, 1) == 1)
        listing_free((struct listing *)listing);
}

static int compare_to_name(const void *name, const void *entry)
{
    return strcmp(name, ((const struct tree_entry *)entry)->name);
}

const struct tree_entry *tree_listing_find(const struct tree_listing *listing, const char *name)
{
    if (listing->count == 0)
        return NULL;
    return bsearch(name, listing->entries, listing->count, sizeof(listing->entries[0]),
                   compare_to_name);
}

// ---- building ----------------------------------------------------------------------------------

struct listing_builder *listing_begin(const char *directory, const char *list_prefix,
                                      const char *hidden)
{
    struct listing_builder *builder = calloc(1, sizeof(*builder));
    struct listing *listing = calloc(1, sizeof(*listing));
    if (!builder || !listing) {
        free(builder);
        free(listing);
        return NULL;
    }
    builder->listing = listing;
    atomic_init(&listing->references, 1);
    listing->public.directory = strdup(directory);
    builder->list_prefix = strdup(list_prefix);
    builder->hidden = hidden ? strdup(hidden) : NULL;
    if (listing->public.directory && builder->list_prefix && (!hidden || builder->hidden))
        return builder;
    listing_abandon(builder);
    return NULL;
}

static void free_builder(struct listing_builder *builder)
{
    free(builder->list_prefix);
    free(builder->hidden);
    free(builder);
}

void listing_abandon(struct listing_builder *builder)
{
    if (!builder)
        return;
    listing_free(builder->listing);
    free_builder(builder);
}

static bool add_chunk(struct listing *listing, size_t at_least)
{
    size_t capacity = listing->chunks ? listing->chunks->capacity * 2 : CHUNK_FIRST;
    if (capacity > CHUNK_LAST)
        capacity = CHUNK_LAST;
    if (capacity < at_least)
        capacity = at_least;
    struct chunk *chunk = malloc(sizeof(*chunk) + capacity);
    if (!chunk)
        return false;
    *chunk = (struct chunk){.next = listing->chunks, .capacity = capacity};
    listing->chunks = chunk;
    return true;
}

// A string that lives as long as the listing. NULL on no memory.
static const char *keep(struct listing *listing, const char *text, size_t size)
{
    struct chunk *chunk = listing->chunks;
    if ((!chunk || chunk->capacity - chunk->used <= size) && !add_chunk(listing, size + 1))
        return NULL;
    chunk = listing->chunks;
    char *kept = chunk->bytes + chunk->used;
    memcpy(kept, text, size);
    kept[size] = '\0';
    chunk->used += size + 1;
    return kept;
}

static struct tree_entry *add_entry(struct listing_builder *builder, const char *name, size_t size)
{
    struct listing *listing = builder->listing;
    if (listing->public.count == builder->capacity) {
        size_t capacity = builder->capacity ? builder->capacity * 2 : ENTRIES_FIRST;
        struct tree_entry *entries =
            reallocarray(listing->public.entries, capacity, sizeof(*entries));
        if (!entries)
            return NULL;
        listing->public.entries = entries;
        builder->capacity = capacity;
    }
    struct tree_entry *entry = &listing->public.entries[listing->public.count];
    *entry = (struct tree_entry){.name = keep(listing, name, size)};
    if (!entry->name)
        return NULL;
    listing->public.count++;
    return entry;
}

static void add_object(struct listing_builder *builder, const char *name, size_t size,
                       const struct s3_object_info *object)
{
    struct tree_entry *entry = add_entry(builder, name, size);
    if (!entry) {
        builder->has_failed = true;
        return;
    }
    entry->is_symlink = name[size] != '\0';
    entry->size_bytes = object->size_bytes;
    entry->modified_ms = object->modified_ms;
    entry->etag = keep(builder->listing, object->etag, strlen(object->etag));
    entry->storage_class = "STANDARD";
    if (object->storage_class && strcmp(object->storage_class, "STANDARD") != 0)
        entry->storage_class =
            keep(builder->listing, object->storage_class, strlen(object->storage_class));
    if (!entry->etag || !entry->storage_class)
        builder->has_failed = true;
}

// The part of a key behind list_prefix; NULL for a key that does not stand below it.
static const char *name_of(const struct listing_builder *builder, const char *key)
{
    size_t size = strlen(builder->list_prefix);
    return strncmp(key, builder->list_prefix, size) == 0 ? key + size : NULL;
}

static bool is_hidden(const struct listing_builder *builder, const char *name, size_t size)
{
    return builder->hidden && strlen(builder->hidden) == size &&
           memcmp(builder->hidden, name, size) == 0;
}

void listing_add_page(struct listing_builder *builder, const struct s3_page *page)
{
    struct tree_listing *listing = &builder->listing->public;
    if (page->object_count || page->prefix_count || page->unnameable_count)
        builder->is_in_store = true;
    listing->left_out_count += page->unnameable_count;
    for (size_t i = 0; i < page->object_count; i++) {
        const char *name = name_of(builder, page->objects[i].key);
        if (name && name[0] == '\0')
            continue; // the directory's own marker
        size_t size = name ? symlink_name_size(name, page->objects[i].size_bytes) : 0;
        if (name && size == 0)
            size = strlen(name);
        if (!name || !path_is_component(name, size))
            listing->left_out_count++;
        else if (!is_hidden(builder, name, size))
            add_object(builder, name, size, &page->objects[i]);
    }
    for (size_t i = 0; i < page->prefix_count; i++) {
        const char *name = name_of(builder, page->prefixes[i]);
        size_t size = name ? strlen(name) : 0;
        if (size == 0 || name[size - 1] != '/' || !path_is_component(name, size - 1)) {
            listing->left_out_count++;
        } else if (!is_hidden(builder, name, size - 1)) {
            listing_add_directory(builder, name, size - 1);
        }
    }
}

void listing_add_directory(struct listing_builder *builder, const char *name, size_t size)
{
    struct tree_entry *entry = add_entry(builder, name, size);
    if (entry)
        entry->is_directory = true;
    else
        builder->has_failed = true;
}

bool listing_is_in_store(const struct listing_builder *builder)
{
    return builder->is_in_store;
}

// By name; of one name directories come first, symbolic links last.
static int compare_entries(const void *a, const void *b)
{
    const struct tree_entry *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    if (order == 0)
        order = right->is_directory - left->is_directory;
    return order ? order : left->is_symlink - right->is_symlink;
}

static void drop_doubles(struct tree_listing *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++) {
        const struct tree_entry *entry = &listing->entries[i];
        if (kept > 0 && strcmp(listing->entries[kept - 1].name, entry->name) == 0) {
            // The same directory from the store and from mkdir is no name that is left out.
            listing->left_out_count += !entry->is_directory;
            continue;
        }
        listing->entries[kept++] = *entry;
    }
    listing->count = kept;
}

struct tree_listing *listing_finish(struct listing_builder *builder)
{
    if (builder->has_failed) {
        listing_abandon(builder);
        return NULL;
    }
    struct tree_listing *listing = &builder->listing->public;
    free_builder(builder);
    if (listing->count)
        qsort(listing->entries, listing->count, sizeof(listing->entries[0]), compare_entries);
    drop_doubles(listing);
    for (size_t i = 0; i < listing->count; i++) {
        const struct tree_entry *entry = &listing->entries[i];
        listing->symlink_count += entry->is_symlink;
        listing->file_count += !entry->is_directory && !entry->is_symlink;
    }
    return listing;
}

static bool is_same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
    if (strcmp(a->name, b->name) != 0 || a->is_directory != b->is_directory ||
        a->is_symlink != b->is_symlink)
        return false;
    return a->is_directory ||
           (a->size_bytes == b->size_bytes && a->modified_ms == b->modified_ms &&
            strcmp(a->etag, b->etag) == 0 && strcmp(a->storage_class, b->storage_class) == 0);
}

bool listing_is_same(const struct tree_listing *a, const struct tree_listing *b)
{
    if (a->count != b->count || a->left_out_count != b->left_out_count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!is_same_entry(&a->entries[i], &b->entries[i]))
            return false;
    }
    return true;
}
