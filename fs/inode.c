#include "inode.h"

#include "base/scope.h"
#include "path.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOT_ID = 1,
    BUCKETS_FIRST = 1024, // doubled whenever there are as many inodes
    BLOCK = 512,          // unit of st_blocks
    IO_SIZE = 1 << 20,    // st_blksize: how much programs should read at once
};

struct inodes {
    pthread_mutex_t lock; // guards what follows, and every inode's in_table
    struct inode **buckets;
    size_t bucket_count;
    size_t count;         // in the buckets
    uint64_t loners_made; // inodes that are found by no name, so far
    struct inode *root;
};

#define LAST_NUMBERS (UINT64_C(1) << 62)

// ---- keys --------------------------------------------------------------------------------------
// What makes two looks at something see one version. malloc'ed, NULL on no memory.

static char *directory_key(const char *directory)
{
    return path_key("d:", "", directory);
}

static char *object_key(const char *directory, const struct tree_entry *entry)
{
    // The time too: the same bytes stored again have the same ETag, and ls shall show the new time.
    char *key = NULL;
    int size = asprintf(&key, "%c:%s:%" PRId64 ":%s/%s", entry->is_symlink ? 'l' : 'o', entry->etag,
                        entry->modified_ms, directory, entry->name);
    return size < 0 ? NULL : key;
}

static char *rendering_key(const char *directory, const struct virtual_file *file, uint64_t id)
{
    char *key = NULL;
    int size = asprintf(&key, "r:%" PRIu64 ":%s/%s", id, directory, file->name);
    return size < 0 ? NULL : key;
}

static char *file_key(const char *directory, const char *name)
{
    return path_key("f:", directory, name);
}

// Numbers that mean something are left alone: 0 is no inode, 1 the root.
// cp -r copies a directory in the order of its numbers: reference files come last, so that what
// they name is there already and they find it unchanged.
static uint64_t number_of(const char *key)
{
    uint64_t number = key ? path_hash(key) : ROOT_ID;
    number &= LAST_NUMBERS - 1;
    if (key && key[0] == 'o' && path_is_reference_file(path_last(key)))
        number |= LAST_NUMBERS;
    return number > ROOT_ID ? number : number + 2;
}

uint64_t inode_number_of_entry(const char *directory, const struct tree_entry *entry)
{
    if (!entry->is_directory) {
        auto_free char *key = object_key(directory, entry);
        return number_of(key);
    }
    auto_free char *path = path_join(directory, entry->name);
    auto_free char *key = path ? directory_key(path) : NULL;
    return number_of(key);
}

uint64_t inode_number_of_file(const char *directory, const struct virtual_file *file)
{
    auto_free char *key = file_key(directory, file->name);
    return number_of(key);
}

// ---- the table ---------------------------------------------------------------------------------

static void free_inode(struct inode *inode)
{
    if (!inode)
        return;
    rendering_unref(inode->rendering);
    free(inode->failure);
    free(atomic_load(&inode->target));
    free(inode->etag);
    free(inode->name);
    free(inode->directory);
    free(inode->in_table.key);
    free(inode);
}

int inodes_new(struct inodes **ret_inodes, struct err *err)
{
    struct inodes *inodes = calloc(1, sizeof(*inodes));
    if (!inodes)
        return err_no_memory(err);
    pthread_mutex_init(&inodes->lock, NULL);
    inodes->bucket_count = BUCKETS_FIRST;
    inodes->buckets = calloc(inodes->bucket_count, sizeof(struct inode *));
    if (inodes->buckets)
        inodes->root = inode_of_directory(inodes, "");
    if (!inodes->root) {
        inodes_free(inodes);
        return err_no_memory(err);
    }
    inodes->root->number = ROOT_ID;
    *ret_inodes = inodes;
    return 0;
}

static void free_chain(struct inode *inode)
{
    while (inode) {
        struct inode *next = inode->in_table.next;
        free_inode(inode);
        inode = next;
    }
}

void inodes_free(struct inodes *inodes)
{
    if (!inodes)
        return;
    for (size_t i = 0; inodes->buckets && i < inodes->bucket_count; i++)
        free_chain(inodes->buckets[i]);
    free(inodes->buckets);
    pthread_mutex_destroy(&inodes->lock);
    free(inodes);
}

uint64_t inode_id(struct inodes *inodes, const struct inode *inode)
{
    return inode == inodes->root ? ROOT_ID : (uint64_t)(uintptr_t)inode;
}

struct inode *inode_of_id(struct inodes *inodes, uint64_t id)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): it is how the kernel names an inode
    return id == ROOT_ID ? inodes->root : (struct inode *)(uintptr_t)id;
}

// Those without a key are in the table too, so that inodes_free finds them.
static struct inode **chain_of_locked(struct inodes *inodes, const struct inode *inode)
{
    uint64_t hash = inode->in_table.key ? path_hash(inode->in_table.key)
                                        : (uint64_t)(uintptr_t)inode / sizeof(*inode);
    return &inodes->buckets[hash % inodes->bucket_count];
}

// Out of memory, the chains are merely longer.
static void grow_locked(struct inodes *inodes)
{
    size_t old_count = inodes->bucket_count;
    struct inode **old = inodes->buckets;
    struct inode **buckets = calloc(old_count * 2, sizeof(struct inode *));
    if (!buckets)
        return;
    inodes->buckets = buckets;
    inodes->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (struct inode *inode = old[i], *next; inode; inode = next) {
            next = inode->in_table.next;
            struct inode **chain = chain_of_locked(inodes, inode);
            inode->in_table.next = *chain;
            *chain = inode;
        }
    }
    free(old);
}

static void link_locked(struct inodes *inodes, struct inode *inode)
{
    if (inodes->count >= inodes->bucket_count)
        grow_locked(inodes);
    struct inode **chain = chain_of_locked(inodes, inode);
    inode->in_table.next = *chain;
    *chain = inode;
    inodes->count++;
}

static void unlink_locked(struct inodes *inodes, struct inode *inode)
{
    struct inode **at = chain_of_locked(inodes, inode);
    while (*at != inode)
        at = &(*at)->in_table.next;
    *at = inode->in_table.next;
    inodes->count--;
}

static struct inode *find_locked(struct inodes *inodes, const char *key)
{
    struct inode *inode = inodes->buckets[path_hash(key) % inodes->bucket_count];
    while (inode && (!inode->in_table.key || strcmp(inode->in_table.key, key) != 0))
        inode = inode->in_table.next;
    return inode;
}

static struct inode *make(enum inode_kind kind, const char *directory, const char *name)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    if (!inode)
        return NULL;
    inode->kind = kind;
    inode->directory = strdup(directory);
    inode->name = strdup(name);
    if (inode->directory && inode->name)
        return inode;
    free_inode(inode);
    return NULL;
}

// The inode of that key, or `fresh` under it; both are the table's afterwards. One lookup is
// counted. NULL where fresh or key is, with both freed.
static struct inode *find_or_add(struct inodes *inodes, char *key, struct inode *fresh)
{
    if (!key || !fresh) {
        free(key);
        free_inode(fresh);
        return NULL;
    }
    pthread_mutex_lock(&inodes->lock);
    struct inode *inode = find_locked(inodes, key);
    if (!inode) {
        inode = TAKE(fresh);
        inode->number = number_of(key);
        inode->in_table.key = TAKE(key);
        link_locked(inodes, inode);
    }
    inode->in_table.lookups++;
    pthread_mutex_unlock(&inodes->lock);
    free(key);
    free_inode(fresh);
    return inode;
}

static struct inode *add_loner(struct inodes *inodes, struct inode *inode)
{
    if (!inode)
        return NULL;
    pthread_mutex_lock(&inodes->lock);
    link_locked(inodes, inode);
    inode->number = (path_hash(inode->name) ^ ++inodes->loners_made) | 2;
    inode->in_table.lookups++;
    pthread_mutex_unlock(&inodes->lock);
    return inode;
}

struct inode *inode_of_directory(struct inodes *inodes, const char *directory)
{
    return find_or_add(inodes, directory_key(directory), make(INODE_DIRECTORY, directory, ""));
}

static struct inode *inode_of_object(struct inodes *inodes, const char *directory,
                                     const struct tree_entry *entry)
{
    struct inode *inode =
        make(entry->is_symlink ? INODE_SYMLINK : INODE_OBJECT, directory, entry->name);
    if (inode) {
        inode->size_bytes = entry->size_bytes;
        inode->modified_ms = entry->modified_ms;
        inode->etag = strdup(entry->etag);
        if (!inode->etag) {
            free_inode(inode);
            return NULL;
        }
    }
    return find_or_add(inodes, object_key(directory, entry), inode);
}

struct inode *inode_of_entry(struct inodes *inodes, const char *directory,
                             const struct tree_entry *entry)
{
    if (!entry->is_directory)
        return inode_of_object(inodes, directory, entry);
    auto_free char *path = path_join(directory, entry->name);
    return path ? inode_of_directory(inodes, path) : NULL;
}

void inode_set_target(struct inode *inode, const char *target)
{
    char *none = NULL, *copy = strdup(target);
    if (copy && !atomic_compare_exchange_strong(&inode->target, &none, copy))
        free(copy); // somebody else has read it, too
}

bool inode_shows(const struct inode *inode, const struct tree_entry *entry)
{
    return !entry->is_directory && !entry->is_symlink && inode->modified_ms == entry->modified_ms &&
           strcmp(inode->etag, entry->etag) == 0;
}

struct inode *inode_of_rendering(struct inodes *inodes, const char *directory,
                                 const struct virtual_file *file, struct rendering *rendering)
{
    struct inode *inode = make(INODE_RENDERING, directory, file->name);
    if (inode) {
        inode->file = file;
        inode->rendering = rendering_ref(rendering);
    }
    return find_or_add(inodes, rendering_key(directory, file, rendering->id), inode);
}

struct inode *inode_of_failure(struct inodes *inodes, const char *directory,
                               const struct virtual_file *file, const struct err *failure)
{
    struct inode *inode = make(INODE_RENDERING, directory, file->name);
    if (!inode)
        return NULL;
    inode->file = file;
    inode->failure = malloc(sizeof(*inode->failure));
    if (!inode->failure) {
        free_inode(inode);
        return NULL;
    }
    *inode->failure = *failure;
    return add_loner(inodes, inode);
}

struct inode *inode_of_live(struct inodes *inodes, const char *directory,
                            const struct virtual_file *file)
{
    struct inode *inode = make(INODE_LIVE, directory, file->name);
    if (inode)
        inode->file = file;
    return find_or_add(inodes, file_key(directory, file->name), inode);
}

struct inode *inode_of_writer(struct inodes *inodes, const char *directory, const char *name)
{
    struct inode *inode = make(INODE_WRITER, directory, name);
    if (inode)
        atomic_store(&inode->is_written, true);
    return add_loner(inodes, inode);
}

struct inode *inode_to_write(struct inodes *inodes, const struct inode *inode)
{
    if (inode->kind != INODE_OBJECT)
        return inode_of_writer(inodes, inode->directory, inode->name);
    struct inode *own = make(INODE_OBJECT, inode->directory, inode->name);
    if (!own)
        return NULL;
    own->size_bytes = inode->size_bytes;
    own->modified_ms = inode->modified_ms;
    own->etag = strdup(inode->etag);
    if (!own->etag) {
        free_inode(own);
        return NULL;
    }
    atomic_store(&own->is_written, true);
    atomic_store(&own->written_size, own->size_bytes);
    own = add_loner(inodes, own);
    own->number = inode->number; // nobody shall take them for two files
    return own;
}

struct inode *inode_look_up(struct inodes *inodes, struct inode *inode)
{
    pthread_mutex_lock(&inodes->lock);
    inode->in_table.lookups++;
    pthread_mutex_unlock(&inodes->lock);
    return inode;
}

static void let_go(struct inodes *inodes, struct inode *inode, uint64_t lookups,
                   uint64_t references)
{
    pthread_mutex_lock(&inodes->lock);
    // The kernel is not trusted to count right: too many forgotten is all forgotten.
    uint64_t held = inode->in_table.lookups;
    inode->in_table.lookups -= lookups < held ? lookups : held;
    inode->in_table.references -= references;
    bool is_last =
        inode->in_table.lookups == 0 && inode->in_table.references == 0 && inode != inodes->root;
    if (is_last)
        unlink_locked(inodes, inode);
    pthread_mutex_unlock(&inodes->lock);
    if (is_last)
        free_inode(inode);
}

void inode_forget(struct inodes *inodes, struct inode *inode, uint64_t lookups)
{
    let_go(inodes, inode, lookups, 0);
}

struct inode *inode_ref(struct inodes *inodes, struct inode *inode)
{
    pthread_mutex_lock(&inodes->lock);
    inode->in_table.references++;
    pthread_mutex_unlock(&inodes->lock);
    return inode;
}

void inode_unref(struct inodes *inodes, struct inode *inode)
{
    if (inode)
        let_go(inodes, inode, 0, 1);
}

// ---- attributes --------------------------------------------------------------------------------

// A reference file may be replaced by whoever may write to the directory, never under releases/.
static mode_t object_mode(const struct inode *inode, const struct inode_style *style)
{
    if (path_is_reference_file(inode->name) && !path_is_under_releases(inode->directory))
        return style->file_mode | (style->directory_mode & 0222);
    return style->file_mode;
}

void inode_stat(const struct inode *inode, const struct inode_style *style, struct stat *ret_stat)
{
    uint64_t size = 0;
    int64_t ms = style->now_ms;
    mode_t mode = S_IFREG;
    bool is_written = atomic_load(&inode->is_written);
    if (inode->kind == INODE_DIRECTORY) {
        mode = S_IFDIR | style->directory_mode;
        ms = style->mounted_ms;
    } else if (inode->kind == INODE_SYMLINK) {
        mode = S_IFLNK | 0777;
        size = inode->size_bytes;
        ms = inode->modified_ms;
    } else if (inode->kind == INODE_RENDERING || inode->kind == INODE_LIVE) {
        mode |= inode->file->holds_links ? style->link_mode : style->file_mode;
        size = inode->rendering ? inode->rendering->size : 0;
        ms = inode->rendering ? inode->rendering->rendered_ms : ms;
    } else {
        mode |= object_mode(inode, style);
        size = is_written ? atomic_load(&inode->written_size) : inode->size_bytes;
        ms = is_written ? ms : inode->modified_ms;
    }
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    *ret_stat = (struct stat){
        .st_ino = inode->number,
        .st_mode = mode,
        // 1 for a directory says that its links are not counted: find then trusts no number.
        .st_nlink = 1,
        .st_uid = style->uid,
        .st_gid = style->gid,
        .st_size = (off_t)size,
        .st_blksize = IO_SIZE,
        .st_blocks = (blkcnt_t)((size + BLOCK - 1) / BLOCK),
        .st_atim = time,
        .st_mtim = time,
        .st_ctim = time,
    };
}

bool inode_is_immutable(const struct inode *inode)
{
    bool is_version = inode->kind == INODE_DIRECTORY || inode->kind == INODE_OBJECT ||
                      inode->kind == INODE_SYMLINK ||
                      (inode->kind == INODE_RENDERING && inode->rendering);
    return is_version && !atomic_load(&inode->is_written);
}
