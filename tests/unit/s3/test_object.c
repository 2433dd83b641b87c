// Whole objects and ranges of them, with the answers that a real store gives too seldom.

#include "base/scope.h"
#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define XML(code) "<Error><Code>" code "</Code></Error>"
#define ETAG "ETag: \"e1\"\r\n"
#define MODIFIED "Last-Modified: Fri, 24 May 2013 00:00:01 GMT\r\n"
#define EXISTS                                                                                     \
    {                                                                                              \
        412, NULL, XML("PreconditionFailed"), 0                                                    \
    }
#define GONE                                                                                       \
    {                                                                                              \
        404, NULL, XML("NoSuchKey"), 0                                                             \
    }
#define LOST                                                                                       \
    {                                                                                              \
        0, NULL, NULL, 0                                                                           \
    }

static struct fixture f;

// ---- head and get -------------------------------------------------------------------------

static void head(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200,
         ETAG MODIFIED "Content-Type: application/x-tar\r\nx-amz-meta-digest: sha256:1\r\n"
                       "X-Amz-Meta-Empty:\r\nx-amz-storage-class: GLACIER_IR\r\n",
         "12345", 5},
        {200, MODIFIED, "12345", 5},
        {200, ETAG, "12345", 5},
        {404, NULL, NULL, 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_head head = {0};
    assert_int_equal(s3_object_head(f.client, &f.call, "k", &head, &f.err), 0);
    assert_int_equal(head.size_bytes, 5);
    assert_int_equal(head.modified_ms, TEST_NOW_MS + 1000);
    assert_string_equal(head.etag, "\"e1\"");
    assert_string_equal(head.content_type, "application/x-tar");
    assert_string_equal(head.storage_class, "GLACIER_IR");
    assert_string_equal(s3_head_metadata(&head, "digest"), "sha256:1");
    assert_string_equal(s3_head_metadata(&head, "empty"), "");
    assert_null(s3_head_metadata(&head, "none"));
    s3_head_done(&head);
    atomic_store(&f.call.retries_left, 0);
    assert_int_equal(s3_object_head(f.client, &f.call, "k", &head, &f.err), -EPROTO);
    assert_int_equal(s3_object_head(f.client, &f.call, "k", &head, &f.err), -EPROTO);
    assert_int_equal(s3_object_head(f.client, &f.call, "k", &head, &f.err), -ENOENT);
    fixture_stop(&f);
}

static void get(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ETAG, "12345", 0}, {200, ETAG, "12345", 0}, {200, NULL, "12345", 0},
        {200, ETAG, "12345", 2}, {200, ETAG, "12345", 0}, {404, NULL, XML("NoSuchKey"), 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct buf bytes = {0};
    char etag[S3_ETAG_SIZE] = "";
    assert_int_equal(s3_object_get(f.client, &f.call, "k", 5, &bytes, etag, &f.err), 0);
    assert_string_equal(buf_text(&bytes), "12345");
    assert_string_equal(etag, "\"e1\"");
    buf_done(&bytes);
    assert_int_equal(s3_object_get(f.client, &f.call, "k", 4, &bytes, etag, &f.err), -EFBIG);
    assert_string_equal(f.err.text, "bkt/k is larger than 4 bytes");
    // No store answers without an ETag: this is some proxy's page. The next is cut off.
    assert_int_equal(s3_object_get(f.client, &f.call, "k", 5, &bytes, NULL, &f.err), 0);
    assert_int_equal(atomic_load(&f.call.retries_made), 2);
    assert_string_equal(buf_text(&bytes), "12345");
    buf_done(&bytes);
    assert_int_equal(s3_object_get(f.client, &f.call, "k", 0, &bytes, NULL, &f.err), -ENOENT);
    fixture_stop(&f);
}

// ---- read ---------------------------------------------------------------------------------

static struct buf taken = {.limit = 1024};
static int taker_answer;

static int take(void *context, const void *bytes, size_t size)
{
    (void)context;
    if (taker_answer < 0)
        return taker_answer;
    return buf_append(&taken, bytes, size);
}

static int read_range(const char *if_match, uint64_t offset, uint64_t size)
{
    buf_done(&taken);
    return s3_object_read(f.client, &f.call, "k", if_match, offset, size, take, NULL, &f.err);
}

static void a_range(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {206, ETAG "Content-Range: bytes 2-5/10\r\n", "2345", 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    assert_int_equal(read_range("\"e1\"", 2, 4), 0);
    assert_string_equal(buf_text(&taken), "2345");
    script_assert_header(f.script, 0, "Range", "bytes=2-5");
    script_assert_header(f.script, 0, "If-Match", "\"e1\"");
    assert_int_equal(read_range(NULL, 2, 0), 0);
    assert_int_equal(script_request_count(f.script), 1);
    assert_int_equal(read_range(NULL, 2, UINT64_MAX), -EINVAL);
    fixture_stop(&f);
}

static void broken_connections_are_resumed(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {206, ETAG "Content-Range: bytes 0-9/10\r\n", "0123456789", 7},
        LOST,
        {503, NULL, XML("SlowDown"), 0},
        {206, ETAG "Content-Range: bytes 3-9/10\r\n", "3456789", 1},
        {206, ETAG "Content-Range: bytes 9-9/10\r\n", "9", 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    assert_int_equal(read_range(NULL, 0, 10), 0);
    assert_string_equal(buf_text(&taken), "0123456789");
    script_assert_header(f.script, 0, "If-Match", NULL);
    script_assert_header(f.script, 1, "Range", "bytes=3-9");
    script_assert_header(f.script, 1, "If-Match", "\"e1\""); // the first answer binds the others
    script_assert_header(f.script, 4, "Range", "bytes=9-9");
    fixture_stop(&f);
}

static void as_many_resumptions_as_there_is_progress(void **state)
{
    (void)state;
    struct script_reply replies[2 * CALL_ATTEMPTS];
    char headers[ARRAY_SIZE(replies)][64];
    for (int i = 0; i < (int)ARRAY_SIZE(replies); i++) {
        snprintf(headers[i], sizeof(headers[i]), ETAG "Content-Range: bytes %d-11/12\r\n", i);
        replies[i] = (struct script_reply){206, headers[i], &"abcdefghijkl"[i],
                                           (int)ARRAY_SIZE(replies) - 1 - i};
    }
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    assert_int_equal(read_range(NULL, 0, ARRAY_SIZE(replies)), 0);
    assert_string_equal(buf_text(&taken), "abcdefghijkl");
    fixture_stop(&f);
}

static void bytes_of_two_objects_are_never_mixed(void **state)
{
    (void)state;
    static const struct script_reply refused[] = {
        {206, ETAG "Content-Range: bytes 0-9/10\r\n", "0123456789", 7},
        {412, NULL, XML("PreconditionFailed"), 0},
    };
    static const struct script_reply ignored[] = {
        {206, ETAG "Content-Range: bytes 0-9/10\r\n", "0123456789", 7},
        {206, "ETag: \"e2\"\r\nContent-Range: bytes 3-9/10\r\n", "XXXXXXX", 0},
    };
    fixture_start(&f, refused, ARRAY_SIZE(refused));
    assert_int_equal(read_range(NULL, 0, 10), -ESTALE);
    fixture_stop(&f);
    fixture_start(&f, ignored, ARRAY_SIZE(ignored));
    assert_int_equal(read_range(NULL, 0, 10), -ESTALE);
    assert_string_equal(buf_text(&taken), "012");
    fixture_stop(&f);
    static const struct script_reply other[] = {
        {206, "ETag: \"e2\"\r\nContent-Range: bytes 0-0/10\r\n", "X", 0}};
    fixture_start(&f, other, ARRAY_SIZE(other));
    assert_int_equal(read_range("\"e1\"", 0, 1), -ESTALE);
    assert_int_equal(taken.size, 0);
    fixture_stop(&f);
}

static void a_store_that_ignores_ranges(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ETAG, "0123456789", 5}, {200, ETAG, "0123456789", 0}, {200, ETAG, "0123", 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    assert_int_equal(read_range(NULL, 3, 4), 0);
    assert_string_equal(buf_text(&taken), "3456");
    assert_int_equal(read_range(NULL, 3, 4), -EIO);
    assert_int_equal(taken.size, 0);
    fixture_stop(&f);
}

static void wrong_answers(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        int errnum;
    } cases[] = {
        {{206, ETAG "Content-Range: bytes 0-3/10\r\n", "0123", 0}, EPROTO},
        {{206, ETAG "Content-Range: bytes 2-9/10\r\n", "23456789", 0}, EPROTO},
        {{206, ETAG, "2345", 0}, EPROTO},
        {{206, ETAG "Content-Range: bytes */10\r\n", "2345", 0}, EPROTO},
        {{206, "Content-Range: bytes 2-5/10\r\n", "2345", 0}, EPROTO},
        {{206, ETAG "Content-Range: bytes 2-4/5\r\n", "234", 0}, EIO},
        {{206, ETAG "Content-Range: bytes 2-5/10\r\n", "23", 0}, EIO},
        {{204, ETAG, NULL, 0}, EIO},
        {{416, NULL, XML("InvalidRange"), 0}, EIO},
        {{404, NULL, XML("NoSuchKey"), 0}, ENOENT},
        {{403, NULL, XML("AccessDenied"), 0}, EACCES},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, &cases[i].reply, 1);
        if (read_range(NULL, 2, 4) != -cases[i].errnum)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_int_equal(f.err.errnum, cases[i].errnum);
        fixture_stop(&f);
    }
}

static void the_taker_may_give_up(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {206, ETAG "Content-Range: bytes 2-5/10\r\n", "2345", 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    taker_answer = -ENOSPC;
    assert_int_equal(read_range(NULL, 2, 4), -ENOSPC);
    taker_answer = 0;
    assert_int_equal(script_request_count(f.script), 1);
    fixture_stop(&f);
}

// ---- put ----------------------------------------------------------------------------------

static int put(const char *text, enum s3_condition condition, char *ret_etag)
{
    struct http_piece body[] = {{text, 1}, {text + 1, strlen(text) - 1}};
    struct s3_metadata metadata = {"who", "me"};
    struct s3_put put = {"k", body, 2, "text/plain", &metadata, 1, condition};
    return s3_object_put(f.client, &f.call, &put, ret_etag, &f.err);
}

static void put_sends(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ETAG, NULL, 0}, {200, ETAG, NULL, 0}, {200, NULL, "<html>Log in!</html>", 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    char etag[S3_ETAG_SIZE] = "";
    assert_int_equal(put("hello", S3_CONDITION_NONE, etag), 0);
    assert_string_equal(etag, "\"e1\"");
    script_assert_header(f.script, 0, "Content-Type", "text/plain");
    script_assert_header(f.script, 0, "x-amz-meta-who", "me");
    script_assert_header(f.script, 0, "If-None-Match", NULL);
    assert_int_equal(put("hello", S3_CONDITION_ABSENT, NULL), 0);
    script_assert_header(f.script, 1, "If-None-Match", "*");
    atomic_store(&f.call.retries_left, 0);
    assert_int_equal(put("hello", S3_CONDITION_NONE, NULL), -EPROTO);
    fixture_stop(&f);
}

// Whatever is wrong with the answer, the object says whether it was stored.
static void a_put_is_settled(void **state)
{
    (void)state;
    static char large[HTTP_HEADERS_LIMIT + 10] = "X: ";
    memset(large + 3, 'x', HTTP_HEADERS_LIMIT);
    memcpy(large + 3 + HTTP_HEADERS_LIMIT, "\r\n", 3);
    const struct {
        struct script_reply replies[3];
        int errnum;
    } cases[] = {
        {{LOST, {200, ETAG, "hello", 0}}, 0},
        {{{200, NULL, NULL, 0}, {200, ETAG, "hello", 0}}, 0},
        {{{200, large, NULL, 0}, {200, ETAG, "hello", 0}}, 0},
        {{{500, NULL, XML("InternalError"), 0}, {200, ETAG, "hello", 0}}, 0},
        {{LOST, {200, ETAG, "other", 0}}, EIO},
        {{LOST, {404, NULL, XML("NoSuchKey"), 0}}, EIO},
        {{{503, NULL, XML("SlowDown"), 0}, {404, NULL, XML("NoSuchKey"), 0}}, EIO},
        // Refused: it is not looked for
        {{{403, NULL, XML("AccessDenied"), 0}, {200, ETAG, "hello", 0}}, EACCES},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, cases[i].replies, ARRAY_SIZE(cases[i].replies));
        atomic_store(&f.call.retries_left, 0);
        char etag[S3_ETAG_SIZE] = "";
        if (put("hello", S3_CONDITION_NONE, etag) != -cases[i].errnum)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_string_equal(etag, cases[i].errnum ? "" : "\"e1\"");
        fixture_stop(&f);
    }
}

static void a_conditional_put(void **state)
{
    (void)state;
    static const struct {
        struct script_reply replies[4];
        int errnum;
        const char *code;
    } cases[] = {
        {{EXISTS}, EEXIST, "PreconditionFailed"},
        // The first one's reply was lost; is what stands there ours?
        {{LOST, {200, ETAG, "hello", 0}}, 0, ""},
        {{LOST, GONE, EXISTS, {200, ETAG, "hello", 0}}, 0, ""}, // it took effect late
        {{LOST, GONE, EXISTS, {200, ETAG, "other", 0}}, EEXIST, "PreconditionFailed"},
        {{LOST, GONE, EXISTS, {200, ETAG, "hello!", 0}}, EEXIST, "PreconditionFailed"},
        {{LOST, GONE, EXISTS, {200, ETAG, "hell", 0}}, EEXIST, "PreconditionFailed"},
        {{LOST, GONE, EXISTS, GONE}, EEXIST, "PreconditionFailed"},
        {{LOST, GONE, {200, ETAG, NULL, 0}}, 0, ""},
        {{{409, NULL, XML("ConditionalRequestConflict"), 0}, {200, ETAG, NULL, 0}}, 0, ""},
        {{{501, NULL, XML("NotImplemented"), 0}}, EOPNOTSUPP, "NotImplemented"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, cases[i].replies, ARRAY_SIZE(cases[i].replies));
        char etag[S3_ETAG_SIZE] = "";
        if (put("hello", S3_CONDITION_ABSENT, etag) != -cases[i].errnum)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_string_equal(etag, cases[i].errnum ? "" : "\"e1\"");
        if (cases[i].errnum)
            assert_string_equal(f.err.code, cases[i].code);
        fixture_stop(&f);
    }
}

static void metadata_that_no_header_holds(void **state)
{
    (void)state;
    static const struct s3_metadata bad[] = {{"", "v"},   {"Name", "v"},     {"a b", "v"},
                                             {"a:", "v"}, {"n", "\xC3\xBC"}, {"n", "a\r\nX: y"}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fixture_start(&f, NULL, 0);
        struct s3_put put = {.key = "k", .metadata = &bad[i], .metadata_count = 1};
        assert_int_equal(s3_object_put(f.client, &f.call, &put, NULL, &f.err), -EINVAL);
        put.metadata_count = 1000;
        assert_int_equal(s3_object_put(f.client, &f.call, &put, NULL, &f.err), -E2BIG);
        assert_int_equal(script_request_count(f.script), 0);
        fixture_stop(&f);
    }
}

// ---- delete -------------------------------------------------------------------------------

static void delete (void **state)
{
    (void)state;
    static const struct {
        struct script_reply replies[2];
        int errnum;
    } cases[] = {
        {{{204, NULL, NULL, 0}}, 0},
        {{{404, NULL, XML("NoSuchKey"), 0}}, 0},
        {{LOST, {404, NULL, XML("NoSuchKey"), 0}}, 0},
        {{{404, NULL, XML("NoSuchBucket"), 0}}, ENOENT},
        {{{403, NULL, XML("AccessDenied"), 0}}, EACCES},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, cases[i].replies, 2);
        assert_int_equal(s3_object_delete(f.client, &f.call, "k", &f.err), -cases[i].errnum);
        fixture_stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head),
        cmocka_unit_test(get),
        cmocka_unit_test(a_range),
        cmocka_unit_test(broken_connections_are_resumed),
        cmocka_unit_test(as_many_resumptions_as_there_is_progress),
        cmocka_unit_test(bytes_of_two_objects_are_never_mixed),
        cmocka_unit_test(a_store_that_ignores_ranges),
        cmocka_unit_test(wrong_answers),
        cmocka_unit_test(the_taker_may_give_up),
        cmocka_unit_test(put_sends),
        cmocka_unit_test(a_put_is_settled),
        cmocka_unit_test(a_conditional_put),
        cmocka_unit_test(metadata_that_no_header_holds),
        cmocka_unit_test(delete),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&taken);
    return failed;
}
