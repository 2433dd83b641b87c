// client.c - the bucket as a whole. Declared in s3.h.

#include "client.h"

#include <errno.h>
#include <string.h>

int s3_client_new(const struct s3_options *options, struct s3_client **ret_client, struct err *err)
{
    struct s3_client *client = calloc(1, sizeof(*client));
    if (!client)
        return err_no_memory(err);
    s3_skew_init(&client->skew, options->clock);
    struct s3_service_options service = {
        .name = "s3",
        .region = options->region,
        .endpoint = options->endpoint,
        .bucket = options->bucket,
        .addressing = options->addressing,
        .provider = options->provider,
        .http = options->http,
        .clock = options->clock,
        .skew = &client->skew,
    };
    int r = s3_service_init(&client->service, &service, err);
    if (r < 0) {
        s3_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

void s3_client_free(struct s3_client *client)
{
    if (!client)
        return;
    s3_service_done(&client->service);
    s3_skew_done(&client->skew);
    free(client);
}

// The lock inside is no part of what a caller sees of the client.
static const struct s3_place *place_of(const struct s3_client *client)
{
    return s3_service_place(&((struct s3_client *)client)->service);
}

const char *s3_client_bucket(const struct s3_client *client)
{
    return client->service.bucket;
}

const char *s3_client_region(const struct s3_client *client)
{
    return place_of(client)->region;
}

const char *s3_client_origin(const struct s3_client *client)
{
    return place_of(client)->origin;
}

bool s3_client_completes_conditionally(const struct s3_client *client)
{
    return atomic_load(&client->has_refused_completion) ||
           strstr(s3_client_origin(client), ".amazonaws.");
}

int64_t s3_client_clock_skew_ms(const struct s3_client *client)
{
    return s3_skew_ms(&((struct s3_client *)client)->skew);
}

int s3_client_probe(struct s3_client *client, struct call *call, const char *prefix,
                    struct err *err)
{
    struct s3_page page = {0};
    int r = s3_list_page(client, call, prefix, "/", NULL, NULL, 1, &page, err);
    if (r == 0)
        s3_page_done(&page);
    return r;
}
