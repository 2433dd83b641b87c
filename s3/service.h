// service.h - one AWS service as one party asks it: where, signed by whom, by which clock.
//
// The bucket's client has one ("s3"), the presigner another ("sts"). What is learned on the way
// (the bucket's region) is kept here. Thread-safe; sends nothing itself, see request.h.
#pragma once

#include "place.h"
#include "provider.h"
#include "skew.h"

#include <pthread.h>

struct s3_service {
    const char *name; // "s3", "sts": SigV4's too
    char *endpoint;   // as given, NULL for AWS's
    char *bucket;     // NULL for a service that has none
    enum s3_addressing addressing;
    struct s3_provider *provider;
    struct http_client *http;
    const struct clock *clock;
    struct s3_skew *skew;
    bool signs_bulk; // over plain HTTP; else a Content-MD5 guards it: what this CPU does faster

    pthread_mutex_t lock;
    struct s3_place *place; // the newest; all older ones behind it
};

struct s3_service_options {
    const char *name;
    const char *region;
    const char *endpoint;
    const char *bucket;
    enum s3_addressing addressing;
    struct s3_provider *provider; // these four stay the caller's and outlive the service
    struct http_client *http;
    const struct clock *clock;
    struct s3_skew *skew;
};
int s3_service_init(struct s3_service *service, const struct s3_service_options *options,
                    struct err *err);
void s3_service_done(struct s3_service *service); // accepts NULL and zeroed

// Where to ask now; valid until s3_service_done.
const struct s3_place *s3_service_place(struct s3_service *service);

// A server said that the bucket lives in `region`. True when that is another place than `used`,
// which was asked; from now on it is asked there.
bool s3_service_move(struct s3_service *service, const struct s3_place *used, const char *region);
