// What is aborted behind a dead process, and what is not, over a store of intents and uploads; and
// what a write stores and deletes itself.
#include "tests/unit/base/test.h"

#include "fs/publish/intent_sweep.h"
#include "fs/publish/intents.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/intent_store.h"

#include <sys/wait.h>
#include <unistd.h>

#define S INT64_C(1000)
#define NOW_MS (1000000 * S)

// ---- a clock that stands, but where it is waited for -------------------------------------------

static int64_t now_ms(const struct clock *clock)
{
    (void)clock;
    return NOW_MS;
}

static int64_t waited_ms;

static int64_t monotonic_ms(const struct clock *clock)
{
    (void)clock;
    return waited_ms += INTENT_SETTLE_MS / 2;
}

static const struct clock test_clock = {.now_ms = now_ms, .monotonic_ms = monotonic_ms};

static struct intent_origin self;
static struct intent_place place = {.clock = &test_clock, .prefix = "", .self = &self};
static struct call call;
static struct err err;

static int start(void **state)
{
    (void)state;
    intent_origin_read(&self);
    snprintf(self.host, sizeof(self.host), "here");
    place.prefix = "";
    call_init(&call, &test_clock);
    err = (struct err){0};
    store_clear(NULL);
    store.now_ms = NOW_MS;
    return 0;
}

// ---- whose intents there are -------------------------------------------------------------------

enum whose { DEAD, LIVING, OTHER_CONTAINER, OTHER_HOST };

static pid_t dead_pid(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    return child;
}

// An intent for directory/name, as that process would have stored it at written_ms.
static void add_intent(enum whose whose, const char *prefix, const char *id, int64_t written_ms,
                       const char *directory, const char *name)
{
    char *names[] = {(char *)name};
    struct intent intent = {
        .origin = self,
        .mount = "5e7af04678b23f0e6a8346a7cc33b38b",
        .program = (char *)"0.1.0",
        .directory = (char *)directory,
        .names = names,
        .name_count = 1,
    };
    if (whose == DEAD)
        intent.origin.pid = dead_pid();
    if (whose == OTHER_CONTAINER)
        intent.origin.pid_namespace++;
    if (whose == OTHER_HOST)
        strcpy(intent.origin.host, "elsewhere");
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    assert_int_equal(intent_format(&intent, &json, &err), 0);
    auto_free char *key = intent_object_key(prefix, intent.origin.host, id);
    store_add(key, written_ms, json.bytes, json.size);
}

static bool has_intent(const char *id)
{
    for (size_t i = 0; i < store.object_count; i++)
        if (strstr(store.objects[i].key, id))
            return true;
    return false;
}

static void sweep(void)
{
    if (intent_sweep_run(&place, &call, &err) < 0)
        fail_msg("%s", err.text);
}

// ---- what is aborted ---------------------------------------------------------------------------

static void nothing_stored_is_one_request(void **state)
{
    (void)state;
    store_begin_upload("b/x.tar", "u", NOW_MS);
    sweep();
    assert_int_equal(store.requests, 1);
    assert_true(store_has_upload("u"));
}

static void a_dead_mounts_uploads_are_aborted(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(DEAD, "", "i2", NOW_MS - 50 * S, "", "y.tar");
    add_intent(LIVING, "", "i3", NOW_MS - 60 * S, "b", "z.tar");
    store_begin_upload("b/x.tar", "dead-1", NOW_MS - 59 * S);
    store_begin_upload("b/x.tar", "dead-2", NOW_MS - 61 * S); // a second of difference is none
    store_begin_upload("y.tar", "dead-3", NOW_MS);
    store_begin_upload("b/z.tar", "living", NOW_MS - 59 * S);
    store_begin_upload("b/x.tar.gz", "longer", NOW_MS - 59 * S);
    store_begin_upload("b/y.tar", "unnamed", NOW_MS - 59 * S);
    store_begin_upload("b/x.tar", "before", NOW_MS - 61 * S - 1);
    sweep();
    assert_false(store_has_upload("dead-1") || store_has_upload("dead-2") ||
                 store_has_upload("dead-3"));
    assert_true(store_has_upload("living") && store_has_upload("longer") &&
                store_has_upload("unnamed") && store_has_upload("before"));
    assert_false(has_intent("i1") || has_intent("i2"));
    assert_true(has_intent("i3"));
}

static void an_intent_without_uploads_is_deleted(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    sweep();
    assert_false(has_intent("i1"));
}

static void others_are_left_alone(void **state)
{
    (void)state;
    static const enum whose all[] = {LIVING, OTHER_CONTAINER, OTHER_HOST};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        start(NULL);
        add_intent(all[i], "", "i1", NOW_MS - 60 * S, "b", "x.tar");
        store_begin_upload("b/x.tar", "u", NOW_MS - 59 * S);
        sweep();
        assert_true(store_has_upload("u") && has_intent("i1"));
    }
}

// Both name the key; whose upload it is cannot be told, but by when it began.
static void what_another_may_own_is_left_alone(void **state)
{
    (void)state;
    static const enum whose all[] = {LIVING, OTHER_CONTAINER, OTHER_HOST};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        start(NULL);
        add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
        add_intent(all[i], "", "i2", NOW_MS - 30 * S, "b", "x.tar");
        store_begin_upload("b/x.tar", "dead", NOW_MS - 59 * S);
        store_begin_upload("b/x.tar", "either", NOW_MS - 31 * S);
        sweep();
        assert_false(store_has_upload("dead"));
        assert_true(store_has_upload("either"));
        assert_true(has_intent("i1") && has_intent("i2")); // for the next mount to look again
        store.upload_count = 0;
        sweep();
        assert_false(has_intent("i1"));
        assert_true(has_intent("i2"));
    }
}

static void another_dead_mount_owns_nothing(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(DEAD, "", "i2", NOW_MS - 50 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS - 10 * S);
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_int_equal(store.object_count, 0);
}

// The other's intent was stored after this mount had looked for the dead, but before its upload
// began.
static void begin_elsewhere(void)
{
    if (!has_intent("i2"))
        add_intent(OTHER_HOST, "", "i2", NOW_MS - 1 * S, "b", "x.tar");
}

static void claims_are_asked_for_after_the_uploads_were_listed(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS);
    store.after_uploads = begin_elsewhere;
    sweep();
    assert_true(store_has_upload("u") && has_intent("i1") && has_intent("i2"));
}

// It was killed after this mount had looked for the dead.
static void die_elsewhere(void)
{
    if (!has_intent("i2"))
        add_intent(DEAD, "", "i2", NOW_MS - 1 * S, "b", "x.tar");
}

static void who_has_died_meanwhile_owns_nothing(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS);
    store.after_uploads = die_elsewhere;
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_false(has_intent("i1"));
    assert_true(has_intent("i2")); // the next mount's
}

static void intents_that_are_gone_when_read_own_nothing(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(OTHER_HOST, "", "i2", NOW_MS - 30 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS);
    store.get_error = ENOENT;
    store.error_key = ".prereleasefs/intents/elsewhere/";
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_false(has_intent("i1"));
}

static void intents_of_last_week_own_nothing(void **state)
{
    (void)state;
    int64_t old_ms = NOW_MS - INTENT_CLAIM_MAX_MS;
    add_intent(DEAD, "", "i1", old_ms - 10 * S, "b", "x.tar");
    add_intent(OTHER_HOST, "", "i2", old_ms - 5 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", old_ms);
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_false(has_intent("i1"));
    assert_true(has_intent("i2"));
}

static void mounts_with_another_prefix_own_the_same_keys(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "team/", "team/one/", "team/one/b/"};
    static const char *const directories[] = {"team/one/b", "one/b", "b", ""};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        start(NULL);
        place.prefix = "team/one/";
        add_intent(DEAD, "team/one/", "i1", NOW_MS - 60 * S, "b", "x.tar");
        add_intent(OTHER_HOST, prefixes[i], "i2", NOW_MS - 30 * S, directories[i], "x.tar");
        store_begin_upload("team/one/b/x.tar", "u", NOW_MS - 20 * S);
        sweep();
        if (!store_has_upload("u"))
            fail_msg("aborted what a mount of \"%s\" uploads", prefixes[i]);
    }
    // The same directory and name below another prefix is another key.
    start(NULL);
    place.prefix = "team/one/";
    add_intent(DEAD, "team/one/", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(OTHER_HOST, "", "i2", NOW_MS - 30 * S, "b", "x.tar");
    store_begin_upload("team/one/b/x.tar", "u", NOW_MS - 20 * S);
    sweep();
    assert_int_equal(store.upload_count, 0);
}

static void an_account_that_sees_its_own_prefix_alone_sweeps_there(void **state)
{
    (void)state;
    place.prefix = "team/one/";
    add_intent(DEAD, "team/one/", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("team/one/b/x.tar", "u", NOW_MS - 20 * S);
    store.list_error = EACCES;
    store.error_key = ".prereleasefs/";
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_int_equal(store.object_count, 0);
}

// ---- what others wrote -------------------------------------------------------------------------

static void what_is_no_intent_is_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}", "nonsense", "{\"version\":1}", "[[[["};
    char key[64];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        snprintf(key, sizeof(key), ".prereleasefs/intents/here/odd-%zu.json", i);
        store_add(key, NOW_MS - 60 * S, texts[i], strlen(texts[i]));
    }
    static char large[INTENT_LIMIT + 1];
    memset(large, ' ', sizeof(large));
    store_add(".prereleasefs/intents/here/odd-large.json", NOW_MS - 60 * S, large, sizeof(large));
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS);
    sweep();
    assert_int_equal(store.upload_count, 0);
    assert_int_equal(store.object_count, ARRAY_SIZE(texts) + 1);
}

// It may be a living mount's, and may name any key.
static void a_newer_programs_intent_owns_what_began_after_it(void **state)
{
    (void)state;
    static const char newer[] = "{\"version\":2}";
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_add(".prereleasefs/intents/there/new.json", NOW_MS - 30 * S, newer, strlen(newer));
    store_begin_upload("b/x.tar", "before", NOW_MS - 40 * S);
    store_begin_upload("b/x.tar", "after", NOW_MS - 20 * S);
    sweep();
    assert_false(store_has_upload("before"));
    assert_true(store_has_upload("after") && has_intent("i1") && has_intent("new"));
}

static void pages_are_followed(void **state)
{
    (void)state;
    char id[8];
    char name[16];
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(name, sizeof(name), "x%d.tar", i);
        add_intent(i % 2 ? DEAD : LIVING, "", id, NOW_MS - 60 * S, "b", name);
        snprintf(name, sizeof(name), "b/x%d.tar", i);
        store_begin_upload(name, id, NOW_MS - 10 * S);
    }
    store.page_keys = 3;
    sweep();
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "i%d", i);
        assert_int_equal(store_has_upload(id), i % 2 == 0);
        assert_int_equal(has_intent(id), i % 2 == 0);
    }
}

// ---- failures ----------------------------------------------------------------------------------

static void permissions_that_are_missing_are_named(void **state)
{
    (void)state;
    static const struct {
        int *error;
        const char *action;
        bool is_aborted;
    } table[] = {
        {&store.list_error, "s3:ListBucket", false},
        {&store.get_error, "s3:GetObject", false},
        {&store.uploads_error, "s3:ListBucketMultipartUploads", false},
        {&store.abort_error, "s3:AbortMultipartUpload", false},
        {&store.delete_error, "s3:DeleteObject", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        start(NULL);
        for (int k = 0; k < 3; k++) {
            char id[8];
            snprintf(id, sizeof(id), "i%d", k);
            add_intent(DEAD, "", id, NOW_MS - 60 * S, "b", "x.tar");
        }
        store_begin_upload("b/x.tar", "u", NOW_MS - 10 * S);
        *table[i].error = EACCES;
        assert_int_equal(intent_sweep_run(&place, &call, &err), -EACCES);
        assert_non_null(strstr(err.text, table[i].action));
        assert_int_equal(store_has_upload("u"), !table[i].is_aborted);
        assert_int_equal(store.object_count, 3);
        *table[i].error = 0;
        sweep();
        assert_int_equal(store.upload_count, 0);
        assert_int_equal(store.object_count, 0);
    }
}

// One that cannot be looked for does not keep the others.
static void a_failure_leaves_its_own_intent_alone(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(DEAD, "", "i2", NOW_MS - 60 * S, "c", "y.tar");
    store_begin_upload("b/x.tar", "u1", NOW_MS - 10 * S);
    store_begin_upload("c/y.tar", "u2", NOW_MS - 10 * S);
    store.uploads_error = EIO;
    store.error_key = "b/";
    assert_int_equal(intent_sweep_run(&place, &call, &err), -EIO);
    assert_true(store_has_upload("u1") && has_intent("i1"));
    assert_false(store_has_upload("u2") || has_intent("i2"));
}

static void without_claims_nothing_is_aborted(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    add_intent(OTHER_HOST, "", "i2", NOW_MS - 60 * S, "c", "y.tar");
    store_begin_upload("b/x.tar", "u1", NOW_MS - 10 * S);
    store.get_error = EIO;
    store.error_key = ".prereleasefs/intents/elsewhere/";
    assert_int_equal(intent_sweep_run(&place, &call, &err), -EIO);
    assert_true(store_has_upload("u1") && has_intent("i1"));
}

static void refuse_listings(void)
{
    store.list_error = EACCES;
}

static void without_the_list_of_claims_nothing_is_aborted(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u1", NOW_MS - 10 * S);
    store.after_uploads = refuse_listings;
    assert_int_equal(intent_sweep_run(&place, &call, &err), -EACCES);
    assert_true(store_has_upload("u1") && has_intent("i1"));
}

static void a_cancelled_sweep_ends(void **state)
{
    (void)state;
    add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
    store_begin_upload("b/x.tar", "u", NOW_MS);
    call_cancel(&call);
    assert_int_equal(intent_sweep_run(&place, &call, &err), -EINTR);
    assert_true(has_intent("i1"));
}

// An upload that is left keeps its intent.
static void no_memory_loses_nothing(void **state)
{
    (void)state;
    bool was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        start(NULL);
        add_intent(DEAD, "", "i1", NOW_MS - 60 * S, "b", "x.tar");
        add_intent(OTHER_HOST, "", "i2", NOW_MS - 30 * S, "c", "y.tar");
        store_begin_upload("b/x.tar", "u", NOW_MS - 10 * S);
        memory_fail_at(nth);
        int error = intent_sweep_run(&place, &call, &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_true(has_intent("i1") || !store_has_upload("u"));
        assert_true(was_refused || error == 0);
    }
    assert_int_equal(store.upload_count, 0);
    assert_int_equal(store.object_count, 1);
}

// ---- a write's own -----------------------------------------------------------------------------

static struct intents *intents;

static struct write_intent *new_write(const char *directory, const char *name)
{
    struct write_intent *own = NULL;
    assert_int_equal(write_intent_new(intents, directory, &own, &err), 0);
    assert_int_equal(write_intent_add(own, name, &err), 0);
    return own;
}

static int start_write(void **state)
{
    start(state);
    static const struct intents_options options = {.clock = &test_clock, .prefix = "team/"};
    return intents_new(&options, &intents, &err);
}

static int end_write(void **state)
{
    intents_free(intents);
    intents = NULL;
    return store_clear(state);
}

static void a_write_costs_two_requests(void **state)
{
    (void)state;
    struct write_intent *own = new_write("b", "x.tar");
    for (int i = 0; i < 20; i++)
        write_intent_declare(own, &call);
    assert_int_equal(store.requests, 1);
    assert_int_equal(store.object_count, 1);
    struct intent *stored = NULL;
    assert_int_equal(
        intent_parse(store.objects[0].bytes.bytes, store.objects[0].bytes.size, &stored, &err), 0);
    assert_string_equal(stored->directory, "b");
    assert_string_equal(stored->names[0], "x.tar");
    assert_int_equal(stored->origin.pid, getpid());
    intent_free(stored);
    assert_int_equal(strncmp(store.objects[0].key, "team/.prereleasefs/intents/", 27), 0);
    write_intent_end(own, &call, false);
    assert_int_equal(store.requests, 2);
    assert_int_equal(store.object_count, 0);
    write_intent_free(own);
    write_intent_free(NULL);
}

static void a_write_without_uploads_costs_nothing(void **state)
{
    (void)state;
    struct write_intent *own = new_write("b", "x.tar");
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_int_equal(store.requests, 0);
}

static void an_upload_that_could_not_be_aborted_keeps_the_intent(void **state)
{
    (void)state;
    struct write_intent *own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    write_intent_end(own, &call, true);
    write_intent_free(own);
    assert_int_equal(store.object_count, 1);
}

static void storing_that_is_refused_is_no_failure(void **state)
{
    (void)state;
    store.put_error = EACCES;
    store.http_status = 403;
    struct write_intent *own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_int_equal(store.requests, 1); // nothing to delete
    // A failure of another kind may have stored it.
    store.put_error = EIO;
    store.http_status = 0;
    own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_int_equal(store.requests, 3);
}

static void what_cannot_be_deleted_is_not_stored_again(void **state)
{
    (void)state;
    store.delete_error = EACCES;
    for (int i = 0; i < 3; i++) {
        struct write_intent *own = new_write("b", "x.tar");
        write_intent_declare(own, &call);
        write_intent_end(own, &call, false);
        write_intent_free(own);
    }
    assert_int_equal(store.object_count, 1);
    assert_int_equal(store.requests, 2);
}

// The reply to a creation was lost: the write itself finds what nobody has the id of.
static void doubts_are_settled(void **state)
{
    (void)state;
    struct write_intent *own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    store_begin_upload("team/b/x.tar", "lost", NOW_MS + 1);
    store_begin_upload("team/b/x.tar", "before", NOW_MS - 2 * S);
    write_intent_doubt(own);
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_false(store_has_upload("lost"));
    assert_true(store_has_upload("before"));
    assert_int_equal(store.object_count, 0);

    // Nothing is found: it may still be on its way. Once time has passed it is not.
    own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    write_intent_doubt(own);
    int64_t began_ms = waited_ms;
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_int_equal(store.object_count, 0);
    assert_true(waited_ms - began_ms >= INTENT_SETTLE_MS);

    // Another host publishes the same name: whose it is cannot be told.
    own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    add_intent(OTHER_HOST, "team/", "i2", NOW_MS, "b", "x.tar");
    store_begin_upload("team/b/x.tar", "either", NOW_MS + 1);
    write_intent_doubt(own);
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_true(store_has_upload("either"));
    assert_int_equal(store.object_count, 2); // it stays for the next mount
}

static unsigned looks;

// Called with the store's lock held.
static void other_write_ends(void)
{
    char *key = intent_object_key("team/", self.host, "ending");
    struct store_object *object = ++looks == 2 ? store_find(key) : NULL;
    free(key);
    if (!object)
        return;
    buf_done(&object->bytes);
    *object = store.objects[--store.object_count];
}

// An earlier write of the same name is only just deleting its intent.
static void what_an_ending_write_may_own_is_looked_at_again(void **state)
{
    (void)state;
    looks = 0;
    store.after_uploads = other_write_ends;
    struct write_intent *own = new_write("b", "x.tar");
    write_intent_declare(own, &call);
    add_intent(LIVING, "team/", "ending", NOW_MS, "b", "x.tar");
    store_begin_upload("team/b/x.tar", "lost", NOW_MS + 1);
    write_intent_doubt(own);
    write_intent_end(own, &call, false);
    write_intent_free(own);
    assert_int_equal(looks, 2);
    assert_false(store_has_upload("lost"));
    assert_int_equal(store.object_count, 0);
}

static void no_memory_for_a_write(void **state)
{
    (void)state;
    bool was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        struct write_intent *own = NULL;
        memory_fail_at(nth);
        int error = write_intent_new(intents, "b", &own, &err);
        if (error == 0)
            error = write_intent_add(own, "x.tar", &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error, was_refused ? -ENOMEM : 0);
        write_intent_free(own);
    }
}

int main(void)
{
#define SWEEP(test) cmocka_unit_test_setup_teardown(test, start, store_clear)
#define WRITE(test) cmocka_unit_test_setup_teardown(test, start_write, end_write)
    const struct CMUnitTest tests[] = {
        SWEEP(nothing_stored_is_one_request),
        SWEEP(a_dead_mounts_uploads_are_aborted),
        SWEEP(an_intent_without_uploads_is_deleted),
        SWEEP(others_are_left_alone),
        SWEEP(what_another_may_own_is_left_alone),
        SWEEP(another_dead_mount_owns_nothing),
        SWEEP(claims_are_asked_for_after_the_uploads_were_listed),
        SWEEP(who_has_died_meanwhile_owns_nothing),
        SWEEP(intents_that_are_gone_when_read_own_nothing),
        SWEEP(intents_of_last_week_own_nothing),
        SWEEP(mounts_with_another_prefix_own_the_same_keys),
        SWEEP(an_account_that_sees_its_own_prefix_alone_sweeps_there),
        SWEEP(what_is_no_intent_is_left_alone),
        SWEEP(a_newer_programs_intent_owns_what_began_after_it),
        SWEEP(pages_are_followed),
        SWEEP(permissions_that_are_missing_are_named),
        SWEEP(a_failure_leaves_its_own_intent_alone),
        SWEEP(without_claims_nothing_is_aborted),
        SWEEP(without_the_list_of_claims_nothing_is_aborted),
        SWEEP(a_cancelled_sweep_ends),
        WRITE(a_write_costs_two_requests),
        WRITE(a_write_without_uploads_costs_nothing),
        WRITE(an_upload_that_could_not_be_aborted_keeps_the_intent),
        WRITE(storing_that_is_refused_is_no_failure),
        WRITE(what_cannot_be_deleted_is_not_stored_again),
        WRITE(doubts_are_settled),
        WRITE(what_an_ending_write_may_own_is_looked_at_again),
        SWEEP(no_memory_loses_nothing),
        WRITE(no_memory_for_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
