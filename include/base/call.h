// call.h - what all requests that serve one purpose share: who may cancel them, how many
// retries they have left together, and who is told of each.
//
// A publish, a listing, a read each make one `struct call` and hand it down through registry/
// and s3/. Retry policy itself is pure (retry_delay_ms); rooms loop with call_should_retry.
// Thread-safe: the requests of one call may run on many threads.
#pragma once

#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CALL_ATTEMPTS = 6,          // tries of one request, the first included
    CALL_RETRIES = 64,          // retries of one call, over all its requests, and ...
    CALL_REQUESTS_A_RETRY = 8,  // ... one more for so many requests that went well
    RETRY_BASE_MS = 200,        // full jitter between 0 and base * 2^attempt ...
    RETRY_CAP_MS = 10 * 1000,   // ... capped here
    RETRY_AFTER_FLOOR_MS = 100, // a server that asks for less gets this
    RETRY_AFTER_CAP_MS = 60 * 1000,
};

struct call {
    const struct clock *clock;
    atomic_bool is_cancelled;
    struct call *budget; // whose retries are spent: its own, or that of the call it is a part of
    int retries_spared;  // so many it leaves to the others
    atomic_int retries_left;
    atomic_int retries_made;
    atomic_uint requests_done;
    // Told of every retry before it waits; may be NULL. Called on the requesting thread, no locks
    // held.
    void (*on_retry)(void *context, const struct err *cause, int64_t delay_ms);
    // Told of what was gone round and somebody should mend all the same (credentials that are
    // refused, of an image that is public), likewise; NULL: on_retry is.
    void (*on_notice)(void *context, const struct err *cause);
    void *context;
};

void call_init(struct call *call, const struct clock *clock);
// A call that spends the retries of `whole`, which must outlive it, but for the last `spared`; it
// is told of and cancelled by itself.
void call_init_part(struct call *call, struct call *whole, int spared);
void call_cancel(struct call *call); // every request under way ends soon with -EINTR

// After attempt number `attempt` (from 1) failed with *err: waits as the policy says and
// answers true when the request should be tried again; false when err is final, the attempts or
// the call's retries are used up. When cancelled, *err becomes EINTR and the answer is false.
bool call_should_retry(struct call *call, int attempt, struct err *err);

// After a failure that was final, of a request that must get through: as call_should_retry, but for
// what a single request may not be tried again (a refusal, which may be a passing one, too). Not
// after one that had its retries.
bool call_should_insist(struct call *call, int attempt, struct err *err);
void call_went_well(struct call *call); // a request of it has
// Tells on_retry, where there is one, of a request that is sent again without spending a retry.
void call_tell(struct call *call, const struct err *cause, int64_t delay_ms);
void call_notice(struct call *call, const struct err *cause); // tells on_notice

bool call_sleep(struct call *call, int64_t delay_ms); // false when cancelled meanwhile

// Waiting for what another thread does, for as long as one's own call lives.
void call_wait_init(pthread_cond_t *condition); // one for call_wait: on the monotonic clock
// Waits once, `lock` held, as pthread_cond_wait does; the caller looks again at what it waits for.
// false when the call is cancelled, which wakes nobody by itself and is noticed a moment later.
bool call_wait(struct call *call, pthread_cond_t *condition, pthread_mutex_t *lock);

// Pure: the full jitter, on top of what the server asked for where it did. random is any 32-bit
// number; retry_after_ms -1 where the server did not ask.
int64_t retry_delay_ms(int attempt, int retry_after_ms, uint32_t random);

// "Retry-After" (seconds or HTTP date), total; -1 where it says nothing usable.
int retry_after_parse(const char *text, int64_t now_ms);
// GHCR's "retry-after: 880.092µs" inside a body's text (Go duration); -1 where there is none.
int retry_after_parse_body(const char *text);
