// Claims on names, over a store of a few objects and uploads.

#include "fs/publish/claim.h"

#include "base/buf.h"
#include "base/scope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OBJECTS_MAX = 8 };

static struct {
    struct {
        char key[S3_KEY_SIZE_MAX + 1];
        char text[2048]; // "": not there
    } objects[OBJECTS_MAX];
    char open_id[64];      // the one upload that is open
    int looks_until_ended; // how often that is still so; 0: for ever
    bool is_conditional;
    int put_error;
    int puts;
    int64_t now_ms;
} store;

static char *find(const char *key, bool may_add)
{
    for (size_t i = 0; i < OBJECTS_MAX; i++)
        if (strcmp(store.objects[i].key, key) == 0)
            return store.objects[i].text;
    for (size_t i = 0; may_add && i < OBJECTS_MAX; i++)
        if (!*store.objects[i].key) {
            snprintf(store.objects[i].key, sizeof(store.objects[i].key), "%s", key);
            return store.objects[i].text;
        }
    return NULL;
}

bool s3_client_completes_conditionally(const struct s3_client *client)
{
    (void)client;
    return store.is_conditional;
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client, (void)call, (void)ret_etag;
    store.puts++;
    assert_int_equal(put->condition, S3_CONDITION_ABSENT);
    if (store.put_error)
        return err_set(err, store.put_error, "put");
    char *text = find(put->key, true);
    assert_non_null(text);
    if (*text)
        return err_set(err, EEXIST, "there is one");
    memcpy(text, put->body[0].bytes, put->body[0].size);
    return 0;
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client, (void)call, (void)ret_etag;
    const char *text = find(key, false);
    if (!text || !*text)
        return err_set(err, ENOENT, "there is none");
    buf_init(ret_bytes, limit_bytes);
    return buf_append_text(ret_bytes, text) < 0 ? err_no_memory(err) : 0;
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client, (void)call, (void)err;
    char *text = find(key, false);
    if (text)
        *text = '\0';
    return 0;
}

int s3_multipart_is_open(struct s3_client *client, struct call *call,
                         const struct s3_upload *upload, bool *ret_is_open, struct err *err)
{
    (void)client, (void)call, (void)err;
    assert_string_equal(upload->key, "b/x.tar");
    *ret_is_open = strcmp(upload->id, store.open_id) == 0;
    store.now_ms += CLAIM_WAIT_MS / 4;
    if (*ret_is_open && store.looks_until_ended && --store.looks_until_ended == 0)
        *store.open_id = '\0';
    return 0;
}

static int64_t now_ms(const struct clock *clock)
{
    (void)clock;
    return store.now_ms;
}

static const struct clock test_clock = {.now_ms = now_ms, .monotonic_ms = now_ms};
static struct claims claims = {.prefix = "team/"};
static struct call call;
static struct err err;
static struct claim claim;

static int set_up(void **state)
{
    (void)state;
    memset(&store, 0, sizeof(store));
    call_init(&call, &test_clock);
    claims.is_refused = false;
    return 0;
}

static int take(const char *id)
{
    struct s3_upload upload = {.key = "b/x.tar"};
    snprintf(upload.id, sizeof(upload.id), "%s", id);
    err = (struct err){0};
    return claim_take(&claims, &call, &upload, &claim, &err);
}

static size_t count_stored(void)
{
    size_t count = 0;
    for (size_t i = 0; i < OBJECTS_MAX; i++)
        count += *store.objects[i].text != '\0';
    return count;
}

static void one_is_taken_and_dropped(void **state)
{
    (void)state;
    assert_int_equal(take("one"), 0);
    assert_int_equal(claim.count, 1);
    assert_int_equal(strncmp(store.objects[0].key, "team/.prereleasefs/names/", 25), 0);
    assert_int_equal(strncmp(store.objects[0].text, "one\n", 4), 0);
    claim_drop(&claims, &call, "b/x.tar", &claim);
    assert_int_equal(count_stored(), 0);
    claim_drop(&claims, &call, "b/x.tar", &claim);
}

static void anothers_binds_while_its_upload_is_open(void **state)
{
    (void)state;
    assert_int_equal(take("one"), 0);
    strcpy(store.open_id, "one");
    store.looks_until_ended = 3;
    assert_int_equal(take("two"), 0);
    assert_int_equal(claim.count, 2); // behind the lapsed one
    strcpy(store.open_id, "two");
    assert_int_equal(take("three"), -EBUSY);
    assert_int_equal(claim.count, 0);
    assert_non_null(strstr(err.text, "team/.prereleasefs/names/"));
    store.open_id[0] = '\0';
    assert_int_equal(take("three"), 0);
    assert_int_equal(claim.count, 3);
    claim_drop(&claims, &call, "b/x.tar", &claim);
    assert_int_equal(count_stored(), 0);
}

static void a_cancelled_call_waits_no_longer(void **state)
{
    (void)state;
    assert_int_equal(take("one"), 0);
    strcpy(store.open_id, "one");
    call_cancel(&call);
    assert_int_equal(take("two"), -EINTR);
}

static void none_where_the_store_settles_it(void **state)
{
    (void)state;
    store.is_conditional = true;
    assert_int_equal(take("one"), 0);
    assert_int_equal(claim.count, 0);
    assert_int_equal(store.puts, 0);
}

static void none_where_they_are_refused(void **state)
{
    (void)state;
    static const int refusals[] = {EACCES, EPERM, EOPNOTSUPP};
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        set_up(NULL);
        store.put_error = refusals[i];
        assert_int_equal(take("one"), 0);
        assert_int_equal(take("two"), 0);
        assert_int_equal(claim.count, 0);
        assert_int_equal(store.puts, 1); // not tried again
    }
    set_up(NULL);
    store.put_error = EIO;
    assert_int_equal(take("one"), -EIO);
}

static void what_is_no_claim_binds_nobody(void **state)
{
    (void)state;
    static const char *const texts[] = {"x", "\nhost\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        set_up(NULL);
        assert_int_equal(take("one"), 0);
        strcpy(store.objects[0].text, texts[i]);
        assert_int_equal(take("two"), 0);
        assert_int_equal(claim.count, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_is_taken_and_dropped, set_up),
        cmocka_unit_test_setup(anothers_binds_while_its_upload_is_open, set_up),
        cmocka_unit_test_setup(a_cancelled_call_waits_no_longer, set_up),
        cmocka_unit_test_setup(none_where_the_store_settles_it, set_up),
        cmocka_unit_test_setup(none_where_they_are_refused, set_up),
        cmocka_unit_test_setup(what_is_no_claim_binds_nobody, set_up),
    };
    return cmocka_run_group_tests_name("fs/claim", tests, NULL, NULL);
}
