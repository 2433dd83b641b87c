// listed_bucket.h - a bucket that the test plays, which answers flat listings. Include after
// cmocka.h.
#pragma once

#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEWEST_MS INT64_C(1795223793000) // 2026-11-21T01:16:33Z
#define DAY_MS INT64_C(86400000)

enum { KEYS_MAX = 40 * 1000, PREFIX_KEYS = 3000 };

// ---- the bucket --------------------------------------------------------------------------------

static struct {
    struct s3_object_info objects[KEYS_MAX]; // in the order of keys, as S3 lists
    size_t count;
    int requests;
    bool has_skipped; // a page was asked for from behind a key
    int error;
} bucket;

static void clear(void)
{
    for (size_t i = 0; i < bucket.count; i++)
        free((char *)bucket.objects[i].key);
    memset(&bucket, 0, sizeof(bucket));
}

static void add(const char *key, uint64_t size_bytes, int days_old)
{
    bucket.objects[bucket.count++] = (struct s3_object_info){
        strdup(key), size_bytes, NEWEST_MS - days_old * DAY_MS, "\"e\"", "STANDARD"};
}

int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    (void)client;
    (void)call;
    assert_null(delimiter);
    bucket.requests++;
    if (bucket.error)
        return err_set(err, bucket.error, "the store failed");
    struct s3_page page = {.objects = calloc((size_t)max_keys, sizeof(page.objects[0]))};
    if (!page.objects)
        return err_no_memory(err);
    size_t at = token ? (size_t)atoi(token) : 0;
    while (start_after && at < bucket.count && strcmp(bucket.objects[at].key, start_after) <= 0)
        at++;
    bucket.has_skipped |= start_after != NULL;
    for (; at < bucket.count && page.object_count < (size_t)max_keys; at++) {
        if (strncmp(bucket.objects[at].key, prefix, strlen(prefix)) == 0)
            page.objects[page.object_count++] = bucket.objects[at];
    }
    if (at < bucket.count && asprintf(&page.next_token, "%zu", at) < 0)
        fail();
    *ret_page = page;
    return 0;
}

void s3_page_done(struct s3_page *page)
{
    free(page->objects);
    free(page->next_token);
    *page = (struct s3_page){0};
}
