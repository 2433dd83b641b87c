// A directory of 100,000 objects: requests, memory, and that it is given back; over a bucket that
// makes them up page by page.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/tree.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OBJECTS = 100 * 1000,
    PAGES = OBJECTS / S3_LIST_PAGE_KEYS,
    NAME_SIZE = 32,
    LIST_TTL_MS = 1000,
    PAGE_MS = 30,      // that a store takes for one: all of them take longer than list_ttl
    ENTRY_BYTES = 160, // of memory that one entry may take
    HOUR_MS = 3600 * 1000,
};

static struct {
    int requests;
    int64_t now_ms;
} bucket;

static int64_t bucket_now_ms(const struct clock *clock)
{
    (void)clock;
    return bucket.now_ms;
}

static const struct clock test_clock = {.now_ms = bucket_now_ms, .monotonic_ms = bucket_now_ms};

static void name_object(size_t at, char ret_name[NAME_SIZE])
{
    snprintf(ret_name, NAME_SIZE, "build/image-%06zu.tar", at);
}

int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    (void)client;
    (void)call;
    (void)start_after;
    (void)err;
    assert_string_equal(prefix, "build/");
    assert_string_equal(delimiter, "/");
    size_t first = token ? (size_t)atoi(token) : 0;
    size_t count = (size_t)max_keys;
    struct s3_page page = {
        .objects = calloc(count, sizeof(page.objects[0])),
        .arena = malloc(count * NAME_SIZE),
    };
    bucket.requests++;
    bucket.now_ms += PAGE_MS;
    for (; page.object_count < count && first < OBJECTS; first++) {
        char *key = (char *)page.arena + page.object_count * NAME_SIZE;
        name_object(first, key);
        page.objects[page.object_count++] = (struct s3_object_info){
            key, first, 5000, "\"d41d8cd98f00b204e9800998ecf8427e-12\"", "STANDARD"};
    }
    if (first < OBJECTS && asprintf(&page.next_token, "%zu", first) < 0)
        fail();
    *ret_page = page;
    return 0;
}

void s3_page_done(struct s3_page *page)
{
    free(page->objects);
    free(page->arena);
    free(page->next_token);
}

static void look_at_each(struct tree *tree)
{
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    for (size_t i = 0; i < OBJECTS; i += 7) {
        struct tree_listing *listing = NULL;
        const struct tree_entry *entry = NULL;
        char key[NAME_SIZE];
        name_object(i, key);
        assert_int_equal(
            tree_lookup(tree, &call, "build", strchr(key, '/') + 1, &listing, &entry, &err), 0);
        assert_int_equal(entry->size_bytes, i);
        tree_listing_unref(listing);
    }
}

// 0 where something else (a sanitizer) allocates, and does not say.
static size_t bytes_taken(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void test_a_hundred_thousand_objects(void **state)
{
    (void)state;
    const struct tree_options options = {
        .client = (struct s3_client *)&bucket,
        .clock = &test_clock,
        .prefix = "",
        .list_ttl_ms = LIST_TTL_MS,
    };
    struct tree *tree = NULL;
    struct tree_listing *listing = NULL;
    struct err err = {0};
    struct call call;
    call_init(&call, &test_clock);
    assert_int_equal(tree_new(&options, &tree, &err), 0);
    size_t before = bytes_taken();
    assert_int_equal(tree_list(tree, &call, "build", &listing, &err), 0);
    assert_int_equal(listing->count, OBJECTS);
    assert_int_equal(bucket.requests, PAGES);
    assert_in_range(bytes_taken() - before, 0, (size_t)OBJECTS * ENTRY_BYTES);

    // Names are found without asking, also right after so long a listing.
    look_at_each(tree);
    assert_int_equal(bucket.requests, PAGES);

    // A second one replaces the first, and when nobody looks any more nothing is kept.
    tree_listing_unref(listing);
    bucket.now_ms += LIST_TTL_MS;
    look_at_each(tree);
    assert_int_equal(bucket.requests, 2 * PAGES);
    assert_in_range(bytes_taken() - before, 0, (size_t)OBJECTS * ENTRY_BYTES);
    bucket.now_ms += HOUR_MS;
    tree_sweep(tree);
    assert_in_range(bytes_taken() - before, 0, 64 * 1024);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hundred_thousand_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
