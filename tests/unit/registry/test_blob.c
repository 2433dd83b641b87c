// Ranged reads of blobs, from servers that serve ranges well, badly or not at all.
#include "../base/test.h"
#include "fixture.h"
#include "scripted_server.h"

#include "registry/blob.h"

#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOB_SIZE = 100 * 1000 };

static struct fixture fixture;
static struct scripted_server *server, *storage;
static char blob_bytes[BLOB_SIZE + 1000];
static struct registry_descriptor blob;

// What the server does with a blob; each test changes what it needs.
static struct {
    bool ignores_ranges;
    bool refuses_ranges;    // 416
    bool redirects;         // to `storage`, with another link each time
    unsigned refused_links; // that storage refuses, from the first
    size_t cut_after;       // bytes of each body; 0: never
    unsigned cuts;          // how many bodies are cut
    size_t most;            // bytes of an answer to a range; 0: any
    long shift;             // of the range that it says it sends
    long total_change;      // of the total that it says
    long size_change;       // of the blob's size as it has it
    bool has_no_content_range;
    unsigned flips; // answers with a flipped byte
    int status;     // of all answers, 0 for the right one
} serving;

static void answer_bytes(const struct scripted_request *request, struct scripted_reply *reply)
{
    static char flipped[sizeof(blob_bytes)];
    size_t size = (size_t)(BLOB_SIZE + serving.size_change), first = 0, last = size - 1;
    bool is_range = sscanf(request->range, "bytes=%zu-%zu", &first, &last) == 2;
    if (is_range && serving.refuses_ranges) {
        scripted_reply_text(reply, 416, "");
        return;
    }
    if (serving.ignores_ranges || !is_range) {
        is_range = false;
        first = 0;
        last = size - 1;
    }
    if (is_range && serving.most > 0 && last - first + 1 > serving.most)
        last = first + serving.most - 1;
    reply->status = serving.status != 0 ? serving.status : is_range ? 206 : 200;
    reply->body = blob_bytes + first;
    reply->body_size = last - first + 1;
    if (reply->status == 204)
        reply->body_size = 0;
    if (is_range && !serving.has_no_content_range)
        scripted_reply_header(reply, "Content-Range: bytes %ld-%ld/%ld",
                              (long)first + serving.shift, (long)last + serving.shift,
                              (long)size + serving.total_change);
    if (serving.cut_after > 0 && serving.cuts > 0) {
        serving.cuts--;
        reply->sent_size = serving.cut_after;
    }
    if (serving.flips > 0) {
        serving.flips--;
        memcpy(flipped, reply->body, reply->body_size);
        flipped[0] ^= 1;
        reply->body = flipped;
    }
}

static void answer(void *context, const struct scripted_request *request,
                   struct scripted_reply *reply)
{
    (void)context;
    if (!serving.redirects) {
        answer_bytes(request, reply);
        return;
    }
    scripted_reply_text(reply, 307, "<a href>Temporary Redirect</a>");
    scripted_reply_header(reply, "Location: http://%s/blob?signature=%u",
                          scripted_server_authority(storage), request->number);
}

static void answer_link(void *context, const struct scripted_request *request,
                        struct scripted_reply *reply)
{
    (void)context;
    if (request->number <= serving.refused_links)
        scripted_reply_text(reply, 403, "<Error><Code>AuthenticationFailed</Code></Error>");
    else
        answer_bytes(request, reply);
}

// ---- reading -----------------------------------------------------------------------------------

static struct {
    size_t next; // byte of the blob
    size_t calls;
    size_t fails_at; // byte at which it fails; 0: never
} sink;
static struct err last_err;

static int take(void *context, const void *bytes, size_t size)
{
    (void)context;
    sink.calls++;
    assert_true(sink.next + size <= sizeof(blob_bytes));
    assert_memory_equal(bytes, blob_bytes + sink.next, size);
    sink.next += size;
    return sink.fails_at > 0 && sink.next >= sink.fails_at ? -ENOSPC : 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&serving, 0, sizeof(serving));
    memset(&sink, 0, sizeof(sink));
    for (size_t i = 0; i < sizeof(blob_bytes); i++)
        blob_bytes[i] = (char)(i * 2654435761U >> 11);
    blob = (struct registry_descriptor){.size_bytes = BLOB_SIZE};
    strcpy(blob.digest, "sha256:");
    sha256_hex_of(blob_bytes, BLOB_SIZE, blob.digest + 7);
    server = scripted_server_new(answer, NULL);
    storage = scripted_server_new(answer_link, NULL);
    fixture_start(&fixture, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    scripted_server_free(server);
    scripted_server_free(storage);
    return 0;
}

static int read_blob(uint64_t offset, uint64_t size)
{
    struct registry_reference reference =
        fixture_reference(scripted_server_authority(server), "a/b:1");
    last_err = (struct err){0};
    sink.next = offset;
    int status = registry_blob_read(fixture.client, &fixture.call, &reference, &blob, offset, size,
                                    take, NULL, &last_err);
    registry_reference_done(&reference);
    if (status < 0)
        assert_int_equal(last_err.errnum, -status);
    return status;
}

#define assert_read(offset, size)                                                                  \
    do {                                                                                           \
        if (read_blob(offset, size) != 0)                                                          \
            fail_msg("%s", last_err.text);                                                         \
        assert_int_equal(sink.next, (offset) + (size));                                            \
    } while (0)
#define assert_told(words)                                                                         \
    do {                                                                                           \
        if (strstr(last_err.text, words) == NULL)                                                  \
            fail_msg("'%s' lacks '%s'", last_err.text, words);                                     \
    } while (0)

static void read_all_ranges(void)
{
    static const size_t ranges[][2] = {
        {0, BLOB_SIZE},     {0, 1},        {0, 1000},  {BLOB_SIZE - 1, 1},
        {1, BLOB_SIZE - 1}, {12345, 6789}, {500, 500}, {BLOB_SIZE - 1000, 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        assert_read(ranges[i][0], ranges[i][1]);
}

static void ranges_are_closed(void **state)
{
    (void)state;
    read_all_ranges();
    assert_read(7, 3);
    assert_non_null(strstr(scripted_server_line(server, 9), "bytes=7-9"));
    assert_int_equal(scripted_server_count(server, ""), 9);
    // The whole is asked for without one: caches that cannot cut take part then.
    assert_null(strstr(scripted_server_line(server, 1), "bytes"));
}

static void nothing_is_asked_for_nothing(void **state)
{
    (void)state;
    assert_read(0, 0);
    assert_read(BLOB_SIZE, 0);
    assert_int_equal(scripted_server_count(server, ""), 0);
    assert_int_equal(read_blob(0, BLOB_SIZE + 1), -EINVAL);
    assert_int_equal(read_blob(BLOB_SIZE + 1, 0), -EINVAL);
    assert_int_equal(read_blob(UINT64_MAX, 2), -EINVAL);
    assert_int_equal(scripted_server_count(server, ""), 0);
}

static void an_answer_without_a_range_is_skipped_into(void **state)
{
    (void)state;
    serving.ignores_ranges = true;
    read_all_ranges();
}

static void a_registry_that_cannot_cut_sends_the_whole(void **state)
{
    (void)state;
    serving.refuses_ranges = true;
    read_all_ranges();
    assert_int_equal(fixture.told, 0);
}

static void every_redirect_is_new(void **state)
{
    (void)state;
    serving.redirects = true;
    read_all_ranges();
    assert_int_equal(scripted_server_count(storage, "GET /blob?signature="), 8);
    assert_int_equal(scripted_server_count(storage, "GET /blob?signature=8"), 1);
}

static void a_link_that_has_ended_is_asked_for_again(void **state)
{
    (void)state;
    serving.redirects = true;
    serving.refused_links = 2;
    assert_read(10, 1000);
    assert_int_equal(scripted_server_count(server, ""), 3);
    assert_int_equal(fixture.told, 2);
    assert_null(strstr(fixture.told_text, "signature"));
}

static void a_broken_connection_is_resumed_where_it_broke(void **state)
{
    (void)state;
    serving.redirects = true;
    serving.cut_after = 10000;
    serving.cuts = 3;
    assert_read(100, 50000);
    assert_int_equal(fixture.told, 3);
    assert_non_null(strstr(scripted_server_line(server, 1), "bytes=100-50099"));
    assert_non_null(strstr(scripted_server_line(server, 2), "bytes=10100-50099"));
    assert_non_null(strstr(scripted_server_line(server, 4), "bytes=30100-50099"));
    assert_non_null(strstr(scripted_server_line(storage, 4), "signature=4"));
}

static void what_brought_bytes_is_no_failed_attempt(void **state)
{
    (void)state;
    serving.cut_after = 10000;
    serving.cuts = 9; // more than CALL_ATTEMPTS
    assert_read(0, BLOB_SIZE);
    assert_int_equal(fixture.told, 9);
    serving.cut_after = 5;
    serving.cuts = 1000;
    fixture.call.retries_left = 4; // but the call's budget bounds it
    assert_int_equal(read_blob(0, 1000), -EIO);
    assert_told("closed the connection early");
    assert_int_equal(sink.next, 25);
}

static void a_break_while_skipping_is_begun_again(void **state)
{
    (void)state;
    serving.ignores_ranges = true;
    serving.cut_after = 1000;
    serving.cuts = 2;
    assert_read(50000, 1000);
    assert_int_equal(fixture.told, 2);
}

static void a_shorter_range_than_asked_for_is_taken(void **state)
{
    (void)state;
    serving.most = 30000;
    assert_read(5, BLOB_SIZE - 10);
    assert_int_equal(scripted_server_count(server, ""), 4);
}

static void a_break_at_the_last_byte_is_none(void **state)
{
    (void)state;
    serving.ignores_ranges = true;
    serving.cut_after = 2000;
    serving.cuts = 1;
    assert_read(1000, 1000);
    assert_int_equal(fixture.told, 0);
}

static void ranges_that_are_wrong(void **state)
{
    (void)state;
    serving.shift = 1;
    assert_int_equal(read_blob(10, 100), -EPROTO);
    assert_told("bytes 11-110 came where 10-109 were asked for");
    serving.shift = 0;
    serving.has_no_content_range = true;
    assert_int_equal(read_blob(10, 100), -EPROTO);
    serving.has_no_content_range = false;
    serving.total_change = -1;
    assert_int_equal(read_blob(10, 100), -EBADMSG);
    assert_told("99999 bytes");
    serving.total_change = -BLOB_SIZE; // "/0": no range of it can be
    assert_int_equal(read_blob(10, 100), -EPROTO);
    assert_int_equal(sink.calls, 0);
    assert_int_equal(fixture.told, 0);
}

static void a_blob_of_another_size(void **state)
{
    (void)state;
    serving.size_change = -1;
    assert_int_equal(read_blob(0, BLOB_SIZE), -EBADMSG);
    assert_told("99999 bytes");
    serving.size_change = 500;
    assert_int_equal(read_blob(0, BLOB_SIZE), -EBADMSG);
    assert_int_equal(read_blob(10, 10), -EBADMSG);
    assert_int_equal(sink.calls, 0);
}

static void an_answer_that_is_none(void **state)
{
    (void)state;
    serving.status = 204;
    assert_int_equal(read_blob(0, BLOB_SIZE), -EPROTO);
    serving.status = 404;
    assert_int_equal(read_blob(0, BLOB_SIZE), -ENOENT);
    assert_told(blob.digest);
    assert_told("/a/b");
}

static void a_sink_that_fails_ends_it(void **state)
{
    (void)state;
    sink.fails_at = 1;
    assert_int_equal(read_blob(0, BLOB_SIZE), -ENOSPC);
    assert_int_equal(sink.calls, 1);
    assert_int_equal(scripted_server_count(server, ""), 1);
    assert_int_equal(fixture.told, 0);
}

// ---- whole blobs -------------------------------------------------------------------------------

static int fetch_blob(size_t limit)
{
    struct registry_reference reference =
        fixture_reference(scripted_server_authority(server), "a/b:1");
    char *bytes = NULL;
    int status = registry_blob_fetch(fixture.client, &fixture.call, &reference, &blob, limit,
                                     &bytes, &last_err);
    if (status == 0) {
        assert_memory_equal(bytes, blob_bytes, blob.size_bytes);
        assert_int_equal(bytes[blob.size_bytes], '\0');
    } else {
        assert_null(bytes);
        assert_int_equal(last_err.errnum, -status);
    }
    free(bytes);
    registry_reference_done(&reference);
    return status;
}

static void small_blobs_are_verified(void **state)
{
    (void)state;
    assert_int_equal(fetch_blob(BLOB_SIZE), 0);
    assert_int_equal(fetch_blob(BLOB_SIZE - 1), -EFBIG);
    assert_int_equal(scripted_server_count(server, ""), 1);
    serving.flips = 1;
    assert_int_equal(fetch_blob(BLOB_SIZE), 0); // one more try
    assert_int_equal(fixture.told, 1);
    serving.flips = 2;
    assert_int_equal(fetch_blob(BLOB_SIZE), -EBADMSG);
    assert_told("are others");
    serving.cut_after = 1000;
    serving.cuts = 2;
    serving.flips = 0;
    assert_int_equal(fetch_blob(BLOB_SIZE), 0);
}

static void an_empty_blob_is_verified_too(void **state)
{
    (void)state;
    blob.size_bytes = 0;
    assert_int_equal(fetch_blob(BLOB_SIZE), -EBADMSG);
    sha256_hex_of("", 0, blob.digest + 7);
    assert_int_equal(fetch_blob(BLOB_SIZE), 0);
    assert_int_equal(scripted_server_count(server, ""), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ranges_are_closed),
        TEST(nothing_is_asked_for_nothing),
        TEST(an_answer_without_a_range_is_skipped_into),
        TEST(a_registry_that_cannot_cut_sends_the_whole),
        TEST(every_redirect_is_new),
        TEST(a_link_that_has_ended_is_asked_for_again),
        TEST(a_broken_connection_is_resumed_where_it_broke),
        TEST(what_brought_bytes_is_no_failed_attempt),
        TEST(a_break_while_skipping_is_begun_again),
        TEST(a_shorter_range_than_asked_for_is_taken),
        TEST(a_break_at_the_last_byte_is_none),
        TEST(ranges_that_are_wrong),
        TEST(a_blob_of_another_size),
        TEST(an_answer_that_is_none),
        TEST(a_sink_that_fails_ends_it),
        TEST(small_blobs_are_verified),
        TEST(an_empty_blob_is_verified_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
