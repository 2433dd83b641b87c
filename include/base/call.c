#include "base/call.h"

#include "base/digest.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <time.h>

// How late a sleeper may notice that its call was cancelled. Slices rather than being woken:
// call_cancel is then one store, which any thread may make under any lock.
enum { SLEEP_SLICE_MS = 50 };

void call_init(struct call *call, const struct clock *clock)
{
    *call = (struct call){.clock = clock, .budget = call};
    atomic_init(&call->is_cancelled, false);
    atomic_init(&call->retries_left, CALL_RETRIES);
    atomic_init(&call->retries_made, 0);
    atomic_init(&call->requests_done, 0);
}

void call_init_part(struct call *call, struct call *whole, int spared)
{
    call_init(call, whole->clock);
    call->budget = whole->budget;
    call->retries_spared = spared;
}

void call_cancel(struct call *call)
{
    atomic_store(&call->is_cancelled, true);
}

static bool take_retry(struct call *call)
{
    atomic_int *budget = &call->budget->retries_left;
    int left = atomic_load(budget);
    while (left > call->retries_spared)
        if (atomic_compare_exchange_weak(budget, &left, left - 1))
            return true;
    return false;
}

static int64_t monotonic_ms(void)
{
    // Not call->clock: a test's clock stands still, and this would wait for it forever.
    return clock_monotonic_ms(clock_system());
}

bool call_sleep(struct call *call, int64_t delay_ms)
{
    int64_t end_ms = monotonic_ms() + delay_ms;
    while (!atomic_load(&call->is_cancelled)) {
        int64_t left_ms = end_ms - monotonic_ms();
        if (left_ms <= 0)
            return true;
        if (left_ms > SLEEP_SLICE_MS)
            left_ms = SLEEP_SLICE_MS;
        // An interrupted sleep merely goes round once more.
        nanosleep(&(struct timespec){.tv_nsec = left_ms * 1000000}, NULL);
    }
    return false;
}

bool call_should_retry(struct call *call, int attempt, struct err *err)
{
    if (atomic_load(&call->is_cancelled)) {
        err_set(err, EINTR, "cancelled");
        return false;
    }
    if (!err->is_retryable || attempt >= CALL_ATTEMPTS || !take_retry(call))
        return false;
    atomic_fetch_add(&call->retries_made, 1);

    uint32_t random = UINT32_MAX / 2; // without randomness the retries are merely less spread
    (void)digest_random(&random, sizeof(random));
    int64_t delay_ms = retry_delay_ms(attempt, err->retry_after_ms, random);
    call_tell(call, err, delay_ms);
    if (!call_sleep(call, delay_ms)) {
        err_set(err, EINTR, "cancelled");
        return false;
    }
    return true;
}

void call_wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool call_wait(struct call *call, pthread_cond_t *condition, pthread_mutex_t *lock)
{
    if (atomic_load(&call->is_cancelled))
        return false;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLEEP_SLICE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(condition, lock, &until);
    return !atomic_load(&call->is_cancelled);
}

bool call_should_insist(struct call *call, int attempt, struct err *err)
{
    if (err->is_retryable)
        return false;
    err->is_retryable = true;
    err->retry_after_ms = -1;
    return call_should_retry(call, attempt, err);
}

void call_went_well(struct call *call)
{
    unsigned done = atomic_fetch_add(&call->budget->requests_done, 1) + 1;
    if (done % CALL_REQUESTS_A_RETRY == 0)
        atomic_fetch_add(&call->budget->retries_left, 1);
}

void call_tell(struct call *call, const struct err *cause, int64_t delay_ms)
{
    if (call->on_retry)
        call->on_retry(call->context, cause, delay_ms);
}

void call_notice(struct call *call, const struct err *cause)
{
    if (call->on_notice)
        call->on_notice(call->context, cause);
    else
        call_tell(call, cause, 0);
}

int64_t retry_delay_ms(int attempt, int retry_after_ms, uint32_t random)
{
    int64_t window_ms = RETRY_BASE_MS;
    for (int i = 0; i < attempt && window_ms < RETRY_CAP_MS; i++)
        window_ms *= 2;
    if (window_ms > RETRY_CAP_MS)
        window_ms = RETRY_CAP_MS;
    int64_t jitter_ms = (int64_t)(((uint64_t)random * (uint64_t)(window_ms + 1)) >> 32);
    if (retry_after_ms < 0)
        return jitter_ms;
    // Never earlier than the server asked, and the jitter on top: all the workers that were
    // turned away were told the same time.
    int64_t asked_ms = retry_after_ms;
    if (asked_ms < RETRY_AFTER_FLOOR_MS)
        asked_ms = RETRY_AFTER_FLOOR_MS;
    if (asked_ms > RETRY_AFTER_CAP_MS)
        asked_ms = RETRY_AFTER_CAP_MS;
    return asked_ms + jitter_ms;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

// Digits with an optional fraction; NULL where there are none. A double because it cannot
// overflow: a number of a thousand digits is infinity.
static const char *take_decimal(const char *text, double *ret_number)
{
    double number = 0;
    double scale = 1;
    bool has_digits = false;
    for (; *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (*text - '0');
        has_digits = true;
    }
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++) {
            scale /= 10;
            number += (*text - '0') * scale;
            has_digits = true;
        }
    }
    *ret_number = number;
    return has_digits ? text : NULL;
}

// Up to the whole millisecond above: a wait that is too short earns another refusal.
static int round_up_ms(double ms)
{
    if (!(ms < INT_MAX))
        return INT_MAX;
    int whole = (int)ms;
    return whole < ms ? whole + 1 : whole;
}

int retry_after_parse(const char *text, int64_t now_ms)
{
    if (!text)
        return -1;
    text = skip_blanks(text);
    int64_t date_ms;
    if (clock_parse_http(text, &date_ms) == 0) {
        int64_t wait_ms = date_ms - now_ms;
        return wait_ms < 0 ? 0 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
    }
    double seconds;
    const char *end = take_decimal(text, &seconds);
    if (!end || *skip_blanks(end) != '\0')
        return -1;
    return round_up_ms(seconds * 1000);
}

static const char *take_unit(const char *text, double *ret_unit_ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {
        // "ms" before "m": the longer name first.
        {"ms", 1},           {"h", 3600e3}, {"m", 60e3},
        {"s", 1e3},          {"us", 1e-3},  {"\xC2\xB5s", 1e-3}, // micro sign
        {"\xCE\xBCs", 1e-3},                                     // Greek mu
        {"ns", 1e-6},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t size = strlen(units[i].name);
        if (strncmp(text, units[i].name, size) == 0) {
            *ret_unit_ms = units[i].ms;
            return text + size;
        }
    }
    return NULL;
}

int retry_after_parse_body(const char *text)
{
    static const char label[] = "retry-after:";
    const char *at = text;
    while (at && *at && strncasecmp(at, label, sizeof(label) - 1) != 0)
        at++;
    if (!at || !*at)
        return -1;
    at = skip_blanks(at + sizeof(label) - 1);

    double total_ms = 0;
    bool has_part = false;
    for (;;) {
        double number;
        double unit_ms;
        const char *end = take_decimal(at, &number);
        if (end)
            end = take_unit(end, &unit_ms);
        if (!end)
            break;
        total_ms += number * unit_ms;
        has_part = true;
        at = end;
    }
    // Behind it must come an end, not the rest of a word ("5seconds" is no Go duration).
    bool is_ended = *at == '\0' || strchr(" \t\r\n,;\"'.)}", *at);
    return has_part && is_ended ? round_up_ms(total_ms) : -1;
}
