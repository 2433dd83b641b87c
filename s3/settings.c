// settings.c - region, endpoints and CA bundle as the AWS tools find them. Declared in s3.h.

#include "environment.h"
#include "profile.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct source {
    const struct s3_environment *environment;
    const struct s3_profile *profile;
    bool ignores_endpoints;
};

static const char *first_of(const struct source *source, const char *variable,
                            const char *other_variable, const char *property)
{
    const char *value = s3_environment_get(source->environment, variable);
    if (!value && other_variable)
        value = s3_environment_get(source->environment, other_variable);
    if (!value)
        value = s3_profile_get(source->profile, property);
    return value;
}

// The order is botocore's: both variables go before both places in the file, so that the
// general variable overrides the file's particular one.
static const char *endpoint_of(const struct source *source, const char *variable,
                               const char *service)
{
    if (source->ignores_endpoints)
        return NULL;
    const char *value = s3_environment_get(source->environment, variable);
    if (!value)
        value = s3_environment_get(source->environment, "AWS_ENDPOINT_URL");
    if (!value)
        value = s3_profile_service_endpoint(source->profile, service);
    if (!value)
        value = s3_profile_get(source->profile, "endpoint_url");
    return value;
}

// Copies value into *ret_copy; false when memory is out.
static bool keep(const char *value, char **ret_copy)
{
    *ret_copy = value ? strdup(value) : NULL;
    return !value || *ret_copy;
}

int s3_settings_read(const char *profile_name, const struct s3_environment *environment,
                     struct s3_settings *ret_settings, struct err *err)
{
    struct s3_profile profile = {0};
    int r = s3_profile_read(profile_name, environment, &profile, err);
    if (r < 0)
        return r;
    struct source source = {.environment = environment, .profile = &profile};
    const char *ignores = first_of(&source, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", NULL,
                                   "ignore_configured_endpoint_urls");
    source.ignores_endpoints = ignores && strcasecmp(ignores, "true") == 0;

    struct s3_settings settings = {0};
    bool is_kept =
        keep(first_of(&source, "AWS_REGION", "AWS_DEFAULT_REGION", "region"), &settings.region) &&
        keep(endpoint_of(&source, "AWS_ENDPOINT_URL_S3", "s3"), &settings.s3_endpoint) &&
        keep(endpoint_of(&source, "AWS_ENDPOINT_URL_STS", "sts"), &settings.sts_endpoint) &&
        keep(first_of(&source, "AWS_CA_BUNDLE", NULL, "ca_bundle"), &settings.ca_bundle);
    s3_profile_done(&profile);
    if (!is_kept) {
        s3_settings_done(&settings);
        return err_no_memory(err);
    }
    *ret_settings = settings;
    return 0;
}

void s3_settings_done(struct s3_settings *settings)
{
    if (!settings)
        return;
    free(settings->region);
    free(settings->s3_endpoint);
    free(settings->sts_endpoint);
    free(settings->ca_bundle);
    *settings = (struct s3_settings){0};
}
