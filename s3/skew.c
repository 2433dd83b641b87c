#include "skew.h"

void s3_skew_init(struct s3_skew *skew, const struct clock *clock)
{
    *skew = (struct s3_skew){.clock = clock};
    pthread_mutex_init(&skew->lock, NULL);
}

void s3_skew_done(struct s3_skew *skew)
{
    pthread_mutex_destroy(&skew->lock);
}

void s3_skew_sent(struct s3_skew *skew, struct s3_skew_reading *ret_reading)
{
    pthread_mutex_lock(&skew->lock);
    *ret_reading = (struct s3_skew_reading){
        .generation = skew->generation,
        .sent_ms = clock_now_ms(skew->clock),
    };
    pthread_mutex_unlock(&skew->lock);
}

void s3_skew_arrived(struct s3_skew *skew, struct s3_skew_reading *reading)
{
    reading->arrived_ms = clock_now_ms(skew->clock);
}

int64_t s3_skew_of(int64_t date_ms, int64_t sent_ms, int64_t arrived_ms)
{
    // Date is cut to the second: on the average the moment was half a second later.
    int64_t likely_ms = date_ms + 500;
    if (likely_ms > arrived_ms + S3_SKEW_TOLERANCE_MS)
        return likely_ms - arrived_ms;
    if (likely_ms < sent_ms - S3_SKEW_TOLERANCE_MS)
        return likely_ms - sent_ms;
    return 0;
}

bool s3_skew_observe(struct s3_skew *skew, const struct s3_skew_reading *reading, const char *date)
{
    int64_t date_ms;
    int64_t change_ms = 0;
    if (date && reading->arrived_ms != 0 && clock_parse_http(date, &date_ms) == 0)
        change_ms = s3_skew_of(date_ms, reading->sent_ms, reading->arrived_ms);

    pthread_mutex_lock(&skew->lock);
    // A reading from before the last correction says nothing of the clock as it is now: two
    // threads that saw one difference must not both add it.
    if (change_ms != 0 && reading->generation == skew->generation) {
        // A clock that cannot be corrected shows the whole difference each time.
        skew->offset_ms = change_ms + (skew->clock->correct ? skew->offset_ms : 0);
        skew->generation++;
        clock_correct(skew->clock, skew->offset_ms);
    }
    bool is_corrected = reading->generation != skew->generation;
    pthread_mutex_unlock(&skew->lock);
    return is_corrected;
}

int64_t s3_skew_ms(struct s3_skew *skew)
{
    pthread_mutex_lock(&skew->lock);
    int64_t offset_ms = skew->offset_ms;
    pthread_mutex_unlock(&skew->lock);
    return offset_ms;
}
