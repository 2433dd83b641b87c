// The table of generated files, where they stand, what is in them and when they are made anew,
// over a bucket that the test plays.
#include "tests/unit/base/test.h"

#include "base/call.h"
#include "base/scope.h"
#include "fs/path.h"
#include "fs/publish/reference_file.h"
#include "fs/virtual/virtual.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/record_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 8 };

#define BUILD "jps/fix-login/abc1234"
#define START_MS INT64_C(1795223793000) // 2026-11-21T01:16:33Z

// ---- the bucket --------------------------------------------------------------------------------

static struct {
    _Atomic int64_t now_ms;
    struct tree_entry entries[ENTRIES_MAX];
    size_t entry_count;
    uint64_t version;
    bool is_made_here;
    int list_error;
    bool has_records;
    int record_error;
    atomic_int record_requests;
    atomic_int sessions; // asked for
    int session_s;       // how long one lives
    int session_error;
    char tried[64]; // the key of the last link that was tried
    int trial_error;
    atomic_int links;
    atomic_int listings_held;
    atomic_int listings_below;
    uint64_t changes; // that this mount has made
} bucket;

static int64_t bucket_now_ms(const struct clock *clock)
{
    (void)clock;
    return bucket.now_ms;
}

static const struct clock test_clock = {.now_ms = bucket_now_ms, .monotonic_ms = bucket_now_ms};

static struct tree_entry file_entry(const char *name)
{
    return (struct tree_entry){
        .name = name,
        .size_bytes = 1000000,
        .modified_ms = START_MS - 3600 * 1000,
        .etag = "\"e\"",
        .storage_class = "STANDARD",
    };
}

static void add_file(const char *name)
{
    bucket.entries[bucket.entry_count++] = file_entry(name);
    bucket.version++;
}

static void add_directory(const char *name)
{
    bucket.entries[bucket.entry_count++] = (struct tree_entry){.name = name, .is_directory = true};
    bucket.version++;
}

// A listing whose memory ends with the listing, so that who keeps pointers into it is found out.
struct held_listing {
    struct tree_listing public;
    atomic_int references;
    char *directory;
    struct tree_entry entries[ENTRIES_MAX];
};

static struct tree_listing *list(const char *directory)
{
    struct held_listing *held = calloc(1, sizeof(*held));
    held->directory = strdup(directory);
    memcpy(held->entries, bucket.entries, sizeof(held->entries));
    held->references = 1;
    held->public = (struct tree_listing){
        .directory = held->directory,
        .entries = held->entries,
        .count = bucket.entry_count,
        .version = bucket.version,
        .changes = bucket.changes,
    };
    for (size_t i = 0; i < bucket.entry_count; i++)
        held->public.file_count += !bucket.entries[i].is_directory;
    bucket.listings_held++;
    return &held->public;
}

int tree_list(struct tree *tree, struct call *call, const char *directory,
              struct tree_listing **ret_listing, struct err *err)
{
    (void)tree;
    (void)call;
    if (bucket.list_error)
        return err_set(err, bucket.list_error, "cannot list");
    *ret_listing = list(directory);
    return 0;
}

struct tree_listing *tree_listing_ref(struct tree_listing *listing)
{
    ((struct held_listing *)listing)->references++;
    return listing;
}

void tree_listing_unref(struct tree_listing *listing)
{
    struct held_listing *held = (struct held_listing *)listing;
    if (!held || --held->references > 0)
        return;
    bucket.listings_held--;
    free(held->directory);
    free(held);
}

const struct tree_entry *tree_listing_find(const struct tree_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++) {
        if (strcmp(listing->entries[i].name, name) == 0)
            return &listing->entries[i];
    }
    return NULL;
}

bool tree_is_made_here(struct tree *tree, const char *directory)
{
    (void)tree;
    (void)directory;
    return bucket.is_made_here;
}

char *tree_key(const struct tree *tree, const char *directory, const char *name)
{
    (void)tree;
    return path_key("team/", directory, name);
}

const char *tree_prefix(const struct tree *tree)
{
    (void)tree;
    return "team/";
}

int64_t tree_list_ttl_ms(const struct tree *tree)
{
    (void)tree;
    return 1000;
}

// All that is below, as an index wants it: one build in each directory.
int s3_list_page(struct s3_client *client, struct call *call, const char *prefix,
                 const char *delimiter, const char *start_after, const char *token, int max_keys,
                 struct s3_page *ret_page, struct err *err)
{
    static struct s3_object_info objects[ENTRIES_MAX];
    static char keys[ENTRIES_MAX][S3_KEY_SIZE_MAX];
    struct s3_page page = {.objects = objects};
    (void)client, (void)call, (void)start_after, (void)token, (void)max_keys;
    assert_null(delimiter);
    bucket.listings_below++;
    if (bucket.list_error)
        return err_set(err, bucket.list_error, "cannot list");
    for (size_t i = 0; i < bucket.entry_count; i++) {
        if (!bucket.entries[i].is_directory)
            continue;
        snprintf(keys[i], sizeof(keys[i]), "%s%s/abc/x.tar", prefix, bucket.entries[i].name);
        objects[page.object_count++] =
            (struct s3_object_info){keys[i], 10, bucket.now_ms, "\"e\"", "STANDARD"};
    }
    *ret_page = page;
    return 0;
}

void s3_page_done(struct s3_page *page)
{
    *page = (struct s3_page){0};
}

const char *s3_client_origin(const struct s3_client *client)
{
    (void)client;
    return "https://bucket.example:443";
}

const char *s3_client_bucket(const struct s3_client *client)
{
    (void)client;
    return "bucket";
}

int s3_object_get(struct s3_client *client, struct call *call, const char *key, size_t limit_bytes,
                  struct buf *ret_bytes, char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    static const char records[] = "team/.prereleasefs/records/";
    char object[S3_KEY_SIZE_MAX];
    (void)client;
    (void)call;
    (void)limit_bytes;
    (void)ret_etag;
    if (strstr(key, "/bundles/"))
        return err_set(err, ENOENT, "no such key");
    bucket.record_requests++;
    if (bucket.record_error)
        return err_set(err, bucket.record_error, "cannot read the record");
    if (!bucket.has_records)
        return err_set(err, ENOENT, "no such key");
    assert_int_equal(strncmp(key, records, strlen(records)), 0);
    const char *path = key + strlen(records);
    snprintf(object, sizeof(object), "team/%.*s", (int)(strrchr(path, '/') - path), path);
    struct record *record = fixture_record(object, "\"e\"");
    record->has_image = strcmp(strrchr(object, '.'), ".pdf") != 0;
    int error = record_format(record, ret_bytes, err);
    record_free(record);
    return error;
}

int s3_object_put(struct s3_client *client, struct call *call, const struct s3_put *put,
                  char ret_etag[S3_ETAG_SIZE], struct err *err)
{
    (void)client;
    (void)call;
    (void)put;
    (void)ret_etag;
    return err_set(err, EIO, "not here");
}

int s3_object_delete(struct s3_client *client, struct call *call, const char *key, struct err *err)
{
    (void)client;
    (void)call;
    (void)key;
    return err_set(err, EIO, "not here");
}

struct s3_session {
    int number;
    int64_t ends_ms;
};

int s3_presigner_session(struct s3_presigner *presigner, struct call *call,
                         struct s3_session **ret_session, struct err *err)
{
    (void)presigner;
    (void)call;
    int number = ++bucket.sessions;
    if (bucket.session_error)
        return err_set(err, bucket.session_error, "STS says no");
    struct s3_session *session = calloc(1, sizeof(*session));
    if (!session)
        return err_no_memory(err);
    session->number = number;
    session->ends_ms = bucket.now_ms + INT64_C(1000) * bucket.session_s;
    *ret_session = session;
    return 0;
}

void s3_session_unref(struct s3_session *session)
{
    free(session);
}

int s3_presign_get(struct s3_session *session, const char *key, const char *download_name,
                   int expires_s, struct buf *ret_url, int64_t *ret_expires_ms, struct err *err)
{
    int64_t asked_ms = bucket.now_ms / 1000 * 1000 + INT64_C(1000) * expires_s;
    bucket.links++;
    *ret_expires_ms = asked_ms < session->ends_ms ? asked_ms : session->ends_ms;
    if (buf_printf(ret_url, "https://bucket.example/%s?s=%d&n=%s", key, session->number,
                   download_name) < 0)
        return err_no_memory(err);
    return 0;
}

int s3_presigner_try(struct s3_presigner *presigner, struct call *call, struct s3_session *session,
                     const char *key, struct err *err)
{
    (void)presigner;
    (void)call;
    (void)session;
    snprintf(bucket.tried, sizeof(bucket.tried), "%s", key);
    return bucket.trial_error ? err_set(err, bucket.trial_error, "the role may not") : 0;
}

// ---- the mount ---------------------------------------------------------------------------------

struct mount {
    struct record_cache *records;
    struct status *status;
    struct virtuals *virtuals;
};

static struct mount mount_with(bool has_presigner, int expires_s, int min_expires_s)
{
    struct mount mount = {0};
    struct err err = {0};
    assert_int_equal(
        record_cache_new(&(struct record_cache_options){.clock = &test_clock, .prefix = "team/"},
                         &mount.records, &err),
        0);
    assert_int_equal(status_new(&test_clock, &mount.status, &err), 0);
    struct virtuals_options options = {
        .records = mount.records,
        .status = mount.status,
        .presigner = has_presigner ? (struct s3_presigner *)&bucket : NULL,
        .clock = &test_clock,
        .expires_s = expires_s,
        .min_expires_s = min_expires_s,
        .contact = "Jane",
        .title = "The build",
    };
    assert_int_equal(virtuals_new(&options, &mount.virtuals, &err), 0);
    return mount;
}

static void unmount(struct mount *mount)
{
    virtuals_free(mount->virtuals);
    status_free(mount->status);
    record_cache_free(mount->records);
    assert_int_equal(bucket.listings_held, 0);
}

static int start(void **state)
{
    (void)state;
    memset(&bucket, 0, sizeof(bucket));
    bucket.now_ms = START_MS;
    bucket.session_s = 43200;
    bucket.has_records = true;
    return 0;
}

static int render_now(struct virtuals *virtuals, struct call *call, const struct virtual_file *file,
                      const char *directory, struct rendering **ret_rendering, struct err *err)
{
    struct tree_listing *listing = NULL;
    int error = tree_list(NULL, call, directory, &listing, err);
    if (error == 0)
        error = virtual_render(virtuals, call, file, listing, ret_rendering, err);
    tree_listing_unref(listing);
    return error;
}

static struct rendering *render(struct mount *mount, const char *name)
{
    struct rendering *rendering = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    if (render_now(mount->virtuals, &call, virtual_find(name), BUILD, &rendering, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    assert_int_equal(strlen(rendering->bytes), rendering->size);
    return rendering;
}

static int render_error(struct mount *mount, const char *name, const char *says)
{
    struct rendering *rendering = (void *)1;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    int error = render_now(mount->virtuals, &call, virtual_find(name), BUILD, &rendering, &err);
    assert_true(error < 0);
    assert_int_equal(error, -err.errnum);
    assert_ptr_equal(rendering, (void *)1);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    return error;
}

static uint64_t render_id(struct mount *mount, const char *name)
{
    struct rendering *rendering = render(mount, name);
    uint64_t id = rendering->id;
    rendering_unref(rendering);
    return id;
}

// ---- the table ---------------------------------------------------------------------------------

static void test_table(void **state)
{
    (void)state;
    static const char *const names[] = {"SHA256SUMS", "download.ps1", "download.sh",
                                        "index.html", "pinned.ref",   "report.html",
                                        "status.tsv", "summary.md",   "urls.tsv"};
    size_t count = 0;
    for (; virtual_files[count]; count++) {
        const struct virtual_file *file = virtual_files[count];
        assert_string_equal(file->name, names[count]);
        assert_ptr_equal(virtual_find(file->name), file);
        assert_true(file->is_live != (file->render != NULL));
    }
    assert_int_equal(count, ARRAY_SIZE(names));
    assert_true(virtual_find("urls.tsv")->holds_links);
    assert_true(virtual_find("report.html")->holds_links);
    assert_false(virtual_find("SHA256SUMS")->holds_links);
    assert_false(virtual_find("status.tsv")->holds_links);
    assert_null(virtual_find("urls.TSV"));
    assert_null(virtual_find(""));
}

// Nobody can publish under a generated name.
static void test_generated_names_are_no_tarballs_names(void **state)
{
    (void)state;
    struct reference_defaults defaults = {
        .platforms = {.list = {{.os = "linux", .architecture = "amd64"}}, .count = 1}};
    for (const struct virtual_file *const *file = virtual_files; *file; file++) {
        struct reference_line *lines;
        size_t count;
        struct err err = {0};
        char text[100];
        snprintf(text, sizeof(text), "localhost/a:1 %s\n", (*file)->name);
        assert_int_equal(
            reference_file_parse(text, strlen(text), 1, &defaults, &lines, &count, &err), -EINVAL);
    }
}

static void check_exists(struct mount *mount, bool has_files, bool has_status, bool has_presigner)
{
    struct tree_listing *listing = list(BUILD);
    bool has_directories = listing->file_count < listing->count;
    for (const struct virtual_file *const *file = virtual_files; *file; file++) {
        bool expected = (*file)->is_live    ? has_status
                        : (*file)->is_index ? has_directories
                                            : has_files;
        assert_int_equal(virtual_exists(mount->virtuals, *file, listing), expected);
        assert_int_equal(virtual_is_listed(mount->virtuals, *file, listing),
                         expected && (has_presigner || !(*file)->holds_links));
    }
    tree_listing_unref(listing);
}

static void test_where_they_stand(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    struct mount bare = mount_with(false, 604800, 0);
    check_exists(&mount, false, false, true);
    add_directory("abc");
    check_exists(&mount, false, false, true);
    // Neither a reference file nor what a generated name hides is a file for a customer.
    add_file("images.ref");
    add_file("urls.tsv");
    check_exists(&mount, false, false, true);
    add_file("x.tar");
    check_exists(&mount, true, false, true);
    check_exists(&bare, true, false, false);
    bucket.is_made_here = true;
    check_exists(&mount, true, true, true);
    bucket.is_made_here = false;
    status_refused(mount.status, BUILD, "images.ref", NULL, "line 1: no");
    check_exists(&mount, true, true, true);
    check_exists(&bare, true, false, false);
    assert_int_equal(bucket.sessions, 0);
    assert_int_equal(bucket.record_requests, 0);
    unmount(&mount);
    unmount(&bare);
}

// ---- what is in them ---------------------------------------------------------------------------

static void test_urls(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 3600, 0);
    add_file("a:b.tar");
    add_file("images.ref");
    add_file("notes.pdf");
    add_directory("sub");
    add_file("urls.tsv");
    struct rendering *rendering = render(&mount, "urls.tsv");
    assert_string_equal(rendering->bytes,
                        "file\turl\texpires\tsize\tsha256\timage\tdigest\tplatform\tsignatures\n"
                        "a:b.tar\thttps://bucket.example/team/" BUILD "/a:b.tar?s=1&n=a_b.tar\t"
                        "2026-11-21T02:16:33Z\t1000000\t" FIXTURE_HEX "\t" FIXTURE_REFERENCE
                        "\t" FIXTURE_DIGEST "\tlinux/amd64\t-\n"
                        "notes.pdf\thttps://bucket.example/team/" BUILD
                        "/notes.pdf?s=1&n=notes.pdf\t"
                        "2026-11-21T02:16:33Z\t1000000\t" FIXTURE_HEX "\t-\t-\t-\t-\n");
    // One session signs all; a record is asked for once for each file that is shown.
    assert_int_equal(bucket.sessions, 1);
    assert_int_equal(bucket.links, 2);
    assert_int_equal(bucket.record_requests, 2);
    assert_int_equal(rendering->rendered_ms, START_MS);
    rendering_unref(rendering);
    unmount(&mount);
}

static void test_sums_need_no_presigner(void **state)
{
    (void)state;
    struct mount mount = mount_with(false, 3600, 0);
    add_file("a:b.tar");
    struct rendering *rendering = render(&mount, "SHA256SUMS");
    assert_string_equal(rendering->bytes, FIXTURE_HEX "  a_b.tar\n");
    rendering_unref(rendering);
    assert_int_equal(render_error(&mount, "urls.tsv", "presign_role="), -EACCES);
    assert_int_equal(render_error(&mount, "report.html", "presign_profile="), -EACCES);
    assert_int_equal(bucket.sessions, 0);
    unmount(&mount);
}

// It needs neither a presigner nor records, and is made anew when list_ttl is over or this mount
// has changed something below.
static void test_an_index_costs_a_listing(void **state)
{
    (void)state;
    struct mount mount = mount_with(false, 604800, 0);
    render_error(&mount, "index.html", "holds no directories");
    add_directory("fix-login");
    struct rendering *rendering = render(&mount, "index.html");
    assert_non_null(strstr(rendering->bytes, "href=\"fix-login/index.html\""));
    assert_non_null(strstr(rendering->bytes, "href=\"fix-login/abc/\""));
    rendering_unref(rendering);
    assert_int_equal(bucket.record_requests + bucket.sessions, 0);
    uint64_t id = render_id(&mount, "index.html");
    assert_int_equal(bucket.listings_below, 1);
    bucket.changes = UINT64_C(1) << 40;
    (void)render_id(&mount, "index.html");
    assert_int_equal(bucket.listings_below, 2);
    bucket.now_ms += 1000;
    assert_true(render_id(&mount, "index.html") != id); // it shows another time
    assert_int_equal(bucket.listings_below, 3);
    bucket.list_error = EACCES;
    bucket.now_ms += 1000;
    assert_int_equal(render_error(&mount, "index.html", "cannot list"), -EACCES);
    unmount(&mount);
}

static void test_report_knows_its_build(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    struct call call;
    struct err err = {0};
    struct rendering *rendering;
    call_init(&call, &test_clock);
    add_file("x.tar");
    static const struct {
        const char *directory, *says;
    } table[] = {
        {BUILD, "<dt>Branch</dt><dd>jps/fix-login</dd>"},
        {BUILD, "<dt>Commit</dt><dd><code>abc1234</code></dd>"},
        {BUILD, "<h1>The build</h1>"},
        {BUILD, "<dt>Contact</dt><dd>Jane</dd>"},
        {"releases/v1.2.3", "<dt>Version</dt><dd><code>v1.2.3</code></dd>"},
        {"releases", "<dt>Build</dt><dd><code>releases</code></dd>"},
        {"main", "<dt>Build</dt><dd><code>main</code></dd>"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        assert_int_equal(render_now(mount.virtuals, &call, virtual_find("report.html"),
                                    table[i].directory, &rendering, &err),
                         0);
        if (!strstr(rendering->bytes, table[i].says))
            fail_msg("%s: the page does not say %s", table[i].directory, table[i].says);
        rendering_unref(rendering);
    }
    unmount(&mount);
}

// A record that contradicts the listing is none.
static void test_record_of_another_size(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    add_file("x.tar");
    bucket.entries[0].size_bytes++;
    struct rendering *rendering = render(&mount, "SHA256SUMS");
    assert_string_equal(rendering->bytes, "# x.tar: its sha256 is not known\n");
    rendering_unref(rendering);
    unmount(&mount);
}

// What would answer 403 to the customer is not handed out; sums need no link.
static void test_links_that_do_not_work(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    struct rendering *rendering = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, &test_clock);
    add_file("x.tar");
    add_file("y.tar");
    add_file("z.tar");
    bucket.entries[1].modified_ms += 1000;
    bucket.trial_error = EACCES;
    assert_int_equal(
        render_now(mount.virtuals, &call, virtual_find("urls.tsv"), BUILD, &rendering, &err),
        -EACCES);
    assert_non_null(strstr(err.text, "the role may not"));
    assert_string_equal(bucket.tried, "team/" BUILD "/y.tar"); // the newest
    rendering_unref(render(&mount, "SHA256SUMS"));
    bucket.trial_error = 0;
    rendering_unref(render(&mount, "urls.tsv"));
    unmount(&mount);
}

// ---- reuse -------------------------------------------------------------------------------------

static void test_reused_for_a_minute(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    add_file("x.tar");
    uint64_t first = render_id(&mount, "urls.tsv");
    bucket.now_ms += VIRTUAL_REUSE_MS - 1;
    assert_int_equal(render_id(&mount, "urls.tsv"), first);
    assert_int_equal(bucket.sessions, 1);
    bucket.now_ms += 1;
    uint64_t second = render_id(&mount, "urls.tsv");
    assert_int_not_equal(second, first);
    assert_int_equal(bucket.sessions, 2);
    // A publish: another listing.
    add_file("y.tar");
    assert_int_not_equal(render_id(&mount, "urls.tsv"), second);
    assert_int_equal(bucket.sessions, 3);
    unmount(&mount);
}

static void test_ids_are_unique(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    struct rendering *renderings[3];
    add_file("x.tar");
    renderings[0] = render(&mount, "urls.tsv");
    renderings[1] = render(&mount, "report.html");
    renderings[2] = render(&mount, "SHA256SUMS");
    assert_int_not_equal(renderings[0]->id, renderings[1]->id);
    assert_int_not_equal(renderings[1]->id, renderings[2]->id);
    assert_int_not_equal(renderings[0]->id, renderings[2]->id);
    // Bytes of an open file stay, whatever happens to the mount's own copy.
    auto_free char *before = strdup(renderings[0]->bytes);
    add_file("y.tar");
    rendering_unref(render(&mount, "urls.tsv"));
    unmount(&mount);
    assert_string_equal(renderings[0]->bytes, before);
    for (size_t i = 0; i < 3; i++)
        rendering_unref(rendering_ref(renderings[i]));
    for (size_t i = 0; i < 3; i++)
        rendering_unref(renderings[i]);
    rendering_unref(NULL);
}

// The same bytes again are the same rendering: the kernel's pages of it stay right.
static void test_same_bytes_same_rendering(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    add_file("x.tar");
    uint64_t first = render_id(&mount, "SHA256SUMS");
    bucket.now_ms += 2 * VIRTUAL_REUSE_MS;
    assert_int_equal(render_id(&mount, "SHA256SUMS"), first);
    add_file("images.ref");
    assert_int_equal(render_id(&mount, "SHA256SUMS"), first);
    add_file("y.tar");
    assert_int_not_equal(render_id(&mount, "SHA256SUMS"), first);
    unmount(&mount);
}

// Links that live shortly are reused shortly.
static void test_short_links(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 20, 0);
    add_file("x.tar");
    uint64_t first = render_id(&mount, "urls.tsv");
    bucket.now_ms += 1999;
    assert_int_equal(render_id(&mount, "urls.tsv"), first);
    bucket.now_ms += 1;
    assert_int_not_equal(render_id(&mount, "urls.tsv"), first);
    unmount(&mount);
}

// The record of a tarball that has just appeared may come any moment.
static void test_record_on_its_way(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    add_file("x.tar");
    bucket.entries[0].modified_ms = START_MS - 1000;
    bucket.has_records = false;
    struct rendering *rendering = render(&mount, "SHA256SUMS");
    assert_string_equal(rendering->bytes, "# x.tar: its sha256 is not known\n");
    rendering_unref(rendering);
    bucket.has_records = true;
    bucket.now_ms += 2000;
    rendering = render(&mount, "SHA256SUMS");
    assert_string_equal(rendering->bytes, FIXTURE_HEX "  x.tar\n");
    rendering_unref(rendering);
    unmount(&mount);
}

static void test_min_expires(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 3600);
    add_file("x.tar");
    bucket.session_s = 3599;
    assert_int_equal(render_error(&mount, "urls.tsv", "in 3599 seconds"), -EACCES);
    assert_int_equal(render_error(&mount, "report.html", "presign_profile="), -EACCES);
    rendering_unref(render(&mount, "SHA256SUMS"));
    // Just enough for now is not reused; with room to spare it is until it is used up.
    bucket.session_s = 3600;
    uint64_t first = render_id(&mount, "urls.tsv");
    assert_int_not_equal(render_id(&mount, "urls.tsv"), first);
    bucket.session_s = 3610;
    first = render_id(&mount, "urls.tsv");
    bucket.now_ms += 9999;
    assert_int_equal(render_id(&mount, "urls.tsv"), first);
    bucket.now_ms += 1;
    assert_int_not_equal(render_id(&mount, "urls.tsv"), first);
    unmount(&mount);

    // Signatures count from the second that has begun.
    struct mount exact = mount_with(true, 60, 60);
    bucket.now_ms += 999;
    rendering_unref(render(&exact, "urls.tsv"));
    unmount(&exact);
}

// ---- failures ----------------------------------------------------------------------------------

static void test_failures(void **state)
{
    (void)state;
    struct mount mount = mount_with(true, 604800, 0);
    assert_int_equal(render_error(&mount, "urls.tsv", "holds no files"), -ENOENT);
    assert_int_equal(render_error(&mount, "status.tsv", "live"), -EINVAL);
    add_file("x.tar");
    bucket.list_error = EIO;
    assert_int_equal(render_error(&mount, "urls.tsv", "cannot list"), -EIO);
    bucket.list_error = 0;
    bucket.record_error = ETIMEDOUT;
    assert_int_equal(render_error(&mount, "urls.tsv", "cannot read the record"), -ETIMEDOUT);
    bucket.record_error = 0;
    bucket.session_error = EACCES;
    assert_int_equal(render_error(&mount, "urls.tsv", "STS says no"), -EACCES);
    assert_int_equal(render_error(&mount, "urls.tsv", BUILD "/urls.tsv: "), -EACCES);
    bucket.session_error = 0;
    rendering_unref(render(&mount, "urls.tsv"));
    unmount(&mount);
}

static void test_no_memory(void **state)
{
    (void)state;
    add_file("x.tar");
    add_file("y.tar");
    bool has_failed = true;
    // (The first two allocations are the bucket's own, which are not checked.)
    for (int nth = 3; has_failed; nth++) {
        struct mount mount = mount_with(true, 604800, 0);
        struct rendering *rendering = NULL;
        struct call call;
        struct err err = {0};
        call_init(&call, &test_clock);
        bucket.has_records = false; // threads and JSON have tests of their own
        memory_fail_at(nth);
        int error =
            render_now(mount.virtuals, &call, virtual_find("urls.tsv"), BUILD, &rendering, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        if (error < 0)
            assert_true(err.errnum == ENOMEM || err.errnum == EFBIG);
        else
            assert_non_null(rendering);
        assert_true(has_failed || error == 0);
        rendering_unref(rendering);
        unmount(&mount);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_table, start),
        cmocka_unit_test_setup(test_generated_names_are_no_tarballs_names, start),
        cmocka_unit_test_setup(test_where_they_stand, start),
        cmocka_unit_test_setup(test_urls, start),
        cmocka_unit_test_setup(test_sums_need_no_presigner, start),
        cmocka_unit_test_setup(test_an_index_costs_a_listing, start),
        cmocka_unit_test_setup(test_report_knows_its_build, start),
        cmocka_unit_test_setup(test_record_of_another_size, start),
        cmocka_unit_test_setup(test_links_that_do_not_work, start),
        cmocka_unit_test_setup(test_reused_for_a_minute, start),
        cmocka_unit_test_setup(test_ids_are_unique, start),
        cmocka_unit_test_setup(test_same_bytes_same_rendering, start),
        cmocka_unit_test_setup(test_short_links, start),
        cmocka_unit_test_setup(test_record_on_its_way, start),
        cmocka_unit_test_setup(test_min_expires, start),
        cmocka_unit_test_setup(test_failures, start),
        cmocka_unit_test_setup(test_no_memory, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
