#include "place.h"

#include "base/scope.h"
#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// The partitions of AWS: what its regions' names begin with, and its domain. From botocore's
// endpoints.json; the isolated ones are left to `endpoint=`.
static const struct {
    const char *region_prefix;
    const char *name;
    const char *domain;
} partitions[] = {
    {"cn-", "aws-cn", "amazonaws.com.cn"},
    {"us-gov-", "aws-us-gov", "amazonaws.com"},
    {"eusc-", "aws-eusc", "amazonaws.eu"},
    {"", "aws", "amazonaws.com"},
};

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static size_t partition_of(const char *region)
{
    size_t i = 0;
    while (strncmp(region, partitions[i].region_prefix, strlen(partitions[i].region_prefix)) != 0)
        i++; // the last prefix is empty
    return i;
}

const char *s3_region_partition(const char *region)
{
    return partitions[partition_of(region)].name;
}

bool s3_region_is_valid(const char *region)
{
    size_t size = strlen(region);
    return size > 0 && size <= S3_REGION_SIZE_MAX && region[0] != '-' &&
           strspn(region, LOWER DIGITS "-") == size;
}

static bool bucket_is_valid(const char *bucket)
{
    size_t size = strlen(bucket);
    return size > 0 && size <= S3_BUCKET_SIZE_MAX && bucket[0] != '.' &&
           strspn(bucket, LOWER DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._") == size;
}

// One label of a host name, in lower case.
static bool bucket_is_label(const char *bucket)
{
    size_t size = strlen(bucket);
    return size <= 63 && bucket[0] != '-' && bucket[size - 1] != '-' &&
           strspn(bucket, LOWER DIGITS "-") == size;
}

static bool uses_path(const struct s3_place_options *options)
{
    if (options->addressing != S3_ADDRESSING_AUTO)
        return options->addressing == S3_ADDRESSING_PATH;
    return options->endpoint || !bucket_is_label(options->bucket);
}

// Host, port and path of the endpoint, before the bucket comes in.
static int parse_endpoint(const struct s3_place_options *options, struct url *ret_url,
                          struct err *err)
{
    if (options->endpoint) {
        int r = url_parse(options->endpoint, ret_url, err);
        if (r < 0)
            return strchr(options->endpoint, '@') // a password, perhaps
                       ? err_wrap(err, "the endpoint")
                       : err_wrap(err, "endpoint \"%s\"", options->endpoint);
        if (*ret_url->query == '\0')
            return 0;
        url_done(ret_url);
        return err_set(err, EINVAL, "endpoint \"%s\" may not have a query", options->endpoint);
    }
    char text[sizeof("https://.") + 16 + S3_REGION_SIZE_MAX + 32];
    snprintf(text, sizeof(text), "https://%.15s.%s.%s", options->service, options->region,
             partitions[partition_of(options->region)].domain);
    return url_parse(text, ret_url, err);
}

static bool is_address(const char *host)
{
    return host[0] == '[' || host[strspn(host, DIGITS ".")] == '\0';
}

static int fill(struct s3_place *place, const struct s3_place_options *options,
                const struct url *url, struct err *err)
{
    bool has_bucket_in_path = options->bucket && uses_path(options);
    bool has_bucket_in_host = options->bucket && !has_bucket_in_path;
    if (has_bucket_in_host && is_address(url->host))
        return err_set(err, EINVAL,
                       "a bucket cannot stand in front of the address %s: use "
                       "addressing=path",
                       url->host);
    place->is_tls = strcmp(url->scheme, "https") == 0;
    int default_port = place->is_tls ? 443 : 80;
    char port[16] = "";
    if (url->port != default_port)
        snprintf(port, sizeof(port), ":%d", url->port);
    size_t path_size = strlen(url->path);
    while (path_size > 0 && url->path[path_size - 1] == '/')
        path_size--;

    const char *bucket = options->bucket ? options->bucket : "";
    place->region = strdup(options->region);
    if (!place->region ||
        asprintf(&place->host, "%s%s%s%s", has_bucket_in_host ? bucket : "",
                 has_bucket_in_host ? "." : "", url->host, port) < 0 ||
        asprintf(&place->url, "%s://%s", url->scheme, place->host) < 0 ||
        asprintf(&place->origin, "%s://%s%s%s:%d", url->scheme, has_bucket_in_host ? bucket : "",
                 has_bucket_in_host ? "." : "", url->host, url->port) < 0 ||
        asprintf(&place->base_path, "%.*s%s%s", (int)path_size, url->path,
                 has_bucket_in_path ? "/" : "", has_bucket_in_path ? bucket : "") < 0)
        return err_no_memory(err);
    return 0;
}

int s3_place_new(const struct s3_place_options *options, struct s3_place **ret_place,
                 struct err *err)
{
    if (!s3_region_is_valid(options->region))
        return err_set(err, EINVAL, "\"%s\" is no region's name", options->region);
    if (options->bucket && !bucket_is_valid(options->bucket))
        return err_set(err, EINVAL, "\"%s\" is no bucket's name", options->bucket);
    struct url url = {0};
    int r = parse_endpoint(options, &url, err);
    if (r < 0)
        return r;
    struct s3_place *place = calloc(1, sizeof(*place));
    r = place ? fill(place, options, &url, err) : err_no_memory(err);
    url_done(&url);
    if (r < 0) {
        s3_place_free(place);
        return r;
    }
    *ret_place = place;
    return 0;
}

void s3_place_free(struct s3_place *place)
{
    while (place) {
        struct s3_place *older = place->older;
        free(place->region);
        free(place->url);
        free(place->host);
        free(place->origin);
        free(place->base_path);
        free(place);
        place = older;
    }
}
