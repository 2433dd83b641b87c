#include "tree.h"

#include "base/scope.h"
#include "listing.h"
#include "path.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHANGES_SHIFT = 40, // a sum of version and changes tells both, for all that a mount can live
    BUCKETS = 1024,     // of the hash table; a walk over 10,000 directories has chains of 10
    // Listings are kept so long (or for list_ttl, if that is longer), so that an unchanged one
    // keeps its version, by which virtual files are reused (VIRTUAL_REUSE_MS).
    KEEP_MS = 90 * 1000,
};

// What is remembered of one directory.
struct node {
    struct node *next; // in its bucket
    char *directory;
    struct tree_listing *listing; // NULL: never listed
    bool is_absent;               // listed, and there is no such directory
    int64_t listed_ms;            // monotonic, when that listing was asked for ...
    int64_t got_ms;               // ... and when it was there: list_ttl begins
    uint64_t listed_generation;
    uint64_t generation; // of what is known: grows by tree_forget
    bool is_listing;     // somebody is asking the store
    unsigned failures;   // grows when the store could not be asked
    struct err *failure; // why, the last time; NULL while it always could
    unsigned users;      // threads inside tree_list
};

// A directory that exists because of mkdir, or because its last file was deleted here.
struct made {
    struct made *next;
    char *directory;
};

struct tree {
    struct s3_client *client;
    const struct clock *clock;
    char *prefix;
    int64_t list_ttl_ms;

    pthread_mutex_t lock; // guards what follows; never held while the store is asked
    pthread_cond_t has_listed;
    struct node *buckets[BUCKETS];
    struct made *made;
    uint64_t versions; // the last one given to a listing
};

int tree_new(const struct tree_options *options, struct tree **ret_tree, struct err *err)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (!tree || !(tree->prefix = strdup(options->prefix))) {
        free(tree);
        return err_no_memory(err);
    }
    tree->client = options->client;
    tree->clock = options->clock;
    tree->list_ttl_ms = options->list_ttl_ms;
    pthread_mutex_init(&tree->lock, NULL);
    call_wait_init(&tree->has_listed);
    *ret_tree = tree;
    return 0;
}

static void free_node(struct node *node)
{
    tree_listing_unref(node->listing);
    free(node->failure);
    free(node->directory);
    free(node);
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (tree->buckets[i]) {
            struct node *node = tree->buckets[i];
            tree->buckets[i] = node->next;
            free_node(node);
        }
    }
    while (tree->made) {
        struct made *made = tree->made;
        tree->made = made->next;
        free(made->directory);
        free(made);
    }
    pthread_cond_destroy(&tree->has_listed);
    pthread_mutex_destroy(&tree->lock);
    free(tree->prefix);
    free(tree);
}

char *tree_key(const struct tree *tree, const char *directory, const char *name)
{
    return path_key(tree->prefix, directory, name);
}

const char *tree_prefix(const struct tree *tree)
{
    return tree->prefix;
}

int64_t tree_list_ttl_ms(const struct tree *tree)
{
    return tree->list_ttl_ms;
}

// ---- what is remembered ------------------------------------------------------------------------

static struct node **bucket_of(struct tree *tree, const char *directory)
{
    return &tree->buckets[path_hash(directory) % BUCKETS];
}

static struct node *find_locked(struct tree *tree, const char *directory)
{
    struct node *node = *bucket_of(tree, directory);
    while (node && strcmp(node->directory, directory) != 0)
        node = node->next;
    return node;
}

static struct node *find_or_make_locked(struct tree *tree, const char *directory)
{
    struct node *node = find_locked(tree, directory);
    if (node)
        return node;
    node = calloc(1, sizeof(*node));
    if (!node || !(node->directory = strdup(directory))) {
        free(node);
        return NULL;
    }
    struct node **bucket = bucket_of(tree, directory);
    node->next = *bucket;
    *bucket = node;
    return node;
}

static struct made **find_made_locked(struct tree *tree, const char *directory)
{
    struct made **at = &tree->made;
    while (*at && strcmp((*at)->directory, directory) != 0)
        at = &(*at)->next;
    return at;
}

static void unmake_locked(struct tree *tree, const char *directory)
{
    struct made **at = find_made_locked(tree, directory);
    struct made *made = *at;
    if (!made)
        return;
    *at = made->next;
    free(made->directory);
    free(made);
}

static int make_locked(struct tree *tree, const char *directory, struct err *err)
{
    if (*find_made_locked(tree, directory))
        return 0;
    struct made *made = calloc(1, sizeof(*made));
    if (!made || !(made->directory = strdup(directory))) {
        free(made);
        return err_no_memory(err);
    }
    made->next = tree->made;
    tree->made = made;
    return 0;
}

// Where `made` stands below `directory`: the component that is directly in it, and its size.
static const char *component_below(const char *directory, const char *made, size_t *ret_size)
{
    size_t size = strlen(directory);
    if (size > 0) {
        if (strncmp(made, directory, size) != 0 || made[size] != '/')
            return NULL;
        made += size + 1;
    }
    *ret_size = strcspn(made, "/");
    return made;
}

static bool has_made_below_locked(struct tree *tree, const char *directory)
{
    size_t size;
    for (struct made *made = tree->made; made; made = made->next) {
        if (component_below(directory, made->directory, &size))
            return true;
    }
    return false;
}

static void forget_locked(struct tree *tree, const char *directory)
{
    struct node *node = find_locked(tree, directory);
    if (node)
        node->generation++;
}

// The directory and all above it.
static void forget_path_locked(struct tree *tree, const char *directory)
{
    auto_free char *path = strdup(directory);
    forget_locked(tree, directory);
    while (path && path[0] != '\0') {
        char *slash = strrchr(path, '/');
        *(slash ? slash : path) = '\0';
        forget_locked(tree, path);
    }
    // Out of memory, the directory itself was forgotten: list_ttl does the rest.
}

void tree_sweep(struct tree *tree)
{
    int64_t now_ms = clock_monotonic_ms(tree->clock);
    int64_t keep_ms = tree->list_ttl_ms > KEEP_MS ? tree->list_ttl_ms : KEEP_MS;
    pthread_mutex_lock(&tree->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct node **at = &tree->buckets[i]; *at;) {
            struct node *node = *at;
            if (node->users > 0 || now_ms - node->got_ms < keep_ms) {
                at = &node->next;
                continue;
            }
            *at = node->next;
            free_node(node);
        }
    }
    pthread_mutex_unlock(&tree->lock);
}

// ---- listing -----------------------------------------------------------------------------------

// All pages of the directory. No lock held.
static int ask_store(struct tree *tree, struct call *call, const char *directory,
                     struct listing_builder **ret_builder, struct err *err)
{
    auto_free char *list_prefix = path_list_prefix(tree->prefix, directory);
    if (!list_prefix)
        return err_no_memory(err);
    bool is_root = directory[0] == '\0';
    struct listing_builder *builder =
        listing_begin(directory, list_prefix, is_root ? PATH_OWN_DIRECTORY : NULL);
    if (!builder)
        return err_no_memory(err);
    auto_free char *token = NULL;
    do {
        struct s3_page page = {0};
        int error = s3_list_page(tree->client, call, list_prefix, "/", NULL, token,
                                 S3_LIST_PAGE_KEYS, &page, err);
        if (error < 0) {
            listing_abandon(builder);
            return err_wrap(err, "listing %s/", directory);
        }
        listing_add_page(builder, &page);
        free(token);
        token = TAKE(page.next_token);
        s3_page_done(&page);
    } while (token);
    *ret_builder = builder;
    return 0;
}

// What the store said, and what is known here beside it, becomes the node's listing.
static int settle_locked(struct tree *tree, struct node *node, struct listing_builder *builder,
                         int64_t asked_ms, uint64_t generation, struct err *err)
{
    bool is_root = node->directory[0] == '\0';
    bool is_in_store = listing_is_in_store(builder);
    // An answer that was asked for before the last file was deleted here proves nothing.
    if (is_in_store && generation == node->generation)
        unmake_locked(tree, node->directory);
    bool is_there = is_in_store || is_root || strcmp(node->directory, PATH_RELEASES) == 0 ||
                    *find_made_locked(tree, node->directory);
    for (struct made *made = tree->made; made; made = made->next) {
        size_t size;
        const char *name = component_below(node->directory, made->directory, &size);
        if (name)
            listing_add_directory(builder, name, size);
        is_there = is_there || name;
    }
    if (is_root)
        listing_add_directory(builder, PATH_RELEASES, strlen(PATH_RELEASES));
    struct tree_listing *listing = listing_finish(builder);
    if (!listing)
        return err_no_memory(err);
    bool is_same = node->listing && listing_is_same(node->listing, listing);
    listing->version = is_same ? node->listing->version : ++tree->versions;
    listing->changes = generation << CHANGES_SHIFT;
    tree_listing_unref(node->listing);
    node->listing = listing;
    node->is_absent = !is_there;
    node->listed_ms = asked_ms;
    node->got_ms = clock_monotonic_ms(tree->clock);
    node->listed_generation = generation;
    return 0;
}

// For those who waited for this listing: each of them asking in turn would take as many time-outs.
static void remember_failure_locked(struct node *node, const struct err *err)
{
    if (!node->failure)
        node->failure = malloc(sizeof(*node->failure));
    if (!node->failure)
        return;
    *node->failure = *err;
    node->failures++;
}

// Lists without the lock, comes back with it.
static int list_locked(struct tree *tree, struct call *call, struct node *node, struct err *err)
{
    uint64_t generation = node->generation;
    int64_t asked_ms = clock_monotonic_ms(tree->clock);
    node->is_listing = true;
    pthread_mutex_unlock(&tree->lock);

    struct listing_builder *builder = NULL;
    int error = ask_store(tree, call, node->directory, &builder, err);

    pthread_mutex_lock(&tree->lock);
    if (error == 0)
        error = settle_locked(tree, node, builder, asked_ms, generation, err);
    if (error < 0 && error != -EINTR)
        remember_failure_locked(node, err);
    node->is_listing = false;
    pthread_cond_broadcast(&tree->has_listed);
    return error;
}

// One listing serves all who came before it was asked for, whatever list_ttl is. That counts from
// when it was there: one of a hundred pages takes longer than list_ttl, and would be old at once.
static bool is_fresh_locked(const struct tree *tree, const struct node *node, int64_t came_ms)
{
    return node->listing && node->listed_generation == node->generation &&
           (clock_monotonic_ms(tree->clock) - node->got_ms < tree->list_ttl_ms ||
            node->listed_ms >= came_ms);
}

static int bring_up_to_date_locked(struct tree *tree, struct call *call, struct node *node,
                                   struct err *err)
{
    // Of two things in one millisecond it is not known which was first.
    int64_t came_ms = clock_monotonic_ms(tree->clock) + 1;
    unsigned failures = node->failures;
    while (!is_fresh_locked(tree, node, came_ms)) {
        if (node->failures != failures) {
            *err = *node->failure;
            return -err->errnum;
        }
        if (!node->is_listing)
            return list_locked(tree, call, node, err);
        if (!call_wait(call, &tree->has_listed, &tree->lock))
            return err_set(err, EINTR, "cancelled");
    }
    return 0;
}

int tree_list(struct tree *tree, struct call *call, const char *directory,
              struct tree_listing **ret_listing, struct err *err)
{
    pthread_mutex_lock(&tree->lock);
    struct node *node = find_or_make_locked(tree, directory);
    if (!node) {
        pthread_mutex_unlock(&tree->lock);
        return err_no_memory(err);
    }
    node->users++; // keeps it from being swept away
    int error = bring_up_to_date_locked(tree, call, node, err);
    if (error == 0 && node->is_absent)
        error = err_set(err, ENOENT, "there is no directory %s", directory);
    if (error == 0)
        *ret_listing = tree_listing_ref(node->listing);
    node->users--;
    pthread_mutex_unlock(&tree->lock);
    return error;
}

int tree_lookup(struct tree *tree, struct call *call, const char *directory, const char *name,
                struct tree_listing **ret_listing, const struct tree_entry **ret_entry,
                struct err *err)
{
    struct tree_listing *listing = NULL;
    int error = tree_list(tree, call, directory, &listing, err);
    if (error < 0)
        return error;
    const struct tree_entry *entry = tree_listing_find(listing, name);
    if (!entry) {
        tree_listing_unref(listing);
        return err_set(err, ENOENT, "there is no %s in %s/", name, directory);
    }
    *ret_listing = listing;
    *ret_entry = entry;
    return 0;
}

uint64_t tree_changes(struct tree *tree, const char *directory)
{
    pthread_mutex_lock(&tree->lock);
    const struct node *node = find_locked(tree, directory);
    uint64_t changes = node ? node->generation : 0;
    pthread_mutex_unlock(&tree->lock);
    return changes;
}

// ---- directories made here ---------------------------------------------------------------------

bool tree_is_made_here(struct tree *tree, const char *directory)
{
    pthread_mutex_lock(&tree->lock);
    bool is_made = *find_made_locked(tree, directory);
    pthread_mutex_unlock(&tree->lock);
    return is_made;
}

bool tree_has_made_below(struct tree *tree, const char *directory)
{
    pthread_mutex_lock(&tree->lock);
    bool has = *find_made_locked(tree, directory) || has_made_below_locked(tree, directory);
    pthread_mutex_unlock(&tree->lock);
    return has;
}

int tree_make_directory(struct tree *tree, struct call *call, const char *directory,
                        struct err *err)
{
    const char *name = path_last(directory);
    if (!path_is_component(name, strlen(name)))
        return err_set(err, EINVAL, "'%s' is no name of a directory", name);
    auto_free char *parent = path_parent(directory);
    if (!parent)
        return err_no_memory(err);
    if (parent[0] == '\0' && strcmp(name, PATH_OWN_DIRECTORY) == 0)
        return err_set(err, EPERM, "%s holds prereleasefs's own objects", name);
    if (strlen(tree->prefix) + strlen(directory) + strlen("/x") > S3_KEY_SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "no key of %d bytes would fit into %s", S3_KEY_SIZE_MAX,
                       directory);
    struct tree_listing *listing = NULL;
    int error = tree_list(tree, call, parent, &listing, err);
    if (error < 0)
        return error;
    bool is_there = tree_listing_find(listing, name);
    tree_listing_unref(listing);

    pthread_mutex_lock(&tree->lock);
    if (is_there || *find_made_locked(tree, directory))
        error = err_set(err, EEXIST, "%s exists", directory);
    else
        error = make_locked(tree, directory, err);
    if (error == 0) {
        forget_locked(tree, directory);
        forget_locked(tree, parent);
    }
    pthread_mutex_unlock(&tree->lock);
    return error;
}

int tree_remove_directory(struct tree *tree, struct call *call, const char *directory,
                          struct err *err)
{
    if (directory[0] == '\0')
        return err_set(err, EBUSY, "the mount's root cannot be removed");
    if (strcmp(directory, PATH_RELEASES) == 0)
        return err_set(err, EPERM, "%s is always there", PATH_RELEASES);
    struct tree_listing *listing = NULL;
    int error = tree_list(tree, call, directory, &listing, err);
    if (error < 0 || !listing)
        return error;
    bool is_empty = listing->count == 0 && listing->left_out_count == 0;
    tree_listing_unref(listing);
    auto_free char *parent = path_parent(directory);
    if (!parent)
        return err_no_memory(err);

    pthread_mutex_lock(&tree->lock);
    if (!is_empty || has_made_below_locked(tree, directory)) {
        error = err_set(err, ENOTEMPTY, "%s is not empty", directory);
    } else if (!*find_made_locked(tree, directory)) {
        error = err_set(err, EPERM, "an object of the bucket, %s%s/, stands for this directory",
                        tree->prefix, directory);
    } else {
        unmake_locked(tree, directory);
        forget_locked(tree, directory);
        forget_locked(tree, parent);
    }
    pthread_mutex_unlock(&tree->lock);
    return error;
}

void tree_forget(struct tree *tree, const char *directory)
{
    pthread_mutex_lock(&tree->lock);
    forget_path_locked(tree, directory);
    pthread_mutex_unlock(&tree->lock);
}

int tree_keep(struct tree *tree, const char *directory, struct err *err)
{
    pthread_mutex_lock(&tree->lock);
    int error = directory[0] == '\0' ? 0 : make_locked(tree, directory, err);
    forget_path_locked(tree, directory);
    pthread_mutex_unlock(&tree->lock);
    return error;
}
