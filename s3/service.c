#include "service.h"

#include "base/digest.h"

#include <string.h>

enum { PLACES_MAX = 8 }; // a store that sends us round in circles does not fill memory

static struct s3_place_options place_options(const struct s3_service *service, const char *region)
{
    return (struct s3_place_options){
        .service = service->name,
        .region = region,
        .endpoint = service->endpoint,
        .bucket = service->bucket,
        .addressing = service->addressing,
    };
}

int s3_service_init(struct s3_service *service, const struct s3_service_options *options,
                    struct err *err)
{
    *service = (struct s3_service){
        .name = options->name,
        .addressing = options->addressing,
        .provider = options->provider,
        .http = options->http,
        .clock = options->clock,
        .skew = options->skew,
        .signs_bulk = digest_sha256_is_faster(),
    };
    pthread_mutex_init(&service->lock, NULL);
    service->endpoint = options->endpoint ? strdup(options->endpoint) : NULL;
    service->bucket = options->bucket ? strdup(options->bucket) : NULL;
    bool is_complete =
        (service->endpoint || !options->endpoint) && (service->bucket || !options->bucket);
    struct s3_place_options place = place_options(service, options->region);
    int r = is_complete ? s3_place_new(&place, &service->place, err) : err_no_memory(err);
    if (r < 0)
        s3_service_done(service);
    return r;
}

void s3_service_done(struct s3_service *service)
{
    if (!service || !service->name)
        return;
    s3_place_free(service->place);
    free(service->endpoint);
    free(service->bucket);
    pthread_mutex_destroy(&service->lock);
    *service = (struct s3_service){0};
}

const struct s3_place *s3_service_place(struct s3_service *service)
{
    pthread_mutex_lock(&service->lock);
    const struct s3_place *place = service->place;
    pthread_mutex_unlock(&service->lock);
    return place;
}

static size_t place_count_locked(const struct s3_service *service)
{
    size_t count = 0;
    for (const struct s3_place *place = service->place; place; place = place->older)
        count++;
    return count;
}

bool s3_service_move(struct s3_service *service, const struct s3_place *used, const char *region)
{
    pthread_mutex_lock(&service->lock);
    if (strcmp(service->place->region, region) != 0 && place_count_locked(service) < PLACES_MAX) {
        struct s3_place_options options = place_options(service, region);
        struct s3_place *place = NULL;
        struct err ignored = {0}; // the refusal that brought us here says more
        if (s3_place_new(&options, &place, &ignored) == 0) {
            place->older = service->place;
            service->place = place;
        }
    }
    bool is_other = strcmp(service->place->region, used->region) != 0;
    pthread_mutex_unlock(&service->lock);
    return is_other;
}
