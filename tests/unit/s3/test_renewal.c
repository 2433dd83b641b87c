// Credentials that end: renewed before that, once for all, and what happens when they cannot be.

#include "s3/provider.h"

#include "base/scope.h"
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    THREADS = 8,
    PATIENCE_MS = 60 * 1000, // for what happens on another thread
};

static struct {
    struct script *script;
    char *url;
    struct test_variable variables[6];
    struct s3_environment environment;
    struct test_clock clock;
    struct http_client *http;
    struct s3_provider *provider;
    struct call call;
    struct err err;
    atomic_int renewals;
    atomic_int failures;
    char failure[ERR_TEXT_SIZE]; // the last one's sentence
} f;

static void on_renewal(void *context, const struct err *failure)
{
    (void)context;
    if (failure) {
        snprintf(f.failure, sizeof(f.failure), "%s", failure->text);
        atomic_fetch_add(&f.failures, 1);
    } else {
        atomic_fetch_add(&f.renewals, 1);
    }
}

static void prepare(const struct test_variable *variables, size_t count)
{
    memset(f.variables, 0, sizeof(f.variables));
    memcpy(f.variables, variables, count * sizeof(variables[0]));
    f.variables[count] = (struct test_variable){"HOME", "/nonexistent"};
    f.environment = test_environment(f.variables);
    atomic_store(&f.renewals, 0);
    atomic_store(&f.failures, 0);
    test_clock_init(&f.clock, TEST_NOW_MS);
    call_init(&f.call, &f.clock.clock);
    struct http_options http = {.user_agent = "test/1"};
    assert_int_equal(http_client_new(&http, &f.http, &f.err), 0);
}

static void open_provider(const char *sts_endpoint)
{
    struct s3_provider_options options = {
        .environment = &f.environment,
        .sts_endpoint = sts_endpoint,
        .clock = &f.clock.clock,
        .http = f.http,
        .on_renewal = on_renewal,
    };
    if (s3_provider_new(&options, &f.call, &f.provider, &f.err) < 0)
        fail_msg("%s", f.err.text);
}

// A container's endpoint that answers these one after the other.
static void start(const struct script_reply *replies, size_t count)
{
    f.script = script_start(replies, count);
    assert_true(asprintf(&f.url, "%s/role", script_endpoint(f.script)) > 0);
    const struct test_variable variables[] = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", f.url}};
    prepare(variables, ARRAY_SIZE(variables));
    open_provider(NULL);
}

static void stop(void)
{
    s3_provider_free(f.provider);
    http_client_free(f.http);
    if (f.script)
        script_stop(f.script);
    free(f.url);
    f.script = NULL;
    f.url = NULL;
}

#define SESSION(name, expiry)                                                                      \
    {                                                                                              \
        200, NULL,                                                                                 \
            "{\"AccessKeyId\": \"" name "\", \"SecretAccessKey\": \"s\", \"Token\": \"t\","        \
            "\"Expiration\": \"2013-05-24T" expiry "Z\"}",                                         \
            0                                                                                      \
    }
#define REFUSED                                                                                    \
    {                                                                                              \
        403, NULL, "no", 0                                                                         \
    }

static void pass(int64_t ms)
{
    f.clock.machine_ms += ms;
    f.clock.monotonic_ms += ms;
}

static int get(char ret_key[32])
{
    auto_credentials struct s3_credentials *credentials = NULL;
    int r = s3_provider_get(f.provider, &f.call, &credentials, &f.err);
    snprintf(ret_key, 32, "%s", r == 0 ? s3_credentials_access_key(credentials) : "");
    return r;
}

#define assert_get(expected)                                                                       \
    do {                                                                                           \
        char key_[32];                                                                             \
        assert_int_equal(get(key_), 0);                                                            \
        assert_string_equal(key_, expected);                                                       \
    } while (0)

static void await_count(atomic_int *counter, int count)
{
    for (int i = 0; i < PATIENCE_MS && atomic_load(counter) < count; i++)
        usleep(1000);
    assert_int_equal(atomic_load(counter), count);
    // The round ends a moment after it was told of.
    usleep(1000);
}

static void await_key(const char *expected)
{
    char key[32] = "";
    for (int i = 0; i < PATIENCE_MS && strcmp(key, expected) != 0; i++) {
        assert_int_equal(get(key), 0);
        usleep(1000);
    }
    assert_string_equal(key, expected);
}

// ---- one after the other ------------------------------------------------------------------

static void renewed_before_they_end_and_nobody_waits(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"),
                                                  SESSION("B", "02:00:00")};
    start(replies, ARRAY_SIZE(replies));
    assert_string_equal(s3_provider_source(f.provider), "container");
    pass(54 * MINUTE_MS);
    assert_get("A");
    assert_int_equal(script_request_count(f.script), 1);
    pass(2 * MINUTE_MS); // less than five are left
    assert_get("A");
    await_key("B");
    assert_int_equal(script_request_count(f.script), 2);
    await_count(&f.renewals, 1);
    stop();
}

static void a_failed_renewal_disturbs_nobody_and_is_tried_again(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"), REFUSED,
                                                  SESSION("B", "02:00:00")};
    start(replies, ARRAY_SIZE(replies));
    pass(56 * MINUTE_MS);
    assert_get("A");
    await_count(&f.failures, 1);
    assert_non_null(strstr(f.failure, "the AWS credentials of the container cannot be renewed: "
                                      "the container's credentials: http://127.0.0.1:"));
    for (int i = 0; i < 10; i++)
        assert_get("A");
    assert_int_equal(script_request_count(f.script), 2); // not at every request
    pass(S3_PROVIDER_RETRY_MS);
    assert_get("A");
    await_key("B");
    assert_int_equal(atomic_load(&f.failures), 1);
    stop();
}

static void expired_ones_are_waited_for(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"),
                                                  SESSION("B", "05:00:00")};
    start(replies, ARRAY_SIZE(replies));
    pass(3 * HOUR_MS);
    assert_get("B");
    stop();
}

static void expired_ones_that_cannot_be_renewed_say_why(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"), REFUSED,
                                                  SESSION("B", "05:00:00")};
    start(replies, ARRAY_SIZE(replies));
    pass(3 * HOUR_MS);
    char key[32];
    for (int i = 0; i < 3; i++) { // the source is asked once, its answer told to all
        assert_int_equal(get(key), -EACCES);
        assert_non_null(
            strstr(f.err.text, "the AWS credentials of the container cannot be renewed"));
        assert_non_null(strstr(f.err.text, "answers 403: the authorization token is refused"));
    }
    assert_int_equal(script_request_count(f.script), 2);
    pass(S3_PROVIDER_HURRY_MS);
    assert_get("B");
    stop();
}

// A metadata service that is in trouble hands out old ones; the server decides.
static void expired_ones_from_the_source_are_handed_out(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"),
                                                  SESSION("B", "01:30:00")};
    start(replies, ARRAY_SIZE(replies));
    pass(3 * HOUR_MS);
    assert_get("B");
    assert_get("B");
    assert_int_equal(script_request_count(f.script), 2);
    stop();
}

// ---- all at once --------------------------------------------------------------------------

static void *get_in_a_thread(void *context)
{
    auto_credentials struct s3_credentials *credentials = NULL;
    struct call call;
    struct err err = {0};
    call_init(&call, &f.clock.clock);
    if (s3_provider_get(f.provider, &call, &credentials, &err) == 0)
        snprintf(context, 32, "%s", s3_credentials_access_key(credentials));
    return NULL;
}

static void one_renewal_for_all_who_wait(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"),
                                                  SESSION("B", "05:00:00")};
    start(replies, ARRAY_SIZE(replies));
    pass(3 * HOUR_MS);
    pthread_t threads[THREADS];
    char keys[THREADS][32] = {0};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_in_a_thread, keys[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_string_equal(keys[i], "B");
    }
    assert_int_equal(script_request_count(f.script), 2);
    stop();
}

static void *replace_in_a_thread(void *context)
{
    struct call call;
    call_init(&call, &f.clock.clock);
    return s3_provider_replace(f.provider, &call, context) ? context : NULL;
}

// The server says so before the clock does.
static void one_renewal_for_all_who_were_refused(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {SESSION("A", "01:00:00"),
                                                  SESSION("B", "05:00:00")};
    start(replies, ARRAY_SIZE(replies));
    auto_credentials struct s3_credentials *used = NULL;
    assert_int_equal(s3_provider_get(f.provider, &f.call, &used, &f.err), 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, replace_in_a_thread, used), 0);
    for (int i = 0; i < THREADS; i++) {
        void *is_other = NULL;
        pthread_join(threads[i], &is_other);
        assert_non_null(is_other);
    }
    assert_int_equal(script_request_count(f.script), 2);
    assert_get("B");
    stop();
}

// ---- for long -----------------------------------------------------------------------------

// Sessions of six hours, looked at every other minute; each fifth renewal fails.
static void a_mount_that_lives_thirty_days(void **state)
{
    (void)state;
    enum { DAYS = 30, SESSION_MS = 6 * HOUR_MS, SESSIONS = DAYS * 4 * 2 };
    static struct script_reply replies[SESSIONS];
    static char bodies[SESSIONS][160];
    for (int i = 0; i < SESSIONS; i++) {
        replies[i] = (struct script_reply){403, NULL, "no", 0};
        if (i % 5 == 4)
            continue;
        // When it is asked for, a session has passed for each good answer before.
        int64_t good = i - i / 5;
        char expiry[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(TEST_NOW_MS + (good + 1) * SESSION_MS, expiry);
        snprintf(bodies[i], sizeof(bodies[i]),
                 "{\"AccessKeyId\": \"A%d\", \"SecretAccessKey\": \"s\", \"Token\": \"t\", "
                 "\"Expiration\": \"%s\"}",
                 (int)good, expiry);
        replies[i] = (struct script_reply){200, NULL, bodies[i], 0};
    }
    start(replies, SESSIONS);
    int64_t end_ms = TEST_NOW_MS + (int64_t)DAYS * 24 * HOUR_MS;
    while (f.clock.machine_ms < end_ms) {
        int told = atomic_load(&f.renewals) + atomic_load(&f.failures);
        size_t asked = script_request_count(f.script);
        auto_credentials struct s3_credentials *credentials = NULL;
        assert_int_equal(s3_provider_get(f.provider, &f.call, &credentials, &f.err), 0);
        int64_t left_ms = s3_credentials_expires_ms(credentials) - f.clock.machine_ms;
        assert_true(left_ms > 0);
        // What was begun ends before the clock goes on.
        bool is_due = left_ms < S3_PROVIDER_RENEW_MS;
        for (int i = 0; is_due && i < PATIENCE_MS; i++) {
            if (atomic_load(&f.renewals) + atomic_load(&f.failures) > told)
                break;
            usleep(500);
            char key[32]; // the round before may just have been ending
            assert_int_equal(get(key), 0);
        }
        assert_int_equal(script_request_count(f.script), asked + (is_due ? 1 : 0));
        pass(2 * MINUTE_MS);
    }
    assert_true(atomic_load(&f.renewals) >= DAYS * 4 - 1);
    assert_true(atomic_load(&f.failures) >= DAYS * 4 / 5 - 1);
    stop();
}

static void a_rotated_token_file_is_read_again(void **state)
{
    (void)state;
#define ASSUMED(name, expiry)                                                                      \
    {                                                                                              \
        200, NULL,                                                                                 \
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"    \
            "<AccessKeyId>" name                                                                   \
            "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>"                     \
            "t</SessionToken><Expiration>2013-05-24T" expiry "Z</Expiration></Credentials>"        \
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",              \
            0                                                                                      \
    }
    static const struct script_reply replies[] = {ASSUMED("A", "01:00:00"),
                                                  ASSUMED("B", "02:00:00")};
    f.script = script_start(replies, ARRAY_SIZE(replies));
    char *directory = test_directory();
    auto_free char *path = test_file(directory, "token", "first-token\n");
    const struct test_variable variables[] = {
        {"AWS_WEB_IDENTITY_TOKEN_FILE", path},
        {"AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/R"},
    };
    prepare(variables, ARRAY_SIZE(variables));
    open_provider(script_endpoint(f.script));
    assert_get("A");
    free(test_file(directory, "token", "second-token\n"));
    pass(56 * MINUTE_MS);
    assert_get("A");
    await_key("B");
    assert_non_null(strstr(script_request(f.script, 0), "&WebIdentityToken=first-token"));
    assert_non_null(strstr(script_request(f.script, 1), "&WebIdentityToken=second-token"));
    script_assert_header(f.script, 1, "Authorization", NULL);
    stop();
    test_directory_remove(directory);
}

// Its process would take ten minutes.
static void whoever_ends_the_mount_waits_for_no_renewal(void **state)
{
    (void)state;
    char *directory = test_directory();
    auto_free char *process =
        test_file(directory, "process",
                  "#!/bin/sh\n[ -e \"$0.asked\" ] && { touch \"$0.again\"; exec sleep 600; }\n"
                  "touch \"$0.asked\"\n"
                  "echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s\", "
                  "\"SessionToken\": \"t\", \"Expiration\": \"2013-05-24T00:01:00Z\"}'\n");
    auto_free char *again = NULL;
    assert_true(asprintf(&again, "%s.again", process) > 0);
    // Paths that begin at the directory which the program was started in, and has left.
    free(test_file(directory, "config", "[default]\ncredential_process = sh ./process\n"));
    const struct test_variable variables[] = {{"AWS_CONFIG_FILE", "config"}};
    prepare(variables, ARRAY_SIZE(variables));
    f.environment.directory = directory;
    open_provider(NULL);
    assert_get("A");
    for (int i = 0; i < PATIENCE_MS && access(again, F_OK) < 0; i++)
        usleep(1000);
    assert_int_equal(access(again, F_OK), 0);
    stop();
    test_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renewed_before_they_end_and_nobody_waits),
        cmocka_unit_test(a_failed_renewal_disturbs_nobody_and_is_tried_again),
        cmocka_unit_test(expired_ones_are_waited_for),
        cmocka_unit_test(expired_ones_that_cannot_be_renewed_say_why),
        cmocka_unit_test(expired_ones_from_the_source_are_handed_out),
        cmocka_unit_test(one_renewal_for_all_who_wait),
        cmocka_unit_test(one_renewal_for_all_who_were_refused),
        cmocka_unit_test(a_mount_that_lives_thirty_days),
        cmocka_unit_test(a_rotated_token_file_is_read_again),
        cmocka_unit_test(whoever_ends_the_mount_waits_for_no_renewal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
