#include "service.h"

#include "base/log.h"
#include "base/scope.h"
#include "path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *first_of(const char *a, const char *b)
{
    return a ? a : b;
}

// ---- who we are --------------------------------------------------------------------------------

static int open_http(struct service *service, const struct s3_settings *settings, struct err *err)
{
    const char *file = first_of(service->options->ca_bundle, settings->ca_bundle);
    file = first_of(file, getenv("SSL_CERT_FILE")); // NOLINT(concurrency-mt-unsafe)
    auto_free char *path = NULL;
    if (file && file[0] != '\0') {
        // The program leaves its working directory once it is mounted.
        path = realpath(file, NULL);
        if (!path)
            return err_set(err, errno, "the CA certificates' file %s cannot be read: %s", file,
                           strerrordesc_np(errno));
    }
    int stall_ms = service->options->stall_timeout_s * 1000;
    const struct http_options options = {
        .ca_bundle = path,
        .user_agent = "prereleasefs/" PRERELEASEFS_VERSION,
        .connect_timeout_ms = stall_ms < HTTP_CONNECT_TIMEOUT_MS ? stall_ms : 0,
        .stall_timeout_ms = stall_ms,
    };
    return http_client_new(&options, &service->http, err);
}

// On a thread of the provider's own.
static void tell_renewal(void *context, const struct err *failure)
{
    (void)context;
    if (failure)
        log_err(LOG_LEVEL_WARN, "renewing the AWS credentials failed; it is tried again", failure,
                NULL);
    else
        log_event(LOG_LEVEL_DEBUG, "the AWS credentials were renewed", NULL);
}

static int open_provider(struct service *service, const char *profile, struct call *call,
                         struct s3_provider **ret_provider, struct err *err)
{
    const struct s3_provider_options options = {
        .profile = profile,
        .region = service->options->region,
        .sts_endpoint = first_of(service->options->sts_endpoint, service->options->endpoint),
        .on_renewal = tell_renewal,
        .environment = &s3_environment_process,
        .clock = service->clock,
        .http = service->http,
    };
    return s3_provider_new(&options, call, ret_provider, err);
}

// ---- the bucket --------------------------------------------------------------------------------

static int open_bucket(struct service *service, const struct s3_settings *settings, struct err *err)
{
    const struct s3_options options = {
        .bucket = service->options->bucket,
        .region = first_of(first_of(service->options->region, settings->region), "us-east-1"),
        .endpoint = first_of(service->options->endpoint, settings->s3_endpoint),
        .addressing = service->options->addressing,
        .provider = service->provider,
        .http = service->http,
        .clock = service->clock,
    };
    return s3_client_new(&options, &service->client, err);
}

// The skew is judged even if the probe failed: a clock that is far off is then the reason.
static int check_bucket(struct service *service, struct call *call, struct err *err)
{
    int error = s3_client_probe(service->client, call, service->options->prefix, err);
    int64_t skew_ms = s3_client_clock_skew_ms(service->client);
    int64_t off_ms = skew_ms < 0 ? -skew_ms : skew_ms;
    if (off_ms > SERVICE_SKEW_FAIL_MS)
        return err_set(err, ETIME,
                       "this machine's clock is %lld minutes %s the S3 store's, more than %d; set "
                       "it (timedatectl set-ntp true)",
                       (long long)(off_ms / 60000), skew_ms < 0 ? "ahead of" : "behind",
                       SERVICE_SKEW_FAIL_MS / 60000);
    if (error == 0 && off_ms > SERVICE_SKEW_WARN_MS) {
        char seconds[24];
        snprintf(seconds, sizeof(seconds), "%lld", (long long)(skew_ms / 1000));
        log_event(LOG_LEVEL_WARN, "this machine's clock is wrong; the S3 store's is used",
                  "seconds_behind", seconds, NULL);
    }
    return error;
}

// ---- links -------------------------------------------------------------------------------------

// Links signed by the account that may write would let their holders do what it may, one day.
static int check_reader_is_another(struct service *service, struct call *call, struct err *err)
{
    struct s3_credentials *own = NULL, *readers = NULL;
    int error = s3_provider_get(service->provider, call, &own, err);
    if (error == 0)
        error = s3_provider_get(service->link_provider, call, &readers, err);
    if (error == 0 &&
        strcmp(s3_credentials_access_key(own), s3_credentials_access_key(readers)) == 0)
        error = err_set(err, EACCES,
                        "presign_profile=%s has the service account's own access key; links are "
                        "signed only with a separate, read-only user's",
                        service->options->presign_profile);
    s3_credentials_unref(own);
    s3_credentials_unref(readers);
    return error;
}

static void tell_session(struct service *service)
{
    int granted_s = s3_presigner_session_s(service->presigner);
    if (service->link_provider || granted_s >= service->options->presign_session_s)
        return;
    char seconds[12];
    snprintf(seconds, sizeof(seconds), "%d", granted_s);
    log_event(LOG_LEVEL_WARN,
              "STS grants shorter sessions than presign_session asks for: links live this long at "
              "most; presign_profile= gives up to 7 days",
              "seconds", seconds, "role", service->options->presign_role, NULL);
}

static int open_presigner(struct service *service, const struct s3_settings *settings,
                          struct call *call, struct err *err)
{
    const struct options *options = service->options;
    if (!options->presign_role && !options->presign_profile)
        return 0;
    if (options->presign_profile) {
        int error =
            open_provider(service, options->presign_profile, call, &service->link_provider, err);
        if (error == 0)
            error = check_reader_is_another(service, call, err);
        if (error < 0)
            return err_wrap(err, "presign_profile");
    }
    auto_free char *denied = path_key(options->prefix, PATH_OWN_DIRECTORY, "");
    if (!denied)
        return err_no_memory(err);
    const struct s3_presigner_options presigner = {
        .role_arn = options->presign_role,
        .reader = service->link_provider,
        .provider = service->provider,
        .sts_endpoint =
            first_of(first_of(options->sts_endpoint, options->endpoint), settings->sts_endpoint),
        .region = s3_client_region(service->client),
        .session_s = options->presign_session_s,
        .prefix = options->prefix,
        .denied_prefix = denied,
        .kms_key = options->kms_key,
        .http = service->http,
        .clock = service->clock,
    };
    int error = s3_presigner_new(&presigner, service->client, call, &service->presigner, err);
    if (error == 0)
        tell_session(service);
    return error;
}

// ---- the rooms that publish and show -----------------------------------------------------------

static int open_registry(struct service *service, struct err *err)
{
    const struct registry_options options = {
        .http = service->http,
        .clock = service->clock,
        .allowed_hosts = (const char *const *)service->options->registries,
        .plain_hosts = (const char *const *)service->options->insecure_registries,
    };
    return registry_client_new(&options, &service->registry, err);
}

// Before anything is asked of anybody: what is wrong with it, its owner can mend.
static int open_key(struct service *service, struct err *err)
{
    const char *path = service->options->verify_key;
    if (!path || public_key_load(path, &service->verify_key, err) == 0)
        return 0;
    return err_wrap(err, "verify_key");
}

static int open_tree(struct service *service, struct err *err)
{
    const struct tree_options options = {
        .client = service->client,
        .clock = service->clock,
        .prefix = service->options->prefix,
        .list_ttl_ms = service->options->list_ttl_ms,
    };
    return tree_new(&options, &service->tree, err);
}

static int open_records(struct service *service, struct err *err)
{
    const struct record_cache_options options = {
        .client = service->client,
        .clock = service->clock,
        .prefix = service->options->prefix,
        .may_write = !service->options->is_read_only,
    };
    return record_cache_new(&options, &service->records, err);
}

static int open_intents(struct service *service, struct err *err)
{
    const struct intents_options options = {
        .client = service->client,
        .clock = service->clock,
        .prefix = service->options->prefix,
    };
    return intents_new(&options, &service->intents, err);
}

static void fill_place(struct service *service)
{
    service->place = (struct store_place){
        .client = service->client,
        .prefix = service->options->prefix,
        .tree = service->tree,
        .status = service->status,
        .records = service->records,
        .intents = service->intents,
        .memory = service->memory,
        .scratch = service->scratch,
        .clock = service->clock,
        .parallel = service->options->parallel,
        .may_overwrite = service->options->may_overwrite,
        .claims = {.client = service->client, .prefix = service->options->prefix},
    };
}

static int open_engine(struct service *service, struct err *err)
{
    const struct publish_engine_options options = {
        .store = &service->place,
        .registry = service->registry,
        .defaults = {.platforms = service->options->platforms, .format = service->options->format},
        .policy = {service->options->requires_signature, service->verify_key},
    };
    return publish_engine_new(&options, &service->engine, err);
}

static int open_virtuals(struct service *service, struct err *err)
{
    const struct virtuals_options options = {
        .tree = service->tree,
        .records = service->records,
        .status = service->status,
        .client = service->client,
        .presigner = service->presigner,
        .clock = service->clock,
        .expires_s = service->options->expires_s,
        .min_expires_s = service->options->min_expires_s,
        .contact = service->options->contact,
        .title = service->options->title,
    };
    return virtuals_new(&options, &service->virtuals, err);
}

static int open_rooms(struct service *service, struct err *err)
{
    int error = open_registry(service, err);
    if (error == 0)
        error = open_tree(service, err);
    if (error == 0)
        error = status_new(service->clock, &service->status, err);
    if (error == 0)
        error = open_records(service, err);
    if (error == 0 && !(service->memory = memory_new(memory_for_buffers(
                            service->options->memory_bytes, (unsigned)service->options->parallel))))
        error = err_no_memory(err);
    if (error == 0)
        error = open_intents(service, err);
    if (error == 0)
        error = scratch_new(&service->scratch, err);
    fill_place(service);
    if (error == 0)
        error = open_engine(service, err);
    if (error == 0)
        error = upload_engine_new(&service->place, &service->uploads, err);
    if (error == 0)
        error = copy_engine_new(&service->place, service->uploads, &service->copies, err);
    if (error == 0)
        error = open_virtuals(service, err);
    if (error == 0)
        error =
            readers_new(service->client, service->memory, service->clock, &service->readers, err);
    if (error == 0)
        error =
            sweeper_new(service->tree, service->virtuals, service->memory, &service->sweeper, err);
    return error;
}

static int open_all(struct service *service, const struct s3_settings *settings, struct call *call,
                    struct err *err)
{
    int error = open_http(service, settings, err);
    if (error == 0)
        error = open_provider(service, service->options->profile, call, &service->provider, err);
    if (error == 0)
        error = open_bucket(service, settings, err);
    if (error == 0)
        error = check_bucket(service, call, err);
    if (error == 0)
        error = open_presigner(service, settings, call, err);
    if (error == 0)
        error = open_rooms(service, err);
    if (error == 0 && !service->options->is_read_only)
        intents_sweep(service->intents);
    return error;
}

int service_open(const struct options *options, const struct clock *clock, struct call *call,
                 struct service **ret_service, struct err *err)
{
    struct s3_settings settings = {0};
    struct service *service = calloc(1, sizeof(*service));
    if (!service)
        return err_no_memory(err);
    service->options = options;
    service->clock = clock;
    int error = open_key(service, err);
    if (error == 0)
        error = s3_settings_read(options->profile, &s3_environment_process, &settings, err);
    if (error == 0)
        error = open_all(service, &settings, call, err);
    s3_settings_done(&settings);
    if (error < 0) {
        service_close(service);
        return error;
    }
    service->opened_ms = clock_now_ms(clock);
    *ret_service = service;
    return 0;
}

void service_close(struct service *service)
{
    if (!service)
        return;
    sweeper_free(service->sweeper);
    virtuals_free(service->virtuals);
    copy_engine_free(service->copies);
    upload_engine_free(service->uploads);
    publish_engine_free(service->engine);
    scratch_free(service->scratch);
    readers_free(service->readers); // after those who take memory, and tell it of a shortage
    intents_free(service->intents);
    memory_free(service->memory);
    record_cache_free(service->records);
    status_free(service->status);
    tree_free(service->tree);
    registry_client_free(service->registry);
    public_key_free(service->verify_key);
    s3_presigner_free(service->presigner);
    s3_client_free(service->client);
    s3_provider_free(service->link_provider);
    s3_provider_free(service->provider);
    http_client_free(service->http);
    free(service);
}
