// skew.h - how far the machine's clock is from the servers', learned from their Date headers.
//
// A signature that is 15 minutes off is refused, so the clock that all rooms use is corrected.
// One tracker corrects one clock: the bucket's client owns it, and STS is asked through it too.
// Thread-safe.
#pragma once

#include "base/clock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    // Below this a difference is not corrected: Date has a resolution of a second, and a header
    // may have lain in a buffer.
    S3_SKEW_TOLERANCE_MS = 3 * 1000,
};

struct s3_skew {
    const struct clock *clock;
    pthread_mutex_t lock;
    int64_t offset_ms;   // what the clock was told last
    unsigned generation; // how often it was told
};

void s3_skew_init(struct s3_skew *skew, const struct clock *clock);
void s3_skew_done(struct s3_skew *skew);

// One request's moments, by the clock as it was corrected when the request was sent.
struct s3_skew_reading {
    unsigned generation;
    int64_t sent_ms;
    int64_t arrived_ms; // of the response's headers, not of its body's end; 0: there was none
};
void s3_skew_sent(struct s3_skew *skew, struct s3_skew_reading *ret_reading);
void s3_skew_arrived(struct s3_skew *skew, struct s3_skew_reading *reading);

// The response of that reading had this Date header. The server wrote it at some moment between
// sending and arrival, so only what lies outside that span by more than the tolerance is skew:
// an upload of a minute proves nothing below a minute. True when the clock has been corrected
// since the request was sent, by this response or by another's: a request that was refused for
// its time may then be tried again.
bool s3_skew_observe(struct s3_skew *skew, const struct s3_skew_reading *reading, const char *date);

// The servers' clock minus the machine's own; 0 while nothing had to be corrected.
int64_t s3_skew_ms(struct s3_skew *skew);

// Pure: how much to add to a clock, 0 within the tolerance.
int64_t s3_skew_of(int64_t date_ms, int64_t sent_ms, int64_t arrived_ms);
