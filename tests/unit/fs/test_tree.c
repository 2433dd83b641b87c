// The bucket as directories: names, what is remembered and for how long, what is made here; over
// a bucket that the test plays.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/path.h"
#include "fs/tree.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// ---- the bucket --------------------------------------------------------------------------------

enum { KEYS_MAX = 64 };

static struct {
    const char *keys[KEYS_MAX];
    size_t key_count;
    size_t page_size;    // entries of a page
    size_t unnameable;   // on the first page
    const char *etag;    // of every object
    int64_t page_ms;     // how long a page takes
    int error;           // what listing answers
    atomic_int requests; // pages asked for
    atomic_bool is_held; // listings wait while it is
    _Atomic int64_t now_ms;
} bucket;

static int64_t bucket_now_ms(const struct clock *clock)
{
    (void)clock;
    return bucket.now_ms;
}

static const struct clock test_clock = {.now_ms = bucket_now_ms, .monotonic_ms = bucket_now_ms};

static int start(void **state)
{
    (void)state;
    memset(&bucket, 0, sizeof(bucket));
    bucket.page_size = S3_LIST_PAGE_KEYS;
    bucket.etag = "\"1\"";
    bucket.now_ms = 1000000;
    return 0;
}

static void add(const char *key)
{
    bucket.keys[bucket.key_count++] = key;
}

// The part of a key that its directory shows: up to and with the delimiter, in the prefix's.
static bool shown(const char *key, const char *prefix, size_t *ret_size, bool *ret_is_prefix)
{
    if (strncmp(key, prefix, strlen(prefix)) != 0)
        return false;
    const char *slash = strchr(key + strlen(prefix), '/');
    *ret_is_prefix = slash;
    *ret_size = slash ? (size_t)(slash + 1 - key) : strlen(key);
    return true;
}

// The token is the number of entries before the page, as text.
int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    assert_ptr_equal(client, &bucket);
    assert_string_equal(delimiter, "/");
    assert_null(start_after);
    assert_int_equal(max_keys, S3_LIST_PAGE_KEYS);
    bucket.requests++;
    bucket.now_ms += bucket.page_ms;
    while (bucket.is_held && !atomic_load(&call->is_cancelled))
        usleep(1000);
    if (atomic_load(&call->is_cancelled))
        return err_set(err, EINTR, "cancelled");
    if (bucket.error)
        return err_set(err, bucket.error, "the store failed");
    size_t skip = token ? (size_t)atoi(token) : 0;
    size_t seen = 0, taken = 0;
    struct s3_page page = {
        .objects = calloc(KEYS_MAX, sizeof(page.objects[0])),
        .prefixes = calloc(KEYS_MAX, sizeof(page.prefixes[0])),
        .unnameable_count = token ? 0 : bucket.unnameable,
    };
    if (!page.objects || !page.prefixes) {
        s3_page_done(&page);
        return err_no_memory(err);
    }
    for (size_t i = 0; i < bucket.key_count; i++) {
        size_t size;
        bool is_prefix;
        if (!shown(bucket.keys[i], prefix, &size, &is_prefix))
            continue;
        if (is_prefix && i > 0 && strncmp(bucket.keys[i], bucket.keys[i - 1], size) == 0)
            continue;
        if (seen++ < skip)
            continue;
        if (taken++ == bucket.page_size) {
            assert_true(asprintf(&page.next_token, "%zu", skip + bucket.page_size) > 0);
            break;
        }
        if (is_prefix)
            page.prefixes[page.prefix_count++] = strndup(bucket.keys[i], size);
        else
            page.objects[page.object_count++] =
                (struct s3_object_info){bucket.keys[i], 10 + i, 5000, bucket.etag, "STANDARD"};
    }
    *ret_page = page;
    return 0;
}

void s3_page_done(struct s3_page *page)
{
    for (size_t i = 0; i < page->prefix_count; i++)
        free((char *)page->prefixes[i]);
    free(page->objects);
    free(page->prefixes);
    free(page->next_token);
}

// ---- a tree over it ----------------------------------------------------------------------------

static struct tree *tree_over(const char *prefix, int64_t list_ttl_ms)
{
    const struct tree_options options = {
        .client = (struct s3_client *)&bucket,
        .clock = &test_clock,
        .prefix = prefix,
        .list_ttl_ms = list_ttl_ms,
    };
    struct tree *tree = NULL;
    struct err err = {0};
    assert_int_equal(tree_new(&options, &tree, &err), 0);
    return tree;
}

static int list(struct tree *tree, const char *directory, struct tree_listing **ret_listing)
{
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    return tree_list(tree, &call, directory, ret_listing, &err);
}

// "a b/ c", directories with a slash; released.
static void assert_shows(struct tree *tree, const char *directory, const char *wanted)
{
    char text[1024] = "";
    struct tree_listing *listing = NULL;
    int error = list(tree, directory, &listing);
    if (error == -ENOENT)
        strcpy(text, "ENOENT");
    else
        assert_int_equal(error, 0);
    for (size_t i = 0; listing && i < listing->count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, listing->entries[i].name);
        strcat(text, listing->entries[i].is_directory ? "/" : "");
    }
    assert_string_equal(text, wanted);
    tree_listing_unref(listing);
}

static int make(struct tree *tree, const char *directory)
{
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    return tree_make_directory(tree, &call, directory, &err);
}

static int remove_directory(struct tree *tree, const char *directory)
{
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    return tree_remove_directory(tree, &call, directory, &err);
}

// ---- what is shown -----------------------------------------------------------------------------

static void test_directories(void **state)
{
    (void)state;
    add(".prereleasefs/index");
    add("jps/fix/abc/app.tar");
    add("jps/fix/abc/images.ref");
    add("jps/fix/def/app.tar");
    add("top.txt");
    struct tree *tree = tree_over("", 1000);
    assert_shows(tree, "", "jps/ releases/ top.txt");
    assert_shows(tree, "jps", "fix/");
    assert_shows(tree, "jps/fix/abc", "app.tar images.ref");
    assert_shows(tree, "releases", "");
    assert_shows(tree, "nowhere", "ENOENT");
    assert_string_equal(tree_prefix(tree), "");
    auto_free char *key = tree_key(tree, "jps", "x");
    assert_string_equal(key, "jps/x");
    tree_free(tree);
    tree_free(NULL);
}

static void test_entries(void **state)
{
    (void)state;
    add("d/a.tar");
    add("d/b/c");
    struct tree *tree = tree_over("", 1000);
    struct call call;
    struct err err = {0};
    struct tree_listing *listing = NULL;
    const struct tree_entry *entry = NULL;
    call_init(&call, &test_clock);
    assert_int_equal(tree_lookup(tree, &call, "d", "a.tar", &listing, &entry, &err), 0);
    assert_false(entry->is_directory);
    assert_int_equal(entry->size_bytes, 10);
    assert_int_equal(entry->modified_ms, 5000);
    assert_string_equal(entry->etag, "\"1\"");
    assert_string_equal(entry->storage_class, "STANDARD");
    assert_string_equal(listing->directory, "d");
    assert_int_equal(listing->file_count, 1);
    tree_listing_unref(listing);
    assert_int_equal(tree_lookup(tree, &call, "d", "b", &listing, &entry, &err), 0);
    assert_true(entry->is_directory);
    assert_null(entry->etag);
    tree_listing_unref(listing);
    assert_int_equal(tree_lookup(tree, &call, "d", "x", &listing, &entry, &err), -ENOENT);
    assert_int_equal(bucket.requests, 1);
    tree_free(tree);
}

static void test_prefix(void **state)
{
    (void)state;
    add("other/x");
    add("pre/.prereleasefs/records/x");
    add("pre/d/a");
    struct tree *tree = tree_over("pre/", 1000);
    assert_shows(tree, "", "d/ releases/");
    assert_shows(tree, "d", "a");
    auto_free char *key = tree_key(tree, "d", "a");
    assert_string_equal(key, "pre/d/a");
    tree_free(tree);
}

// Names that no path can have never break a listing.
static void test_left_out(void **state)
{
    (void)state;
    char longest[300] = "d/";
    memset(longest + 2, 'x', 256);
    add("d/"); // a marker is no name
    add("d//x");
    add("d/..");
    add("d/./x");
    add("d/both");
    add("d/both/x");
    add("d/fine");
    add(longest);
    bucket.unnameable = 2;
    struct tree *tree = tree_over("", 1000);
    struct tree_listing *listing = NULL;
    assert_shows(tree, "d", "both/ fine");
    assert_int_equal(list(tree, "d", &listing), 0);
    // "", "..", ".", the file "both", the long one, and two that hold a NUL
    assert_int_equal(listing->left_out_count, 7);
    tree_listing_unref(listing);
    tree_free(tree);
}

static void test_marker_alone(void **state)
{
    (void)state;
    add("d/");
    struct tree *tree = tree_over("", 1000);
    assert_shows(tree, "d", "");
    assert_int_equal(remove_directory(tree, "d"), -EPERM);
    tree_free(tree);
}

static void test_pages(void **state)
{
    (void)state;
    char names[20][8];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof(names[i]), "d/%02d", i);
        add(names[i]);
    }
    bucket.page_size = 7;
    struct tree *tree = tree_over("", 1000);
    struct tree_listing *listing = NULL;
    assert_int_equal(list(tree, "d", &listing), 0);
    assert_int_equal(listing->count, 20);
    assert_int_equal(bucket.requests, 3);
    tree_listing_unref(listing);
    tree_free(tree);
}

// ---- what is remembered ------------------------------------------------------------------------

static void test_time_to_live(void **state)
{
    (void)state;
    add("d/a");
    struct tree *tree = tree_over("", 1000);
    assert_shows(tree, "d", "a");
    add("d/b");
    bucket.now_ms += 999;
    assert_shows(tree, "d", "a");
    assert_int_equal(bucket.requests, 1);
    bucket.now_ms += 1;
    assert_shows(tree, "d", "a b");
    assert_int_equal(bucket.requests, 2);
    tree_free(tree);

    tree = tree_over("", 0);
    assert_shows(tree, "d", "a b");
    add("d/c");
    assert_shows(tree, "d", "a b c");
    tree_free(tree);
}

static uint64_t version_of(struct tree *tree, const char *directory)
{
    struct tree_listing *listing = NULL;
    assert_int_equal(list(tree, directory, &listing), 0);
    uint64_t version = listing->version;
    tree_listing_unref(listing);
    return version;
}

static void test_version(void **state)
{
    (void)state;
    add("d/a");
    struct tree *tree = tree_over("", 1000);
    uint64_t first = version_of(tree, "d");
    bucket.now_ms += 5000;
    assert_int_equal(version_of(tree, "d"), first);
    assert_int_equal(bucket.requests, 2);
    bucket.etag = "\"2\"";
    bucket.now_ms += 5000;
    uint64_t second = version_of(tree, "d");
    assert_true(second > first);
    add("d/b");
    bucket.now_ms += 5000;
    assert_true(version_of(tree, "d") > second);
    tree_free(tree);
}

static void test_forget(void **state)
{
    (void)state;
    add("x/y");
    struct tree *tree = tree_over("", 60000);
    assert_shows(tree, "", "releases/ x/");
    assert_int_equal(make(tree, "a"), 0);
    assert_int_equal(make(tree, "a/b"), 0);
    assert_shows(tree, "a/b", "");
    add("a/b/new.tar");
    assert_shows(tree, "a/b", "");
    tree_forget(tree, "a/b");
    assert_shows(tree, "a/b", "new.tar");
    assert_shows(tree, "a", "b/");
    assert_shows(tree, "", "a/ releases/ x/");
    int requests = bucket.requests;
    assert_shows(tree, "", "a/ releases/ x/");
    assert_int_equal(bucket.requests, requests);
    tree_free(tree);
}

static void test_old_listings_are_given_back(void **state)
{
    (void)state;
    add("d/a");
    add("e/a");
    struct tree *tree = tree_over("", 1000);
    uint64_t version = version_of(tree, "d");
    bucket.now_ms += 60 * 1000;
    tree_sweep(tree);
    assert_int_equal(version_of(tree, "d"), version);
    bucket.now_ms += 3600 * 1000;
    assert_shows(tree, "e", "a");
    tree_sweep(tree);
    assert_true(version_of(tree, "d") > version);
    tree_free(tree);
}

// A listing that took longer than list_ttl is not old before anybody has looked.
static void test_list_ttl_begins_when_the_listing_is_there(void **state)
{
    (void)state;
    add("d/a");
    bucket.page_ms = 5000;
    struct tree *tree = tree_over("", 1000);
    assert_shows(tree, "d", "a");
    bucket.now_ms += 999;
    assert_shows(tree, "d", "a");
    assert_int_equal(bucket.requests, 1);
    bucket.now_ms += 1;
    assert_shows(tree, "d", "a");
    assert_int_equal(bucket.requests, 2);
    tree_free(tree);
}

// ---- failures ----------------------------------------------------------------------------------

static void test_failure(void **state)
{
    (void)state;
    add("d/a");
    struct tree *tree = tree_over("", 1000);
    struct tree_listing *listing = NULL;
    bucket.error = EIO;
    assert_int_equal(list(tree, "d", &listing), -EIO);
    assert_null(listing);
    bucket.error = 0;
    assert_shows(tree, "d", "a");
    // What was heard before is not given out once it is too old.
    bucket.error = ETIMEDOUT;
    bucket.now_ms += 1000;
    assert_int_equal(list(tree, "d", &listing), -ETIMEDOUT);
    tree_free(tree);
}

static void test_no_memory(void **state)
{
    (void)state;
    add("d/a");
    add("d/b/c");
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct tree *tree = tree_over("", 1000);
        struct call call;
        struct err err = {0};
        struct tree_listing *listing = NULL;
        call_init(&call, &test_clock);
        memory_fail_at(nth);
        int error = tree_make_directory(tree, &call, "d/x", &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(error == 0 || has_failed);
        if (list(tree, "d", &listing) == 0)
            tree_listing_unref(listing);
        tree_free(tree);
    }
}

// ---- many at once ------------------------------------------------------------------------------

struct asker {
    pthread_t thread;
    struct tree *tree;
    struct call call;
    int error;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct err err = {0};
    struct tree_listing *listing = NULL;
    asker->error = tree_list(asker->tree, &asker->call, "d", &listing, &err);
    tree_listing_unref(listing);
    return NULL;
}

static void start_askers(struct tree *tree, struct asker *askers, int count)
{
    for (int i = 0; i < count; i++) {
        askers[i] = (struct asker){.tree = tree};
        call_init(&askers[i].call, &test_clock);
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    while (bucket.requests == 0)
        usleep(1000);
    usleep(100 * 1000); // for the others to come and wait
}

static void test_asked_for_once(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    struct asker askers[COUNT];
    add("d/a");
    struct tree *tree = tree_over("", 1000);
    bucket.is_held = true;
    start_askers(tree, askers, COUNT);
    bucket.is_held = false;
    for (int i = 0; i < COUNT; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].error, 0);
    }
    assert_int_equal(bucket.requests, 1);
    tree_free(tree);
}

static void test_a_failure_is_everyones(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    struct asker askers[COUNT];
    struct tree *tree = tree_over("", 1000);
    bucket.is_held = true;
    bucket.error = ETIMEDOUT;
    start_askers(tree, askers, COUNT);
    bucket.is_held = false;
    for (int i = 0; i < COUNT; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].error, -ETIMEDOUT);
    }
    assert_int_equal(bucket.requests, 1);
    tree_free(tree);
}

// One who is cancelled disturbs nobody else, whether he asks the store or waits.
static void test_cancelled(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    struct asker askers[COUNT];
    add("d/a");
    struct tree *tree = tree_over("", 1000);
    bucket.is_held = true;
    start_askers(tree, askers, COUNT);
    call_cancel(&askers[0].call);
    call_cancel(&askers[1].call);
    pthread_join(askers[0].thread, NULL);
    pthread_join(askers[1].thread, NULL);
    bucket.is_held = false;
    pthread_join(askers[2].thread, NULL);
    assert_int_equal(askers[0].error, -EINTR);
    assert_int_equal(askers[1].error, -EINTR);
    assert_int_equal(askers[2].error, 0);
    tree_free(tree);
}

// What was asked for before a publish does not count as known after it.
static void test_forgotten_while_listing(void **state)
{
    (void)state;
    struct asker asker;
    add("d/a");
    struct tree *tree = tree_over("", 60000);
    bucket.is_held = true;
    start_askers(tree, &asker, 1);
    tree_forget(tree, "d");
    bucket.is_held = false;
    pthread_join(asker.thread, NULL);
    add("d/b");
    assert_shows(tree, "d", "a b");
    tree_free(tree);
}

// ---- directories made here ---------------------------------------------------------------------

static void test_make_directory(void **state)
{
    (void)state;
    add("d/file");
    struct tree *tree = tree_over("", 1000);
    assert_int_equal(make(tree, "d"), -EEXIST);
    assert_int_equal(make(tree, "releases"), -EEXIST);
    assert_int_equal(make(tree, "d/file"), -EEXIST);
    assert_int_equal(make(tree, "x/y"), -ENOENT);
    assert_int_equal(make(tree, ".prereleasefs"), -EPERM);
    assert_int_equal(make(tree, "d/.prereleasefs"), 0);
    assert_int_equal(make(tree, "x"), 0);
    assert_int_equal(make(tree, "x"), -EEXIST);
    assert_int_equal(make(tree, "x/y"), 0);
    assert_true(tree_is_made_here(tree, "x"));
    assert_false(tree_is_made_here(tree, "d"));
    assert_shows(tree, "", "d/ releases/ x/");
    assert_shows(tree, "x", "y/");
    assert_shows(tree, "x/y", "");

    char deep[S3_KEY_SIZE_MAX + 1];
    memset(deep, 'x', sizeof(deep));
    deep[S3_KEY_SIZE_MAX] = '\0';
    for (size_t i = 100; i < S3_KEY_SIZE_MAX; i += 100)
        deep[i] = '/';
    assert_int_equal(make(tree, deep), -ENAMETOOLONG);
    tree_free(tree);
}

static void test_remove_directory(void **state)
{
    (void)state;
    add("d/file");
    struct tree *tree = tree_over("", 1000);
    assert_int_equal(remove_directory(tree, ""), -EBUSY);
    assert_int_equal(remove_directory(tree, "releases"), -EPERM);
    assert_int_equal(remove_directory(tree, "d"), -ENOTEMPTY);
    assert_int_equal(remove_directory(tree, "x"), -ENOENT);
    assert_int_equal(make(tree, "x"), 0);
    assert_int_equal(make(tree, "x/y"), 0);
    assert_int_equal(remove_directory(tree, "x"), -ENOTEMPTY);
    assert_int_equal(remove_directory(tree, "x/y"), 0);
    assert_int_equal(remove_directory(tree, "x"), 0);
    assert_shows(tree, "x", "ENOENT");
    assert_shows(tree, "", "d/ releases/");
    assert_int_equal(make(tree, "x"), 0);
    tree_free(tree);
}

// Once the store holds something of it, it lives and ends with the store's keys.
static void test_made_then_published_into(void **state)
{
    (void)state;
    struct tree *tree = tree_over("", 0);
    assert_int_equal(make(tree, "x"), 0);
    assert_shows(tree, "x", "");
    add("x/app.tar");
    assert_shows(tree, "x", "app.tar");
    assert_false(tree_is_made_here(tree, "x"));
    bucket.key_count = 0; // another host deletes it
    assert_shows(tree, "x", "ENOENT");
    tree_free(tree);
}

// A directory made here below one that has gone holds it up.
static void test_made_below(void **state)
{
    (void)state;
    add("x/app.tar");
    struct tree *tree = tree_over("", 0);
    assert_int_equal(make(tree, "x/y"), 0);
    bucket.key_count = 0;
    assert_shows(tree, "", "releases/ x/");
    assert_shows(tree, "x", "y/");
    tree_free(tree);
}

// rm -r deletes the files first, and then expects the directory.
static void test_emptied_here(void **state)
{
    (void)state;
    struct err err = {0};
    add("x/app.tar");
    struct tree *tree = tree_over("", 1000);
    assert_shows(tree, "x", "app.tar");
    bucket.key_count = 0;
    assert_int_equal(tree_keep(tree, "x", &err), 0);
    assert_shows(tree, "x", "");
    assert_shows(tree, "", "releases/ x/");
    assert_int_equal(remove_directory(tree, "x"), 0);
    assert_shows(tree, "", "releases/");
    assert_int_equal(tree_keep(tree, "", &err), 0);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_directories, start),
        cmocka_unit_test_setup(test_entries, start),
        cmocka_unit_test_setup(test_prefix, start),
        cmocka_unit_test_setup(test_left_out, start),
        cmocka_unit_test_setup(test_marker_alone, start),
        cmocka_unit_test_setup(test_pages, start),
        cmocka_unit_test_setup(test_time_to_live, start),
        cmocka_unit_test_setup(test_version, start),
        cmocka_unit_test_setup(test_forget, start),
        cmocka_unit_test_setup(test_old_listings_are_given_back, start),
        cmocka_unit_test_setup(test_list_ttl_begins_when_the_listing_is_there, start),
        cmocka_unit_test_setup(test_failure, start),
        cmocka_unit_test_setup(test_no_memory, start),
        cmocka_unit_test_setup(test_asked_for_once, start),
        cmocka_unit_test_setup(test_a_failure_is_everyones, start),
        cmocka_unit_test_setup(test_cancelled, start),
        cmocka_unit_test_setup(test_forgotten_while_listing, start),
        cmocka_unit_test_setup(test_make_directory, start),
        cmocka_unit_test_setup(test_remove_directory, start),
        cmocka_unit_test_setup(test_made_then_published_into, start),
        cmocka_unit_test_setup(test_made_below, start),
        cmocka_unit_test_setup(test_emptied_here, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
