#include "provider.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

// The AWS tools' order. To come, each in its place and a file of its own: web identity and
// roles of a profile before its static keys, then processes, containers and instances behind.
static const struct s3_source sources[] = {
    {"environment variables", s3_source_environment, NULL},
    {"profile", s3_source_profile_keys, s3_source_profile_keys},
};

struct s3_provider {
    char *profile;
    struct s3_environment environment;
    const struct clock *clock;
    struct http_client *http;
    const struct s3_source *source;

    pthread_mutex_t lock; // guards what follows; nothing is waited for with it held
    pthread_cond_t renewed;
    struct s3_credentials *current;
    bool is_renewing; // one thread asks the source; the others use `current` while it lives
    int64_t retry_ms; // no renewal before this, by the monotonic clock
};

void s3_chain_note(const struct s3_chain *chain, const char *format, ...)
{
    if (chain->looked_at->size > 0)
        (void)buf_append_text(chain->looked_at, "; ");
    va_list args;
    va_start(args, format);
    (void)buf_vprintf(chain->looked_at, format, args);
    va_end(args);
}

static struct s3_chain chain_of(const struct s3_provider *provider, struct call *call,
                                struct buf *looked_at)
{
    return (struct s3_chain){
        .profile = provider->profile,
        .environment = &provider->environment,
        .clock = provider->clock,
        .http = provider->http,
        .call = call,
        .looked_at = looked_at,
    };
}

// ---- finding ------------------------------------------------------------------------------

static int provider_find(struct s3_provider *provider, struct err *err)
{
    auto_buf struct buf looked_at = BUF_INIT(ERR_TEXT_SIZE);
    struct s3_chain chain = chain_of(provider, NULL, &looked_at);
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        int r = sources[i].find(&chain, &provider->current, err);
        if (r == 0) {
            provider->source = &sources[i];
            return 0;
        }
        if (r != -ENOENT)
            return r;
    }
    return err_set(err, EACCES, "no AWS credentials: %s", buf_text(&looked_at));
}

int s3_provider_new(const struct s3_provider_options *options, struct s3_provider **ret_provider,
                    struct err *err)
{
    struct s3_provider *provider = calloc(1, sizeof(*provider));
    if (!provider)
        return err_no_memory(err);
    pthread_mutex_init(&provider->lock, NULL);
    pthread_cond_init(&provider->renewed, NULL);
    provider->environment = *options->environment;
    provider->clock = options->clock;
    provider->http = options->http;
    int r = 0;
    if (options->profile) {
        provider->profile = strdup(options->profile);
        if (!provider->profile)
            r = err_no_memory(err);
    }
    if (r == 0)
        r = provider_find(provider, err);
    if (r < 0) {
        s3_provider_free(provider);
        return r;
    }
    *ret_provider = provider;
    return 0;
}

void s3_provider_free(struct s3_provider *provider)
{
    if (!provider)
        return;
    s3_credentials_unref(provider->current);
    free(provider->profile);
    pthread_cond_destroy(&provider->renewed);
    pthread_mutex_destroy(&provider->lock);
    free(provider);
}

// ---- renewing -----------------------------------------------------------------------------

// Asks the source, without the lock; is_renewing keeps everybody else from doing the same.
static int renew_unlocked(struct s3_provider *provider, struct call *call,
                          struct s3_credentials **ret_credentials, struct err *err)
{
    auto_buf struct buf looked_at = BUF_INIT(ERR_TEXT_SIZE);
    struct s3_chain chain = chain_of(provider, call, &looked_at);
    int r = provider->source->renew(&chain, ret_credentials, err);
    if (r == -ENOENT)
        return err_set(err, EACCES, "the AWS credentials are gone: %s", buf_text(&looked_at));
    return r;
}

static int renew_locked(struct s3_provider *provider, struct call *call, struct err *err)
{
    provider->is_renewing = true;
    pthread_mutex_unlock(&provider->lock);
    struct s3_credentials *fresh = NULL;
    int r = renew_unlocked(provider, call, &fresh, err);
    pthread_mutex_lock(&provider->lock);
    provider->is_renewing = false;
    if (r == 0) {
        s3_credentials_unref(provider->current);
        provider->current = fresh;
    }
    // A static file may go on holding what is about to expire: not asked again at every request.
    provider->retry_ms = clock_monotonic_ms(provider->clock) + S3_PROVIDER_RETRY_MS;
    pthread_cond_broadcast(&provider->renewed);
    return r;
}

static int64_t life_left_ms_locked(const struct s3_provider *provider)
{
    int64_t expires_ms = s3_credentials_expires_ms(provider->current);
    return expires_ms == INT64_MAX ? INT64_MAX : expires_ms - clock_now_ms(provider->clock);
}

int s3_provider_get(struct s3_provider *provider, struct call *call,
                    struct s3_credentials **ret_credentials, struct err *err)
{
    int r = 0;
    pthread_mutex_lock(&provider->lock);
    while (provider->is_renewing && life_left_ms_locked(provider) <= 0)
        pthread_cond_wait(&provider->renewed, &provider->lock);
    bool is_due = provider->source->renew && !provider->is_renewing &&
                  life_left_ms_locked(provider) < S3_PROVIDER_RENEW_MS &&
                  clock_monotonic_ms(provider->clock) >= provider->retry_ms;
    // A failed renewal disturbs nobody while the old credentials live.
    if (is_due && renew_locked(provider, call, err) < 0 && life_left_ms_locked(provider) <= 0)
        r = -err->errnum;
    // Expired ones of a source that never changes are handed out: the server says so best.
    if (r == 0)
        *ret_credentials = s3_credentials_ref(provider->current);
    pthread_mutex_unlock(&provider->lock);
    return r;
}

bool s3_provider_replace(struct s3_provider *provider, struct call *call,
                         const struct s3_credentials *used)
{
    struct err ignored = {0}; // the server's refusal, which brought us here, says more
    pthread_mutex_lock(&provider->lock);
    while (provider->is_renewing)
        pthread_cond_wait(&provider->renewed, &provider->lock);
    if (provider->source->renew && s3_credentials_equal(provider->current, used))
        (void)renew_locked(provider, call, &ignored);
    bool is_other = !s3_credentials_equal(provider->current, used);
    pthread_mutex_unlock(&provider->lock);
    return is_other;
}
