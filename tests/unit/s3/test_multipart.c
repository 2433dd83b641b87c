// Uploads in parts: what is sent, and lost or false answers.

#include "base/scope.h"
#include "fixture.h"
#include "s3/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define XML(code) "<Error><Code>" code "</Code></Error>"
#define ID "x-amz-request-id: 1\r\n"
#define LOST                                                                                       \
    {                                                                                              \
        0, NULL, NULL, 0                                                                           \
    }
#define DONE                                                                                       \
    {                                                                                              \
        200, ID,                                                                                   \
            "\n \n<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"                     \
            "</CompleteMultipartUploadResult>",                                                    \
            0                                                                                      \
    }
#define HEAD(size, identity)                                                                       \
    {                                                                                              \
        200,                                                                                       \
            ID "ETag: \"e-2\"\r\nLast-Modified: Fri, 24 May 2013 00:00:01 GMT\r\n"                 \
               "x-amz-meta-identity: " identity "\r\n",                                            \
            size, (int)sizeof(size) - 1                                                            \
    }
#define ABORTED                                                                                    \
    {                                                                                              \
        204, ID, NULL, 0                                                                           \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        404, ID, NULL, 0                                                                           \
    }

static struct fixture f;
static const struct s3_upload upload = {"a:b", "2~id/+="};

static void assert_begins(size_t i, const char *line)
{
    if (strncmp(script_request(f.script, i), line, strlen(line)) != 0)
        fail_msg("request %zu is %.200s, not %s", i, script_request(f.script, i), line);
}

static void create(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ID,
         "<InitiateMultipartUploadResult><Bucket>bkt</Bucket><Key>a</Key><UploadId>2~x"
         "</UploadId></InitiateMultipartUploadResult>",
         0},
        {200, ID, "<InitiateMultipartUploadResult/>", 0},
        {200, ID, "nonsense", 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_metadata metadata = {"identity", "me"};
    struct s3_put put = {.key = "a:b",
                         .content_type = "application/x-tar",
                         .metadata = &metadata,
                         .metadata_count = 1,
                         .condition = S3_CONDITION_ABSENT};
    struct s3_upload made = {0};
    assert_int_equal(s3_multipart_create(f.client, &f.call, &put, &made, &f.err), 0);
    assert_string_equal(made.key, "a:b");
    assert_string_equal(made.id, "2~x");
    assert_begins(0, "POST /bkt/a%3Ab?uploads= ");
    script_assert_header(f.script, 0, "Content-Type", "application/x-tar");
    script_assert_header(f.script, 0, "x-amz-meta-identity", "me");
    script_assert_header(f.script, 0, "If-None-Match", NULL);
    script_assert_header(f.script, 0, "Content-Length", "0");
    atomic_store(&f.call.retries_left, 0);
    assert_int_equal(s3_multipart_create(f.client, &f.call, &put, &made, &f.err), -EPROTO);
    assert_true(s3_multipart_create(f.client, &f.call, &put, &made, &f.err) < 0);
    fixture_stop(&f);
}

static void upload_part(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {LOST,
                                                  {400, ID, XML("BadDigest"), 0},
                                                  {200, ID "ETag: \"p\"\r\n", NULL, 0},
                                                  {404, ID, XML("NoSuchUpload"), 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    f.client->service.signs_bulk = false;
    struct http_piece body[] = {{"12", 2}, {"345", 3}};
    struct s3_part part = {0};
    assert_int_equal(
        s3_multipart_upload_part(f.client, &f.call, &upload, 7, body, 2, &part, &f.err), 0);
    assert_int_equal(part.number, 7);
    assert_string_equal(part.etag, "\"p\"");
    for (size_t i = 0; i < 3; i++) {
        assert_begins(i, "PUT /bkt/a%3Ab?partNumber=7&uploadId=2~id%2F%2B%3D ");
        script_assert_header(f.script, i, "Content-MD5", "gnzLDuqKcGxMNKFokfhOew==");
        script_assert_header(f.script, i, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        assert_non_null(strstr(script_request(f.script, i), "\r\n\r\n12345"));
    }
    assert_int_equal(
        s3_multipart_upload_part(f.client, &f.call, &upload, 7, body, 2, &part, &f.err), -ENOENT);
    assert_int_equal(
        s3_multipart_upload_part(f.client, &f.call, &upload, 0, body, 2, &part, &f.err), -EINVAL);
    assert_int_equal(s3_multipart_upload_part(f.client, &f.call, &upload, S3_PARTS_MAX + 1, body, 2,
                                              &part, &f.err),
                     -EINVAL);
    fixture_stop(&f);
}

static void copy_part(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ID, XML("InternalError"), 0}, // found out after it had begun to answer
        {200, ID, "<CopyPartResult><ETag>&quot;c&quot;</ETag></CopyPartResult>", 0},
        {412, ID, XML("PreconditionFailed"), 0},
        {200, ID, "<CopyPartResult><ETag>&quot;w&quot;</ETag></CopyPartResult>", 0},
        {200, ID, "<CopyPartResult/>", 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_part part = {0};
    assert_int_equal(s3_multipart_copy_part(f.client, &f.call, &upload, 2, "dir/s:+ \xC3\xBC",
                                            "\"se\"", 100, 50, &part, &f.err),
                     0);
    assert_string_equal(part.etag, "\"c\"");
    script_assert_header(f.script, 1, "x-amz-copy-source", "/bkt/dir/s%3A%2B%20%C3%BC");
    script_assert_header(f.script, 1, "x-amz-copy-source-range", "bytes=100-149");
    script_assert_header(f.script, 1, "x-amz-copy-source-if-match", "\"se\"");
    assert_int_equal(
        s3_multipart_copy_part(f.client, &f.call, &upload, 2, "s", "\"se\"", 0, 1, &part, &f.err),
        -ESTALE);
    // The whole of a source, however small, is asked for without a range.
    assert_int_equal(
        s3_multipart_copy_part(f.client, &f.call, &upload, 2, "s", "\"se\"", 0, 0, &part, &f.err),
        0);
    script_assert_header(f.script, 3, "x-amz-copy-source-range", NULL);
    script_assert_header(f.script, 3, "x-amz-copy-source-if-match", "\"se\"");
    assert_int_equal(
        s3_multipart_copy_part(f.client, &f.call, &upload, 2, "s", NULL, 0, 1, &part, &f.err),
        -EPROTO);
    script_assert_header(f.script, 4, "x-amz-copy-source-if-match", NULL);
    assert_int_equal(
        s3_multipart_copy_part(f.client, &f.call, &upload, 2, "s", NULL, 1, 0, &part, &f.err),
        -EINVAL);
    assert_int_equal(s3_multipart_copy_part(f.client, &f.call, &upload, 2, "s", NULL, 0,
                                            S3_PART_SIZE_MAX + 1, &part, &f.err),
                     -EINVAL);
    fixture_stop(&f);
}

// ---- complete -----------------------------------------------------------------------------

static int complete(enum s3_condition condition, bool has_identity, char *ret_etag)
{
    static const struct s3_part parts[] = {{1, "\"a\""}, {3, "b&<>"}};
    struct s3_metadata identity = {"identity", "me"};
    return s3_multipart_complete(f.client, &f.call, &upload, parts, 2, condition, 5,
                                 has_identity ? &identity : NULL, ret_etag, &f.err);
}

static void complete_sends(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {DONE, DONE};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    char etag[S3_ETAG_SIZE] = "";
    assert_int_equal(complete(S3_CONDITION_NONE, true, etag), 0);
    assert_string_equal(etag, "\"e-2\"");
    assert_begins(0, "POST /bkt/a%3Ab?uploadId=2~id%2F%2B%3D ");
    script_assert_header(f.script, 0, "If-None-Match", NULL);
    assert_non_null(strstr(script_request(f.script, 0),
                           "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>"
                           "<Part><PartNumber>3</PartNumber><ETag>b&amp;&lt;&gt;</ETag></Part>"
                           "</CompleteMultipartUpload>"));
    assert_int_equal(complete(S3_CONDITION_ABSENT, true, NULL), 0);
    script_assert_header(f.script, 1, "If-None-Match", "*");
    assert_int_equal(s3_multipart_complete(f.client, &f.call, &upload, NULL, 0, S3_CONDITION_NONE,
                                           0, NULL, NULL, &f.err),
                     -EINVAL);
    fixture_stop(&f);
}

enum { REPLIES_MAX = 6 };

static const struct {
    struct script_reply replies[REPLIES_MAX];
    size_t count;
    int errnum;
    const char *code;
} completions[] = {
    // The body of a 200 decides
    {{{200, ID, XML("InternalError"), 0}, NOTHING, DONE}, 3, 0, ""},
    {{{200, ID, XML("InvalidPart"), 0}, NOTHING, ABORTED, NOTHING}, 4, EIO, "InvalidPart"},
    // The reply is lost, and the object is ours: nothing is sent again
    {{LOST, HEAD("12345", "me")}, 2, 0, ""},
    {{{500, ID, XML("InternalError"), 0}, HEAD("12345", "me")}, 2, 0, ""},
    // It is not: sent again
    {{LOST, NOTHING, DONE}, 3, 0, ""},
    {{LOST, HEAD("12345", "other"), DONE}, 3, 0, ""},
    {{LOST, HEAD("1234", "me"), DONE}, 3, 0, ""},
    // What the second meets may be what the first has done, late
    {{LOST, NOTHING, {404, ID, XML("NoSuchUpload"), 0}, HEAD("12345", "me")}, 4, 0, ""},
    {{LOST, NOTHING, {412, ID, XML("PreconditionFailed"), 0}, HEAD("12345", "me")}, 4, 0, ""},
    // ... or what somebody else has
    {{LOST, NOTHING, {404, ID, XML("NoSuchUpload"), 0}, NOTHING, ABORTED, NOTHING},
     6,
     ENOENT,
     "NoSuchUpload"},
    {{LOST,
      NOTHING,
      {412, ID, XML("PreconditionFailed"), 0},
      HEAD("12345", "other"),
      ABORTED,
      HEAD("12345", "other")},
     6,
     EEXIST,
     "PreconditionFailed"},
    // It takes effect while it is aborted
    {{{200, ID, XML("InvalidPart"), 0}, NOTHING, ABORTED, HEAD("12345", "me")}, 4, 0, ""},
    // Refused at once: the object is not asked
    {{{412, ID, XML("PreconditionFailed"), 0}}, 1, EEXIST, "PreconditionFailed"},
    {{{404, ID, XML("NoSuchUpload"), 0}}, 1, ENOENT, "NoSuchUpload"},
    {{{403, ID, XML("AccessDenied"), 0}}, 1, EACCES, "AccessDenied"},
    {{{409, ID, XML("ConditionalRequestConflict"), 0}}, 1, EEXIST, "ConditionalRequestConflict"},
    {{{501, ID, XML("NotImplemented"), 0}}, 1, EOPNOTSUPP, "NotImplemented"},
    {{{200, ID, "nonsense", 0}, NOTHING, DONE}, 3, 0, ""},
    {{{200, ID, "nonsense", 0}, HEAD("12345", "me")}, 2, 0, ""},
};

static void completions_end_well_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(completions); i++) {
        fixture_start(&f, completions[i].replies, completions[i].count);
        char etag[S3_ETAG_SIZE] = "";
        if (complete(S3_CONDITION_ABSENT, true, etag) != -completions[i].errnum)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_string_equal(etag, completions[i].errnum ? "" : "\"e-2\"");
        if (completions[i].errnum)
            assert_string_equal(f.err.code, completions[i].code);
        if (script_request_count(f.script) != completions[i].count)
            fail_msg("case %zu: %zu requests", i, script_request_count(f.script));
        fixture_stop(&f);
    }
}

static void without_an_identity_nothing_is_settled(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {LOST, {404, ID, XML("NoSuchUpload"), 0}};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    assert_int_equal(complete(S3_CONDITION_NONE, false, NULL), -ENOENT);
    assert_int_equal(script_request_count(f.script), 2);
    fixture_stop(&f);
}

static void ten_thousand_parts_fit(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {DONE};
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    struct s3_part *parts = calloc(S3_PARTS_MAX, sizeof(parts[0]));
    for (int i = 0; i < S3_PARTS_MAX; i++) {
        parts[i].number = i + 1;
        memset(parts[i].etag, '&', S3_ETAG_SIZE - 1);
    }
    assert_int_equal(s3_multipart_complete(f.client, &f.call, &upload, parts, S3_PARTS_MAX,
                                           S3_CONDITION_NONE, 0, NULL, NULL, &f.err),
                     0);
    assert_int_equal(s3_multipart_complete(f.client, &f.call, &upload, parts, S3_PARTS_MAX + 1,
                                           S3_CONDITION_NONE, 0, NULL, NULL, &f.err),
                     -EINVAL);
    free(parts);
    fixture_stop(&f);
}

// ---- abort --------------------------------------------------------------------------------

static void abort_upload(void **state)
{
    (void)state;
    static const struct {
        struct script_reply replies[2];
        int errnum;
    } cases[] = {
        {{{204, ID, NULL, 0}}, 0},
        {{{404, ID, XML("NoSuchUpload"), 0}}, 0},
        {{LOST, {404, ID, XML("NoSuchUpload"), 0}}, 0},
        {{{403, ID, XML("AccessDenied"), 0}}, EACCES},
        {{{404, ID, XML("NoSuchBucket"), 0}}, ENOENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, cases[i].replies, 2);
        assert_int_equal(s3_multipart_abort(f.client, &f.call, &upload, &f.err), -cases[i].errnum);
        assert_begins(0, "DELETE /bkt/a%3Ab?uploadId=2~id%2F%2B%3D ");
        fixture_stop(&f);
    }
}

static void ask_whether_it_is_open(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        int errnum;
        bool is_open;
    } cases[] = {
        {{200, ID, "<ListPartsResult/>", 0}, 0, true},
        {{404, ID, XML("NoSuchUpload"), 0}, 0, false},
        {{404, ID, XML("NoSuchKey"), 0}, 0, false},
        {{404, ID, XML("NoSuchBucket"), 0}, ENOENT, false},
        {{403, ID, XML("AccessDenied"), 0}, EACCES, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is_open = !cases[i].is_open;
        fixture_start(&f, &cases[i].reply, 1);
        assert_int_equal(s3_multipart_is_open(f.client, &f.call, &upload, &is_open, &f.err),
                         -cases[i].errnum);
        assert_int_equal(is_open, cases[i].errnum ? !cases[i].is_open : cases[i].is_open);
        assert_begins(0, "GET /bkt/a%3Ab?max-parts=1&uploadId=2~id%2F%2B%3D ");
        fixture_stop(&f);
    }
}

static void a_store_shows_that_it_completes_conditionally(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        bool is_shown;
    } cases[] = {
        {DONE, false},
        {{409, ID, XML("ConditionalRequestConflict"), 0}, false},
        {{403, ID, XML("AccessDenied"), 0}, false},
        {{412, ID, XML("PreconditionFailed"), 0}, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(&f, &cases[i].reply, 1);
        assert_false(s3_client_completes_conditionally(f.client));
        (void)s3_multipart_complete(f.client, &f.call, &upload, &(struct s3_part){1, "\"e\""}, 1,
                                    S3_CONDITION_ABSENT, 5, NULL, NULL, &f.err);
        assert_int_equal(s3_client_completes_conditionally(f.client), cases[i].is_shown);
        fixture_stop(&f);
    }
}

// ---- listing uploads ----------------------------------------------------------------------

#define UPLOADS(inside) "<ListMultipartUploadsResult>" inside "</ListMultipartUploadsResult>"
#define UPLOAD(key, id)                                                                            \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiator><ID>x</ID></Initiator>"       \
    "<Initiated>2013-05-24T00:00:00.500Z</Initiated></Upload>"

static int keep_upload(void *context, const struct s3_upload *one, int64_t initiated_ms)
{
    struct buf *text = context;
    return buf_printf(text, "%s=%s@%d ", one->key, one->id, (int)(initiated_ms - TEST_NOW_MS));
}

static int refuse_upload(void *context, const struct s3_upload *one, int64_t initiated_ms)
{
    (void)context, (void)one, (void)initiated_ms;
    return -ENOSPC;
}

static void uploads_are_told_of_page_by_page(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {
        {200, ID,
         UPLOADS("<NextKeyMarker>b+c</NextKeyMarker><NextUploadIdMarker>2/</NextUploadIdMarker>"
                 "<IsTruncated>true</IsTruncated>" UPLOAD("a", "1") UPLOAD("b+c", "2/")),
         0},
        {200, ID, UPLOADS(UPLOAD("k&#1;", "3") UPLOAD("d", "4")), 0},
    };
    fixture_start(&f, replies, ARRAY_SIZE(replies));
    auto_buf struct buf text = BUF_INIT(1024);
    assert_int_equal(s3_multipart_list(f.client, &f.call, "p/", keep_upload, &text, &f.err), 0);
    assert_string_equal(buf_text(&text), "a=1@500 b+c=2/@500 d=4@500 ");
    assert_begins(0, "GET /bkt/?prefix=p%2F&uploads= ");
    assert_begins(1, "GET /bkt/?key-marker=b%2Bc&prefix=p%2F&upload-id-marker=2%2F&uploads= ");
    fixture_stop(&f);
}

static void listings_of_uploads_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int errnum;
    } cases[] = {
        {UPLOADS(UPLOAD("a", "1")), ENOSPC}, // the caller's own
        {UPLOADS("<IsTruncated>true</IsTruncated>"), EPROTO},
        {UPLOADS("<Upload><Initiated>today</Initiated></Upload>"), EPROTO},
        {"<ListBucketResult/>", EPROTO},
        {"nonsense", EPROTO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct script_reply reply = {200, ID, cases[i].body, 0};
        fixture_start(&f, &reply, 1);
        if (s3_multipart_list(f.client, &f.call, NULL, refuse_upload, NULL, &f.err) !=
            -cases[i].errnum)
            fail_msg("case %zu: %s", i, f.err.text);
        fixture_stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create),
        cmocka_unit_test(upload_part),
        cmocka_unit_test(copy_part),
        cmocka_unit_test(complete_sends),
        cmocka_unit_test(completions_end_well_or_not),
        cmocka_unit_test(without_an_identity_nothing_is_settled),
        cmocka_unit_test(ten_thousand_parts_fit),
        cmocka_unit_test(abort_upload),
        cmocka_unit_test(ask_whether_it_is_open),
        cmocka_unit_test(a_store_shows_that_it_completes_conditionally),
        cmocka_unit_test(uploads_are_told_of_page_by_page),
        cmocka_unit_test(listings_of_uploads_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
