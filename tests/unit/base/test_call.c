#include "test.h"

#include "base/call.h"
#include "base/scope.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static const int64_t now_ms = 1769862896000; // Sat, 31 Jan 2026 12:34:56 GMT

static void delay_grows_to_the_cap(void **state)
{
    (void)state;
    static const int64_t windows_ms[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    for (int attempt = 0; attempt < (int)ARRAY_SIZE(windows_ms); attempt++) {
        assert_int_equal(retry_delay_ms(attempt, -1, 0), 0);
        assert_int_equal(retry_delay_ms(attempt, -1, UINT32_MAX), windows_ms[attempt]);
        assert_in_range(retry_delay_ms(attempt, -1, UINT32_MAX / 2), windows_ms[attempt] / 2 - 1,
                        windows_ms[attempt] / 2 + 1);
    }
    assert_int_equal(retry_delay_ms(INT_MAX, -1, UINT32_MAX), RETRY_CAP_MS);
    assert_int_equal(retry_delay_ms(INT_MIN, -1, UINT32_MAX), RETRY_BASE_MS);
}

static void delay_respects_the_server(void **state)
{
    (void)state;
    assert_int_equal(retry_delay_ms(1, 0, 0), RETRY_AFTER_FLOOR_MS);
    assert_int_equal(retry_delay_ms(1, 99, 0), RETRY_AFTER_FLOOR_MS);
    assert_int_equal(retry_delay_ms(1, 5000, 0), 5000);
    assert_int_equal(retry_delay_ms(1, 5000, UINT32_MAX), 5400);
    assert_int_equal(retry_delay_ms(1, INT_MAX, 0), RETRY_AFTER_CAP_MS);
    assert_int_equal(retry_delay_ms(99, INT_MAX, UINT32_MAX), RETRY_AFTER_CAP_MS + RETRY_CAP_MS);
}

static void retry_after_header(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int ms;
    } cases[] = {
        {NULL, -1},
        {"", -1},
        {" ", -1},
        {"0", 0},
        {"1", 1000},
        {" 120\t", 120000},
        {"1.5", 1500},
        {"0.0001", 1},
        {"2147483", 2147483000},
        {"2147484", INT_MAX},
        {"99999999999999999999999999999999", INT_MAX},
        {"-1", -1},
        {"+1", -1},
        {"1s", -1},
        {"1 2", -1},
        {"0x10", -1},
        {"1e3", -1},
        {".", -1},
        {"soon", -1},
        {"Sat, 31 Jan 2026 12:35:56 GMT", 60000},
        {"Sat, 31 Jan 2026 12:34:56 GMT", 0},
        {"Sat, 31 Jan 2026 12:34:50 GMT", 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", INT_MAX},
        {"Sat, 31 Jan 2026 12:35:56 UTC", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (retry_after_parse(cases[i].text, now_ms) != cases[i].ms)
            fail_msg("%s: %d", cases[i].text, retry_after_parse(cases[i].text, now_ms));
}

static void retry_after_body(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int ms;
    } cases[] = {
        {NULL, -1},
        {"", -1},
        {"toomanyrequests: retry-after: 880.092\xC2\xB5s, allowed: 44000/minute", 1},
        {"{\"message\":\"retry-after: 880.092\xCE\xBCs, allowed: 1\"}", 1},
        {"retry-after: 12.5ms, x", 13},
        {"Retry-After: 2s", 2000},
        {"retry-after:1m30.5s\"}", 90500},
        {"retry-after: 1h", 3600000},
        {"retry-after: 500us.", 1},
        {"retry-after: 900ns", 1},
        {"retry-after: 0s", 0},
        {"retry-after: 1h0m0.25s)", 3600250},
        {"retry-after: 99999999999999999999h", INT_MAX},
        {"retry-after:", -1},
        {"retry-after: ", -1},
        {"retry-after: soon", -1},
        {"retry-after: 5", -1},
        {"retry-after: 5seconds", -1},
        {"retry-after: -5s", -1},
        {"retry-after: 5\xC2", -1},
        {"retry-after: 5\xC2\xB5", -1},
        {"retry-after: .s", -1},
        {"retry-afte", -1},
        {"retry after 5s", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (retry_after_parse_body(cases[i].text) != cases[i].ms)
            fail_msg("%s: %d", cases[i].text, retry_after_parse_body(cases[i].text));
    static char digits[100000];
    memset(digits, '9', sizeof(digits) - 1);
    static const char label[] = "retry-after:";
    memcpy(digits, label, sizeof(label) - 1);
    assert_int_equal(retry_after_parse_body(digits), -1);
}

static void make_retryable(struct err *err, int retry_after_ms)
{
    err_set(err, EIO, "reset");
    err->is_retryable = true;
    err->retry_after_ms = retry_after_ms;
}

static void final_errors_are_not_retried(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    struct err err = {0};
    err_set(&err, EACCES, "no");
    assert_false(call_should_retry(&call, 1, &err));
    make_retryable(&err, -1);
    assert_false(call_should_retry(&call, CALL_ATTEMPTS, &err));
    assert_int_equal(err.errnum, EIO);
    assert_string_equal(err.text, "reset");
    assert_int_equal(atomic_load(&call.retries_left), CALL_RETRIES);
    assert_int_equal(atomic_load(&call.retries_made), 0);
}

static void what_must_get_through_is_insisted_on(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    struct err err = {0};
    err_set(&err, EACCES, "no");
    assert_true(call_should_insist(&call, 1, &err));
    err_set(&err, EACCES, "no");
    assert_false(call_should_insist(&call, CALL_ATTEMPTS, &err));
    make_retryable(&err, -1); // has had its retries
    assert_false(call_should_insist(&call, 1, &err));
    err_set(&err, EACCES, "no");
    call_cancel(&call);
    assert_false(call_should_insist(&call, 1, &err));
    assert_int_equal(err.errnum, EINTR);
}

static void parts_share_a_budget(void **state)
{
    (void)state;
    struct call whole;
    struct call part;
    struct err err = {0};
    call_init(&whole, clock_system());
    call_init_part(&part, &whole, 2);
    atomic_store(&whole.retries_left, 3);
    make_retryable(&err, 0);
    assert_true(call_should_retry(&part, 1, &err));
    assert_false(call_should_retry(&part, 1, &err)); // what is left is not for the part
    assert_true(call_should_retry(&whole, 1, &err));
    assert_true(call_should_retry(&whole, 1, &err));
    assert_false(call_should_retry(&whole, 1, &err));
    assert_int_equal(atomic_load(&part.retries_made), 1);
    assert_int_equal(atomic_load(&whole.retries_made), 2);
    // What goes well earns more, wherever it does
    for (int i = 0; i < CALL_REQUESTS_A_RETRY; i++)
        call_went_well(&part);
    assert_true(call_should_retry(&whole, 1, &err));
    assert_false(call_should_retry(&whole, 1, &err));
    // Each is cancelled by itself
    call_cancel(&part);
    assert_false(atomic_load(&whole.is_cancelled));
}

struct told {
    int count;
    int64_t delay_ms;
};

static void tell(void *context, const struct err *cause, int64_t delay_ms)
{
    struct told *told = context;
    told->count++;
    told->delay_ms = delay_ms;
    assert_string_equal(cause->text, "reset");
}

static void retries_are_told_and_waited_for(void **state)
{
    (void)state;
    struct told told = {0};
    struct call call;
    call_init(&call, clock_system());
    call.on_retry = tell;
    call.context = &told;
    struct err err;
    make_retryable(&err, 150);
    int64_t before_ms = clock_monotonic_ms(clock_system());
    assert_true(call_should_retry(&call, 0, &err));
    int64_t waited_ms = clock_monotonic_ms(clock_system()) - before_ms;
    assert_int_equal(told.count, 1);
    assert_in_range(told.delay_ms, 150, 350);
    assert_in_range(waited_ms, told.delay_ms, told.delay_ms + 2000);
    assert_int_equal(atomic_load(&call.retries_made), 1);
}

static void retries_run_out(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    atomic_store(&call.retries_left, 1);
    struct err err;
    make_retryable(&err, -1);
    assert_true(call_should_retry(&call, 0, &err));
    assert_false(call_should_retry(&call, 0, &err));
    assert_false(call_should_retry(&call, 0, &err));
    assert_int_equal(atomic_load(&call.retries_left), 0);
    assert_int_equal(atomic_load(&call.retries_made), 1);
    assert_int_equal(err.errnum, EIO);
}

static void cancelled_before(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    call_cancel(&call);
    struct err err;
    err_set(&err, EACCES, "no");
    assert_false(call_should_retry(&call, 1, &err));
    assert_int_equal(err.errnum, EINTR);
    assert_false(err.is_retryable);
}

static void *cancel_soon(void *context)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    call_cancel(context);
    return NULL;
}

static void cancelled_while_waiting(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    struct err err;
    make_retryable(&err, 30000);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &call), 0);
    int64_t before_ms = clock_monotonic_ms(clock_system());
    assert_false(call_should_retry(&call, 1, &err));
    assert_in_range(clock_monotonic_ms(clock_system()) - before_ms, 50, 1000);
    pthread_join(thread, NULL);
    assert_int_equal(err.errnum, EINTR);
}

struct waiting {
    struct call call;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_there;
};

static void begin_waiting(struct waiting *waiting)
{
    *waiting = (struct waiting){.lock = PTHREAD_MUTEX_INITIALIZER};
    call_init(&waiting->call, clock_system());
    call_wait_init(&waiting->changed);
    pthread_mutex_lock(&waiting->lock);
}

static void end_waiting(struct waiting *waiting)
{
    pthread_mutex_unlock(&waiting->lock);
    pthread_cond_destroy(&waiting->changed);
}

static void *signal_soon(void *context)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->lock);
    waiting->is_there = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
    return NULL;
}

static void a_wait_ends_with_what_it_waits_for(void **state)
{
    (void)state;
    struct waiting waiting;
    begin_waiting(&waiting);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, signal_soon, &waiting), 0);
    while (!waiting.is_there)
        assert_true(call_wait(&waiting.call, &waiting.changed, &waiting.lock));
    end_waiting(&waiting);
    pthread_join(thread, NULL);
}

static void a_wait_ends_with_its_call(void **state)
{
    (void)state;
    struct waiting waiting;
    begin_waiting(&waiting);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &waiting.call), 0);
    int rounds = 0;
    while (call_wait(&waiting.call, &waiting.changed, &waiting.lock))
        assert_true(++rounds < 1000); // it does not spin
    assert_int_equal(pthread_mutex_trylock(&waiting.lock), EBUSY);
    assert_false(call_wait(&waiting.call, &waiting.changed, &waiting.lock));
    end_waiting(&waiting);
    pthread_join(thread, NULL);
}

enum { THREADS = 8 };

struct user {
    struct call *call;
    int used;
};

static void *use_retries(void *context)
{
    struct user *user = context;
    struct err err;
    make_retryable(&err, -1);
    while (call_should_retry(user->call, INT_MIN, &err))
        user->used++;
    return NULL;
}

static void threads_share_the_retries(void **state)
{
    (void)state;
    struct call call;
    call_init(&call, clock_system());
    atomic_store(&call.retries_left, 20);
    struct user users[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        users[i] = (struct user){.call = &call};
        assert_int_equal(pthread_create(&threads[i], NULL, use_retries, &users[i]), 0);
    }
    int used = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        used += users[i].used;
    }
    assert_int_equal(used, 20);
    assert_int_equal(atomic_load(&call.retries_left), 0);
    assert_int_equal(atomic_load(&call.retries_made), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_grows_to_the_cap),
        cmocka_unit_test(delay_respects_the_server),
        cmocka_unit_test(retry_after_header),
        cmocka_unit_test(retry_after_body),
        cmocka_unit_test(final_errors_are_not_retried),
        cmocka_unit_test(what_must_get_through_is_insisted_on),
        cmocka_unit_test(parts_share_a_budget),
        cmocka_unit_test(retries_are_told_and_waited_for),
        cmocka_unit_test(retries_run_out),
        cmocka_unit_test(cancelled_before),
        cmocka_unit_test(cancelled_while_waiting),
        cmocka_unit_test(a_wait_ends_with_what_it_waits_for),
        cmocka_unit_test(a_wait_ends_with_its_call),
        cmocka_unit_test(threads_share_the_retries),
    };
    return cmocka_run_group_tests_name("base/call", tests, NULL, NULL);
}
