// Sessions and the links that they sign: how long each lives, and who asks for a new one.

#include "base/scope.h"
#include "fixture.h"
#include "s3/credentials.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER(key, expires)                                                                       \
    {                                                                                              \
        200, "x-amzn-RequestId: 1\r\n",                                                            \
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>" key                 \
            "</AccessKeyId>"                                                                       \
            "<SecretAccessKey>s</SecretAccessKey><SessionToken>tok</"                              \
            "SessionToken><Expiration>" expires                                                    \
            "</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",                 \
            0                                                                                      \
    }
#define IN_12_HOURS ANSWER("ASIA12", "2013-05-24T12:00:00Z")
#define IN_1_HOUR ANSWER("ASIA1", "2013-05-24T01:00:00Z")
#define TOO_LONG                                                                                   \
    {                                                                                              \
        400, NULL,                                                                                 \
            "<ErrorResponse><Error><Code>ValidationError</Code><Message>DurationSeconds"           \
            "</Message></Error></ErrorResponse>",                                                  \
            0                                                                                      \
    }
#define BARE_400                                                                                   \
    {                                                                                              \
        400, "x-amz-request-id: 1\r\n", NULL, 0                                                    \
    }
#define DENIED                                                                                     \
    {                                                                                              \
        403, NULL, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", 0    \
    }

static struct fixture f;
static struct s3_presigner *presigner;

static struct s3_presigner_options options_of(struct s3_provider *reader)
{
    return (struct s3_presigner_options){
        .role_arn = reader ? NULL : "arn:aws-cn:iam::123456789012:role/R",
        .reader = reader,
        .provider = f.provider,
        .sts_endpoint = script_endpoint(f.script),
        .region = "us-east-1",
        .session_s = 43200,
        .prefix = "jps/",
        .denied_prefix = "jps/.prereleasefs/",
        .http = f.http,
        .clock = &f.clock.clock,
    };
}

static int start(const struct script_reply *replies, size_t count)
{
    fixture_start(&f, replies, count);
    struct s3_presigner_options options = options_of(NULL);
    presigner = NULL;
    return s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err);
}

static void stop(void)
{
    s3_presigner_free(presigner);
    fixture_stop(&f);
}

static void assert_asked(size_t i, const char *piece)
{
    if (!strstr(script_request(f.script, i), piece))
        fail_msg("request %zu is %s", i, script_request(f.script, i));
}

// ---- durations ----------------------------------------------------------------------------

static void twelve_hours_are_asked_for(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_12_HOURS};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    assert_int_equal(s3_presigner_session_s(presigner), 43200);
    assert_asked(0, "&DurationSeconds=43200&");
    assert_asked(0, "arn%3Aaws-cn%3As3%3A%3A%3Abkt%2Fjps%2F%2A%22"); // the role's own partition
    assert_asked(0, "%22Deny%22");
    stop();
}

static void shorter_ones_are_taken(void **state)
{
    (void)state;
    static const struct {
        struct script_reply replies[3];
        int session_s;
    } cases[] = {
        {{TOO_LONG, IN_1_HOUR}, 3600},
        {{BARE_400, IN_1_HOUR}, 3600},
        {{TOO_LONG, TOO_LONG, ANSWER("ASIA15", "2013-05-24T00:15:00Z")}, 900},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (start(cases[i].replies, 3) < 0)
            fail_msg("case %zu: %s", i, f.err.text);
        assert_int_equal(s3_presigner_session_s(presigner), cases[i].session_s);
        assert_asked(1, "&DurationSeconds=3600&");
        stop();
    }
}

static void what_was_granted_is_asked_for_again(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {TOO_LONG, IN_1_HOUR, IN_1_HOUR};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    f.clock.monotonic_ms += 5 * 60 * 1000 + 1;
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    s3_session_unref(session);
    assert_int_equal(script_request_count(f.script), 3);
    assert_asked(2, "&DurationSeconds=3600&");
    stop();
}

static void roles_that_cannot_be_assumed(void **state)
{
    (void)state;
    static const struct {
        struct script_reply replies[3];
        size_t count;
        int errnum;
        const char *sentence;
    } cases[] = {
        {{DENIED}, 1, EACCES, "may not assume it"},
        {{BARE_400, BARE_400, BARE_400}, 3, EINVAL, "there is none of that name"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(start(cases[i].replies, cases[i].count), -cases[i].errnum);
        assert_null(presigner);
        assert_non_null(strstr(f.err.text, cases[i].sentence));
        assert_non_null(strstr(f.err.text, "role/R"));
        assert_int_equal(script_request_count(f.script), cases[i].count);
        stop();
    }
}

static void options_that_cannot_be(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    struct s3_presigner_options options = options_of(f.provider);
    options.role_arn = "arn:aws:iam:::role/R";
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), -EINVAL);
    options = options_of(NULL);
    options.role_arn = "role/R";
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), -EINVAL);
    options.role_arn = NULL;
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), -EINVAL);
    options = options_of(NULL);
    options.prefix = "\xFF";
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), -EINVAL);
    fixture_stop(&f);
}

// ---- sessions -----------------------------------------------------------------------------

static void a_session_signs_for_five_minutes(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_12_HOURS, IN_1_HOUR, DENIED};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    struct s3_session *first = NULL;
    struct s3_session *same = NULL;
    struct s3_session *other = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &first, &f.err), 0);
    f.clock.monotonic_ms += 5 * 60 * 1000;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &same, &f.err), 0);
    assert_ptr_equal(first, same);
    assert_int_equal(script_request_count(f.script), 1);
    f.clock.monotonic_ms += 1;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &other, &f.err), 0);
    assert_ptr_not_equal(first, other);
    assert_int_equal(script_request_count(f.script), 2);
    // Who holds the first still signs with it
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    assert_int_equal(s3_presign_get(first, "k", "n", 60, &url, &expires_ms, &f.err), 0);
    assert_non_null(strstr(buf_text(&url), "X-Amz-Credential=ASIA12%2F"));
    // When the role is taken away, no old session signs on
    f.clock.monotonic_ms += 5 * 60 * 1000 + 1;
    struct s3_session *none = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &none, &f.err), -EACCES);
    assert_null(none);
    s3_session_unref(first);
    s3_session_unref(same);
    s3_session_unref(other);
    s3_session_unref(NULL);
    stop();
}

static void an_ended_session_signs_nothing(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {ANSWER("ASIA", "2013-05-24T00:01:00Z"),
                                                  IN_1_HOUR};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    f.clock.machine_ms += 60 * 1000;
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    assert_int_equal(s3_presign_get(session, "k", "n", 60, &url, &expires_ms, &f.err), -EACCES);
    s3_session_unref(session);
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    assert_int_equal(script_request_count(f.script), 2);
    s3_session_unref(session);
    stop();
}

enum { THREADS = 16 };

static void *ask(void *context)
{
    (void)context;
    struct call call;
    struct err err = {0};
    struct s3_session *session = NULL;
    call_init(&call, &f.clock.clock);
    int r = s3_presigner_session(presigner, &call, &session, &err);
    s3_session_unref(session);
    return (void *)(intptr_t)r;
}

static void assert_all_threads_get(int expected)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *answer;
        pthread_join(threads[i], &answer);
        assert_int_equal((intptr_t)answer, expected);
    }
}

static void one_thread_asks_for_all(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_12_HOURS, IN_12_HOURS};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    f.clock.monotonic_ms += 5 * 60 * 1000 + 1;
    assert_all_threads_get(0);
    assert_int_equal(script_request_count(f.script), 2);
    stop();
}

// ---- a reader's profile -------------------------------------------------------------------

static struct s3_provider *reader_with(const char *access_key)
{
    const struct test_variable variables[] = {
        {"AWS_ACCESS_KEY_ID", access_key}, {"AWS_SECRET_ACCESS_KEY", "r"}, {NULL, NULL}};
    struct s3_environment environment = test_environment(variables);
    struct s3_provider_options options = {
        .environment = &environment, .clock = &f.clock.clock, .http = f.http};
    struct s3_provider *reader = NULL;
    assert_int_equal(s3_provider_new(&options, &f.call, &reader, &f.err), 0);
    return reader;
}

static void a_reader_signs_for_seven_days(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    struct s3_provider *reader = reader_with("AKIDREADER");
    struct s3_presigner_options options = options_of(reader);
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), 0);
    assert_int_equal(s3_presigner_session_s(presigner), 0);
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    assert_int_equal(s3_presign_get(session, "k", "n", S3_EXPIRES_MAX_S, &url, &expires_ms, &f.err),
                     0);
    assert_int_equal(expires_ms, TEST_NOW_MS + INT64_C(604800000));
    assert_non_null(strstr(buf_text(&url), "AKIDREADER"));
    assert_null(strstr(buf_text(&url), "X-Amz-Security-Token"));
    assert_int_equal(script_request_count(f.script), 0);
    s3_session_unref(session);
    s3_presigner_free(presigner);
    s3_provider_free(reader);
    fixture_stop(&f);
}

static void the_service_account_signs_no_link(void **state)
{
    (void)state;
    fixture_start(&f, NULL, 0);
    struct s3_provider *reader = reader_with("AKIDTEST");
    struct s3_presigner_options options = options_of(reader);
    presigner = NULL;
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), -EINVAL);
    assert_non_null(strstr(f.err.text, "service account's own access key"));
    s3_provider_free(reader);
    fixture_stop(&f);
}

// ---- links --------------------------------------------------------------------------------

static void a_link(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_1_HOUR};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    f.clock.machine_ms += 999; // the signature's time has whole seconds
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    assert_int_equal(
        s3_presign_get(session, "jps/a b/x:1+.tar", "x_1+.tar", 600, &url, &expires_ms, &f.err), 0);
    auto_free char *expected = NULL;
    assert_true(asprintf(&expected,
                         "%s/bkt/jps/a%%20b/x%%3A1%%2B.tar?X-Amz-Algorithm=AWS4-HMAC-SHA256&"
                         "X-Amz-Credential=ASIA1%%2F20130524%%2Fus-east-1%%2Fs3%%2Faws4_request&"
                         "X-Amz-Date=20130524T000000Z&X-Amz-Expires=600&X-Amz-Security-Token=tok&"
                         "X-Amz-SignedHeaders=host&response-content-disposition="
                         "attachment%%3B%%20filename%%3D%%22x_1%%2B.tar%%22&X-Amz-Signature=",
                         script_endpoint(f.script)) > 0);
    assert_memory_equal(buf_text(&url), expected, strlen(expected));
    assert_int_equal(url.size, strlen(expected) + 64);
    assert_int_equal(expires_ms, TEST_NOW_MS + 600 * 1000);
    s3_session_unref(session);
    stop();
}

static void a_link_dies_with_its_session(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_1_HOUR};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    f.clock.machine_ms += 60 * 1000 + 400;
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    assert_int_equal(s3_presign_get(session, "k", "n", S3_EXPIRES_MAX_S, &url, &expires_ms, &f.err),
                     0);
    assert_non_null(strstr(buf_text(&url), "&X-Amz-Expires=3540&"));
    assert_int_equal(expires_ms, TEST_NOW_MS + 3600 * 1000);
    s3_session_unref(session);
    stop();
}

static void links_that_cannot_be(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {IN_1_HOUR};
    assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
    struct s3_session *session = NULL;
    assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
    static const struct {
        const char *name;
        int expires_s;
    } cases[] = {{"n", 0},         {"n", S3_EXPIRES_MAX_S + 1},
                 {"", 60},         {"a b", 60},
                 {"a\"b", 60},     {"a:b", 60},
                 {"a\r\nX: y", 60}};
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 42;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(s3_presign_get(session, "k", cases[i].name, cases[i].expires_s, &url,
                                        &expires_ms, &f.err),
                         -EINVAL);
    assert_int_equal(url.size, 0);
    assert_int_equal(expires_ms, 42);
    s3_session_unref(session);
    stop();
}

// A service account whose own credentials last two hours, and links of an hour, made every three:
// each session is asked for with credentials that live, and each link lives as long as it says.
static void links_of_a_mount_that_lives_thirty_days(void **state)
{
    (void)state;
    enum { HOUR_MS = 3600 * 1000, STEP_MS = 3 * HOUR_MS, STEPS = 30 * 8 };
    static struct script_reply own[STEPS], given[STEPS];
    static char texts[STEPS][2][512];
    for (int i = 0; i < STEPS; i++) {
        char own_end[CLOCK_RFC3339_SIZE], given_end[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(TEST_NOW_MS + (int64_t)i * STEP_MS + 2 * HOUR_MS, own_end);
        clock_format_rfc3339(TEST_NOW_MS + (int64_t)i * STEP_MS + HOUR_MS, given_end);
        snprintf(texts[i][0], sizeof(texts[i][0]),
                 "{\"AccessKeyId\":\"OWN%d\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
                 "\"Expiration\":\"%s\"}",
                 i, own_end);
        snprintf(
            texts[i][1], sizeof(texts[i][1]),
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>LINK%d"
            "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
            "<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
            i, given_end);
        own[i] = (struct script_reply){200, NULL, texts[i][0], 0};
        given[i] = (struct script_reply){200, "x-amzn-RequestId: 1\r\n", texts[i][1], 0};
    }
    struct script *container = script_start(own, STEPS);
    auto_free char *container_url = NULL;
    assert_true(asprintf(&container_url, "%s/role", script_endpoint(container)) > 0);
    const struct test_variable variables[] = {
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", container_url}, {"HOME", "/nonexistent"}, {0}};
    fixture_start_with(&f, given, STEPS, variables);
    struct s3_presigner_options options = options_of(NULL);
    assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), 0);
    for (int i = 0; i < STEPS; i++) {
        struct s3_session *session = NULL;
        auto_buf struct buf url = BUF_INIT(0);
        int64_t expires_ms = 0;
        if (s3_presigner_session(presigner, &f.call, &session, &f.err) < 0 ||
            s3_presign_get(session, "k", "n", S3_EXPIRES_MAX_S, &url, &expires_ms, &f.err) < 0)
            fail_msg("step %d: %s", i, f.err.text);
        char piece[64];
        snprintf(piece, sizeof(piece), "Credential=OWN%d/", i);
        assert_asked((size_t)i, piece);
        snprintf(piece, sizeof(piece), "Credential=LINK%d%%2F", i);
        assert_non_null(strstr(buf_text(&url), piece));
        assert_int_equal(expires_ms, TEST_NOW_MS + (int64_t)i * STEP_MS + HOUR_MS);
        s3_session_unref(session);
        f.clock.machine_ms += STEP_MS;
        f.clock.monotonic_ms += STEP_MS;
    }
    stop();
    script_stop(container);
}

// ---- the first link is tried --------------------------------------------------------------

#define REFUSED(status, code, message)                                                             \
    {                                                                                              \
        status, "x-amz-request-id: 1\r\n",                                                         \
            "<Error><Code>" code "</Code><Message>" message "</Message></Error>", 0                \
    }

static void links_that_would_not_work_are_kept_back(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        const char *words; // NULL: nothing that tells against the link
        const char *kms_key;
    } cases[] = {
        {REFUSED(403, "AccessDenied", "Access Denied"), "lack this permission", NULL},
        {REFUSED(403, "InvalidAccessKeyId", ""), "role/R signs would not work", NULL},
        {REFUSED(403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource: K"),
         "mount with kms_key= and its ARN", NULL},
        {REFUSED(403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource: K"),
         "kms_key= lets links use arn:aws:kms:k, and the policies of the role", "arn:aws:kms:k"},
        {REFUSED(400, "KMS.DisabledException", "K is disabled"), "KMS.DisabledException", NULL},
        {REFUSED(403, "ExpiredToken", ""), NULL, NULL},
        {REFUSED(404, "NoSuchKey", ""), NULL, NULL},
        {REFUSED(503, "SlowDown", ""), NULL, NULL},
        {{403, NULL, "<html>the proxy says no</html>", 0}, NULL, NULL},
        {{0}, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct script_reply replies[] = {IN_12_HOURS, cases[i].reply, {206, NULL, "x", 0}};
        fixture_start(&f, replies, ARRAY_SIZE(replies));
        struct s3_presigner_options options = options_of(NULL);
        options.kms_key = cases[i].kms_key;
        struct s3_session *session = NULL;
        assert_int_equal(s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err), 0);
        assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
        int r = s3_presigner_try(presigner, &f.call, session, "jps/x", &f.err);
        if (r != (cases[i].words ? -EACCES : 0) ||
            (r < 0 && (!strstr(f.err.text, cases[i].words) || strstr(f.err.text, "X-Amz"))))
            fail_msg("case %zu: %d, %s", i, r, f.err.text);
        assert_asked(1, "GET /bkt/jps/x?X-Amz-Algorithm=");
        script_assert_header(f.script, 1, "Range", "bytes=0-0");
        script_assert_header(f.script, 1, "Authorization", NULL);
        // What has not been proven is tried again, and what has is not.
        for (int again = 0; again < 2; again++)
            assert_int_equal(s3_presigner_try(presigner, &f.call, session, "jps/x", &f.err), 0);
        assert_int_equal(script_request_count(f.script), 3);
        s3_session_unref(session);
        stop();
    }
}

static void links_that_work_are_tried_once(void **state)
{
    (void)state;
    static const struct script_reply proofs[] = {
        {206, NULL, "x", 0},
        {200, NULL, "whole", 0},
        REFUSED(416, "InvalidRange", "empty"),
        REFUSED(403, "InvalidObjectState", "archived"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(proofs); i++) {
        const struct script_reply replies[] = {IN_12_HOURS, proofs[i]};
        struct s3_session *session = NULL;
        assert_int_equal(start(replies, ARRAY_SIZE(replies)), 0);
        assert_int_equal(s3_presigner_session(presigner, &f.call, &session, &f.err), 0);
        for (int again = 0; again < 2; again++)
            assert_int_equal(s3_presigner_try(presigner, &f.call, session, "jps/x", &f.err), 0);
        assert_int_equal(script_request_count(f.script), 2);
        s3_session_unref(session);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twelve_hours_are_asked_for),
        cmocka_unit_test(shorter_ones_are_taken),
        cmocka_unit_test(what_was_granted_is_asked_for_again),
        cmocka_unit_test(roles_that_cannot_be_assumed),
        cmocka_unit_test(options_that_cannot_be),
        cmocka_unit_test(a_session_signs_for_five_minutes),
        cmocka_unit_test(an_ended_session_signs_nothing),
        cmocka_unit_test(one_thread_asks_for_all),
        cmocka_unit_test(a_reader_signs_for_seven_days),
        cmocka_unit_test(the_service_account_signs_no_link),
        cmocka_unit_test(a_link),
        cmocka_unit_test(a_link_dies_with_its_session),
        cmocka_unit_test(links_that_cannot_be),
        cmocka_unit_test(links_of_a_mount_that_lives_thirty_days),
        cmocka_unit_test(links_that_would_not_work_are_kept_back),
        cmocka_unit_test(links_that_work_are_tried_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
