#include "provider.h"

#include "profile.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

// The AWS tools' order; GitHub's tokens, which they do not know, stand beside the tokens in files.
static const struct s3_source sources[] = {
    {"environment variables", s3_source_environment, true},
    {"profile's role", s3_source_role, false},
    {"web identity", s3_source_web_identity, false},
    {"GitHub Actions", s3_source_github, false},
    {"profile", s3_source_profile, false},
    {"container", s3_source_container, false},
    {"EC2 instance", s3_source_instance, false},
};

static const struct s3_source fixed = {"given", NULL, true};

struct s3_provider {
    char *profile;
    char *region;
    char *sts_endpoint;
    char *directory;
    struct s3_environment environment;
    const struct clock *clock;
    struct http_client *http;
    const struct s3_source *source;
    void (*on_renewal)(void *context, const struct err *failure);
    void *context;

    pthread_mutex_t lock;   // guards what follows; nothing is asked with it held
    pthread_cond_t wanted;  // to the renewing thread: is_wanted or is_stopping
    pthread_cond_t changed; // to the others: a round has ended
    struct s3_credentials *current;
    bool is_wanted;
    bool is_renewing;
    bool is_stopping;
    bool has_thread; // made for the first renewal
    pthread_t thread;
    struct call call;     // the renewing thread's
    uint64_t round;       // how many renewals have ended ...
    struct err round_err; // ... and how the last one did, errnum 0 for well
    int64_t retry_ms;     // no renewal before this, by the monotonic clock
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
        .region = provider->region,
        .sts_endpoint = provider->sts_endpoint,
        .looked_at = looked_at,
    };
}

// ---- finding ------------------------------------------------------------------------------

// A name that is in neither file is a slip: to go on would sign as somebody else.
static int check_profile(const struct s3_provider *provider, struct err *err)
{
    struct s3_profile profile = {0};
    int r = s3_profile_read(provider->profile, &provider->environment, &profile, err);
    if (r < 0)
        return r;
    if (profile.is_named && !s3_profile_exists(&profile))
        r = err_set(err, EACCES,
                    "no AWS credentials: there is no profile \"%s\" in %s or %s: check its "
                    "spelling, and whose home that is",
                    profile.name, profile.credentials_path, profile.config_path);
    s3_profile_done(&profile);
    return r;
}

static int provider_find(struct s3_provider *provider, struct call *call, struct err *err)
{
    auto_buf struct buf looked_at = BUF_INIT(ERR_TEXT_SIZE);
    struct s3_chain chain = chain_of(provider, call, &looked_at);
    int r = check_profile(provider, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        r = sources[i].find(&chain, &provider->current, err);
        if (r == 0) {
            provider->source = &sources[i];
            return 0;
        }
        if (r != -ENOENT)
            return r;
    }
    return err_set(err, EACCES,
                   "no AWS credentials: sign in as for the AWS CLI, or name a profile (profile=, "
                   "AWS_PROFILE); %s",
                   buf_text(&looked_at));
}

static bool keep(const char *value, const char *otherwise, char **ret_copy)
{
    if (!value)
        value = otherwise;
    *ret_copy = value ? strdup(value) : NULL;
    return !value || *ret_copy;
}

// What a renewal will need weeks from now, when the program has long left its directory.
static int provider_fill(struct s3_provider *provider, const struct s3_provider_options *options,
                         struct err *err)
{
    struct s3_settings settings = {0};
    int r = s3_settings_read(options->profile, options->environment, &settings, err);
    if (r < 0)
        return r;
    const char *region = settings.region ? settings.region : "us-east-1";
    char directory[PATH_MAX];
    const char *given = options->environment->directory;
    bool is_kept = keep(options->profile, NULL, &provider->profile) &&
                   keep(options->region, region, &provider->region) &&
                   keep(options->sts_endpoint, settings.sts_endpoint, &provider->sts_endpoint) &&
                   keep(given, getcwd(directory, sizeof(directory)), &provider->directory);
    s3_settings_done(&settings);
    provider->environment = *options->environment;
    provider->environment.directory = provider->directory;
    return is_kept ? 0 : err_no_memory(err);
}

static struct s3_provider *provider_empty(const struct clock *clock)
{
    struct s3_provider *provider = calloc(1, sizeof(*provider));
    if (!provider)
        return NULL;
    pthread_mutex_init(&provider->lock, NULL);
    pthread_cond_init(&provider->wanted, NULL);
    call_wait_init(&provider->changed);
    provider->clock = clock;
    call_init(&provider->call, clock);
    return provider;
}

int s3_provider_new(const struct s3_provider_options *options, struct call *call,
                    struct s3_provider **ret_provider, struct err *err)
{
    struct s3_provider *provider = provider_empty(options->clock);
    if (!provider)
        return err_no_memory(err);
    provider->http = options->http;
    provider->on_renewal = options->on_renewal;
    provider->context = options->context;
    int r = provider_fill(provider, options, err);
    if (r == 0)
        r = provider_find(provider, call, err);
    if (r < 0) {
        s3_provider_free(provider);
        return r;
    }
    *ret_provider = provider;
    return 0;
}

int s3_provider_new_fixed(struct s3_credentials *credentials, const struct clock *clock,
                          struct s3_provider **ret_provider, struct err *err)
{
    struct s3_provider *provider = provider_empty(clock);
    if (!provider)
        return err_no_memory(err);
    provider->source = &fixed;
    provider->current = s3_credentials_ref(credentials);
    *ret_provider = provider;
    return 0;
}

void s3_provider_free(struct s3_provider *provider)
{
    if (!provider)
        return;
    pthread_mutex_lock(&provider->lock);
    provider->is_stopping = true;
    call_cancel(&provider->call);
    pthread_cond_signal(&provider->wanted);
    pthread_mutex_unlock(&provider->lock);
    if (provider->has_thread)
        pthread_join(provider->thread, NULL);
    s3_credentials_unref(provider->current);
    free(provider->profile);
    free(provider->region);
    free(provider->sts_endpoint);
    free(provider->directory);
    pthread_cond_destroy(&provider->changed);
    pthread_cond_destroy(&provider->wanted);
    pthread_mutex_destroy(&provider->lock);
    free(provider);
}

const char *s3_provider_source(const struct s3_provider *provider)
{
    return provider->source->name;
}

// ---- renewing -----------------------------------------------------------------------------

static int64_t life_left_ms_locked(const struct s3_provider *provider)
{
    int64_t expires_ms = s3_credentials_expires_ms(provider->current);
    return expires_ms == INT64_MAX ? INT64_MAX : expires_ms - clock_now_ms(provider->clock);
}

// Asks the source; is_renewing keeps it to one thread.
static int renew_unlocked(struct s3_provider *provider, struct s3_credentials **ret_credentials,
                          struct err *err)
{
    auto_buf struct buf looked_at = BUF_INIT(ERR_TEXT_SIZE);
    struct s3_chain chain = chain_of(provider, &provider->call, &looked_at);
    int r = provider->source->find(&chain, ret_credentials, err);
    if (r == -ENOENT)
        return err_set(err, EACCES, "they are gone: %s", buf_text(&looked_at));
    return r;
}

static void end_round_locked(struct s3_provider *provider, const struct err *failure)
{
    provider->is_wanted = false;
    provider->round++;
    provider->round_err = failure ? *failure : (struct err){0};
    // A static file may go on holding what is about to expire: not asked again at every request.
    bool is_hurried = life_left_ms_locked(provider) <= 0;
    provider->retry_ms = clock_monotonic_ms(provider->clock) +
                         (is_hurried ? S3_PROVIDER_HURRY_MS : S3_PROVIDER_RETRY_MS);
    pthread_cond_broadcast(&provider->changed);
}

static void renew_locked(struct s3_provider *provider)
{
    struct s3_credentials *fresh = NULL;
    struct err err = {0};
    call_init(&provider->call, provider->clock); // its retries are a round's
    provider->is_renewing = true;
    pthread_mutex_unlock(&provider->lock);
    int r = renew_unlocked(provider, &fresh, &err);
    if (r < 0)
        err_wrap(&err, "the AWS credentials of the %s cannot be renewed", provider->source->name);
    if (provider->on_renewal && err.errnum != EINTR)
        provider->on_renewal(provider->context, r < 0 ? &err : NULL);
    pthread_mutex_lock(&provider->lock);
    provider->is_renewing = false;
    if (r == 0) {
        s3_credentials_unref(provider->current);
        provider->current = fresh;
    }
    end_round_locked(provider, r < 0 ? &err : NULL);
}

static void *run(void *context)
{
    struct s3_provider *provider = context;
    pthread_mutex_lock(&provider->lock);
    while (!provider->is_stopping) {
        if (provider->is_wanted)
            renew_locked(provider);
        else
            pthread_cond_wait(&provider->wanted, &provider->lock);
    }
    pthread_mutex_unlock(&provider->lock);
    return NULL;
}

// Signals are for the threads that wait for them.
static int start_thread(struct s3_provider *provider)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int problem = pthread_create(&provider->thread, NULL, run, provider);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return problem;
}

static void want_locked(struct s3_provider *provider)
{
    if (provider->is_wanted || provider->is_renewing)
        return;
    provider->is_wanted = true;
    if (!provider->has_thread) {
        int problem = start_thread(provider);
        if (problem != 0) {
            struct err err = {0};
            err_set(&err, problem, "no thread can be started that renews the AWS credentials: %s",
                    strerrordesc_np(problem));
            end_round_locked(provider, &err);
            return;
        }
        provider->has_thread = true;
    }
    pthread_cond_signal(&provider->wanted);
}

// Waits for the round that is under way, where one is. false when this call was cancelled.
static bool join_locked(struct s3_provider *provider, struct call *call)
{
    uint64_t round = provider->round;
    while ((provider->is_wanted || provider->is_renewing) && provider->round == round)
        if (!call_wait(call, &provider->changed, &provider->lock))
            return false;
    return true;
}

// They have expired: now everybody waits, and learns why it fails.
static int await_fresh_locked(struct s3_provider *provider, struct call *call, struct err *err)
{
    if (!join_locked(provider, call))
        return err_set(err, EINTR, "cancelled");
    if (life_left_ms_locked(provider) > 0 || provider->round_err.errnum == 0)
        return 0;
    *err = provider->round_err;
    return -err->errnum;
}

int s3_provider_get(struct s3_provider *provider, struct call *call,
                    struct s3_credentials **ret_credentials, struct err *err)
{
    int r = 0;
    pthread_mutex_lock(&provider->lock);
    // Expired ones of a source that never changes are handed out: the server says so best.
    if (!provider->source->is_fixed && life_left_ms_locked(provider) < S3_PROVIDER_RENEW_MS) {
        if (clock_monotonic_ms(provider->clock) >= provider->retry_ms)
            want_locked(provider);
        if (life_left_ms_locked(provider) <= 0)
            r = await_fresh_locked(provider, call, err);
    }
    if (r == 0)
        *ret_credentials = s3_credentials_ref(provider->current);
    pthread_mutex_unlock(&provider->lock);
    return r;
}

bool s3_provider_replace(struct s3_provider *provider, struct call *call,
                         const struct s3_credentials *used)
{
    pthread_mutex_lock(&provider->lock);
    if (!provider->source->is_fixed && s3_credentials_equal(provider->current, used)) {
        want_locked(provider);
        (void)join_locked(provider, call);
    }
    bool is_other = !s3_credentials_equal(provider->current, used);
    pthread_mutex_unlock(&provider->lock);
    return is_other;
}
