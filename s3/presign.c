// presign.c - links that an assumed read-only role's session signs. Declared in s3.h.
//
// Lock order: presigner->lock is the only one here, and no request is made with it held.

#include "client.h"
#include "link_trial.h"
#include "policy.h"
#include "sts.h"

#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    SESSION_AGE_MAX_MS = 5 * 60 * 1000, // older ones sign nothing new
    URL_TEXT_LIMIT = 16 * 1024,         // bytes of a link
    TRIAL_LIFE_S = 60,                  // of the link that is tried
};

struct s3_session {
    atomic_uint references;
    struct s3_client *client;
    struct s3_credentials *credentials;
    int64_t made_ms; // by the monotonic clock
};

struct s3_presigner {
    struct s3_client *client;
    struct s3_provider *provider; // the service account's
    struct s3_provider *reader;   // NULL with a role
    const struct clock *clock;
    struct s3_service sts; // zeroed with a reader
    char *role_arn;
    char *kms_key; // NULL for none
    char session_name[STS_SESSION_NAME_SIZE];
    struct buf policy;
    atomic_bool is_proven; // a link has been tried, and led to its object

    pthread_mutex_t lock; // guards what follows
    pthread_cond_t changed;
    struct s3_session *session; // the newest; older ones live on in their holders' hands
    bool is_assuming;           // one thread asks, the others wait for it
    uint64_t round;             // how often that was tried ...
    struct err round_err;       // ... and how the last try ended, errnum 0 for well
    int granted_s;
};

// ---- sessions -----------------------------------------------------------------------------

static struct s3_session *session_new(struct s3_presigner *presigner,
                                      struct s3_credentials *credentials)
{
    struct s3_session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    atomic_init(&session->references, 1);
    session->client = presigner->client;
    session->credentials = s3_credentials_ref(credentials);
    session->made_ms = clock_monotonic_ms(presigner->clock);
    return session;
}

static struct s3_session *session_ref(struct s3_session *session)
{
    atomic_fetch_add(&session->references, 1);
    return session;
}

void s3_session_unref(struct s3_session *session)
{
    if (!session || atomic_fetch_sub(&session->references, 1) != 1)
        return;
    s3_credentials_unref(session->credentials);
    free(session);
}

// ---- assuming the role --------------------------------------------------------------------

// Asks for the duration that was granted last; where STS refuses that, for shorter ones: a role
// has a maximum of its own, and one that another role assumes gets an hour at most. Some stores
// answer a bare 400 to that, and to a role that is not there, so the shortest one's answer tells.
static int assume(struct s3_presigner *presigner, struct call *call, int *duration_s,
                  struct s3_credentials **ret_credentials, struct err *err)
{
    const int shorter[] = {STS_DURATION_CHAINED_S, STS_DURATION_MIN_S};
    struct sts_assume assume = {
        .role_arn = presigner->role_arn,
        .session_name = presigner->session_name,
        .duration_s = *duration_s,
        .policy = buf_text(&presigner->policy),
    };
    int r = sts_assume_role(&presigner->sts, call, &assume, ret_credentials, err);
    for (size_t i = 0; i < ARRAY_SIZE(shorter) && r == -EINVAL; i++) {
        if (shorter[i] >= assume.duration_s)
            continue;
        assume.duration_s = shorter[i];
        r = sts_assume_role(&presigner->sts, call, &assume, ret_credentials, err);
    }
    if (r == -EINVAL && presigner->kms_key && strcmp(err->code, "MalformedPolicyDocument") == 0)
        return err_wrap(err,
                        "this store has no kms:Decrypt, which kms_key= asks for: leave it out");
    if (r == -EINVAL)
        return err_wrap(err, "the role cannot be assumed: there is none of that name, it does not "
                             "trust these credentials, or it refuses the session");
    if (r == 0)
        *duration_s = assume.duration_s;
    return r;
}

// The reader's keys may not be those that may write: whoever holds a link could be traced back to
// an account that can do more than read, and a leaked one would have to be renewed everywhere.
static int check_reader(struct s3_presigner *presigner, struct call *call,
                        const struct s3_credentials *reader, struct err *err)
{
    auto_credentials struct s3_credentials *own = NULL;
    int r = s3_provider_get(presigner->provider, call, &own, err);
    if (r < 0)
        return r;
    if (strcmp(s3_credentials_access_key(own), s3_credentials_access_key(reader)) == 0)
        return err_set(err, EINVAL,
                       "presign_profile= has the service account's own access key: "
                       "links need a user of their own that can only read");
    return 0;
}

static int make_session(struct s3_presigner *presigner, struct call *call, int *duration_s,
                        struct s3_session **ret_session, struct err *err)
{
    auto_credentials struct s3_credentials *credentials = NULL;
    int r;
    if (presigner->reader) {
        r = s3_provider_get(presigner->reader, call, &credentials, err);
        if (r == 0)
            r = check_reader(presigner, call, credentials, err);
    } else {
        r = assume(presigner, call, duration_s, &credentials, err);
    }
    if (r < 0)
        return r;
    struct s3_session *session = session_new(presigner, credentials);
    if (!session)
        return err_no_memory(err);
    *ret_session = session;
    return 0;
}

// ---- the session to sign with -------------------------------------------------------------

static bool is_fresh_locked(const struct s3_presigner *presigner)
{
    const struct s3_session *session = presigner->session;
    return session &&
           clock_monotonic_ms(presigner->clock) - session->made_ms <= SESSION_AGE_MAX_MS &&
           clock_now_ms(presigner->clock) < s3_credentials_expires_ms(session->credentials);
}

// Waits for the round that is under way. False when this thread's call was cancelled.
static bool wait_locked(struct s3_presigner *presigner, struct call *call, uint64_t round)
{
    while (presigner->is_assuming && presigner->round == round)
        if (!call_wait(call, &presigner->changed, &presigner->lock))
            return false;
    return true;
}

static int assume_locked(struct s3_presigner *presigner, struct call *call, struct err *err)
{
    presigner->is_assuming = true;
    int duration_s = presigner->granted_s;
    pthread_mutex_unlock(&presigner->lock);

    struct s3_session *session = NULL;
    int r = make_session(presigner, call, &duration_s, &session, err);

    pthread_mutex_lock(&presigner->lock);
    presigner->is_assuming = false;
    presigner->round++;
    presigner->round_err = r < 0 ? *err : (struct err){0};
    if (r == 0) {
        s3_session_unref(presigner->session);
        presigner->session = session;
        presigner->granted_s = duration_s;
    }
    pthread_cond_broadcast(&presigner->changed);
    return r;
}

// Waits for what another thread asks, and shares its outcome. That its call was cancelled is no
// outcome: then it is this thread's turn.
static int join_locked(struct s3_presigner *presigner, struct call *call, struct err *err)
{
    if (!wait_locked(presigner, call, presigner->round))
        return err_set(err, EINTR, "cancelled");
    if (presigner->round_err.errnum == 0 || presigner->round_err.errnum == EINTR)
        return 0;
    *err = presigner->round_err;
    return -err->errnum;
}

int s3_presigner_session(struct s3_presigner *presigner, struct call *call,
                         struct s3_session **ret_session, struct err *err)
{
    int r = 0;
    bool has_asked = false; // a session that STS gave just now is taken as it is
    pthread_mutex_lock(&presigner->lock);
    while (r == 0 && !has_asked && !is_fresh_locked(presigner)) {
        has_asked = !presigner->is_assuming;
        r = has_asked ? assume_locked(presigner, call, err) : join_locked(presigner, call, err);
    }
    if (r == 0)
        *ret_session = session_ref(presigner->session);
    pthread_mutex_unlock(&presigner->lock);
    return r;
}

// ---- the presigner ------------------------------------------------------------------------

static int write_policy(struct s3_presigner *presigner, const struct s3_presigner_options *options,
                        struct err *err)
{
    auto_free char *partition = sts_arn_partition(options->role_arn);
    if (!partition)
        return err_set(err, EINVAL, "presign_role=%s is no role's ARN", options->role_arn);
    struct s3_policy policy = {
        .partition = partition,
        .bucket = s3_client_bucket(presigner->client),
        .prefix = options->prefix ? options->prefix : "",
        .denied_prefix = options->denied_prefix,
        .kms_key = options->kms_key,
    };
    buf_init(&presigner->policy, 2 * S3_POLICY_SIZE_MAX);
    return s3_policy_write(&policy, &presigner->policy, err);
}

static int prepare_role(struct s3_presigner *presigner, const struct s3_presigner_options *options,
                        struct err *err)
{
    int r = write_policy(presigner, options, err);
    if (r < 0)
        return r;
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    sts_session_name(host, presigner->session_name);
    presigner->role_arn = strdup(options->role_arn);
    presigner->kms_key = options->kms_key ? strdup(options->kms_key) : NULL;
    if (!presigner->role_arn || (options->kms_key && !presigner->kms_key))
        return err_no_memory(err);
    struct s3_service_options sts = {
        .name = "sts",
        .region = options->region,
        .endpoint = options->sts_endpoint,
        .provider = options->provider,
        .http = options->http,
        .clock = options->clock,
        .skew = &presigner->client->skew,
    };
    return s3_service_init(&presigner->sts, &sts, err);
}

int s3_presigner_new(const struct s3_presigner_options *options, struct s3_client *client,
                     struct call *call, struct s3_presigner **ret_presigner, struct err *err)
{
    if (!options->role_arn == !options->reader)
        return err_set(err, EINVAL, "presigning takes a role or a profile, one of them");
    struct s3_presigner *presigner = calloc(1, sizeof(*presigner));
    if (!presigner)
        return err_no_memory(err);
    presigner->client = client;
    presigner->provider = options->provider;
    presigner->reader = options->reader;
    presigner->clock = options->clock;
    presigner->granted_s = options->session_s;
    pthread_mutex_init(&presigner->lock, NULL);
    call_wait_init(&presigner->changed);
    int r = options->role_arn ? prepare_role(presigner, options, err) : 0;
    struct s3_session *session = NULL;
    if (r == 0)
        r = s3_presigner_session(presigner, call, &session, err);
    s3_session_unref(session);
    if (r < 0) {
        s3_presigner_free(presigner);
        return r;
    }
    *ret_presigner = presigner;
    return 0;
}

void s3_presigner_free(struct s3_presigner *presigner)
{
    if (!presigner)
        return;
    s3_session_unref(presigner->session);
    s3_service_done(&presigner->sts);
    buf_done(&presigner->policy);
    free(presigner->role_arn);
    free(presigner->kms_key);
    pthread_cond_destroy(&presigner->changed);
    pthread_mutex_destroy(&presigner->lock);
    free(presigner);
}

int s3_presigner_session_s(const struct s3_presigner *presigner)
{
    struct s3_presigner *inside = (struct s3_presigner *)presigner; // for its lock
    pthread_mutex_lock(&inside->lock);
    int granted_s = presigner->reader ? 0 : presigner->granted_s;
    pthread_mutex_unlock(&inside->lock);
    return granted_s;
}

// ---- links --------------------------------------------------------------------------------

static bool is_download_name(const char *name)
{
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._+-";
    return *name && name[strspn(name, taken)] == '\0';
}

static int sign_link(struct s3_session *session, const char *key, const char *disposition,
                     int64_t now_ms, int lives_s, struct buf *url, struct err *err)
{
    const struct s3_place *place = s3_service_place(&session->client->service);
    auto_buf struct buf path = BUF_INIT(URL_TEXT_LIMIT);
    (void)buf_printf(&path, "%s/", place->base_path);
    (void)url_encode(&path, key, strlen(key), true);
    (void)buf_printf(url, "%s%s?", place->url, buf_text(&path));
    if (path.is_full || url->is_full)
        return err_no_memory(err);
    struct sigv4_key signer = {session->credentials, place->region, "s3"};
    struct sigv4_pair query = {"response-content-disposition", disposition};
    struct http_header host = {"host", place->host};
    struct sigv4_request request = {
        .method = "GET",
        .path = buf_text(&path),
        .query = &query,
        .query_count = 1,
        .headers = &host,
        .header_count = 1,
        .payload = SIGV4_UNSIGNED_PAYLOAD,
    };
    return sigv4_sign_query(&signer, &request, now_ms, lives_s, url, err);
}

int s3_presign_get(struct s3_session *session, const char *key, const char *download_name,
                   int expires_s, struct buf *ret_url, int64_t *ret_expires_ms, struct err *err)
{
    if (expires_s < 1 || expires_s > S3_EXPIRES_MAX_S)
        return err_set(err, EINVAL, "a link cannot be asked to live %d seconds", expires_s);
    if (!is_download_name(download_name))
        return err_set(err, EINVAL, "\"%s\" is no download name", download_name);
    char disposition[512];
    int size =
        snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"", download_name);
    if (size >= (int)sizeof(disposition))
        return err_set(err, EINVAL, "a download name of %zu bytes", strlen(download_name));

    // The signature's time has whole seconds, so the link's life begins with its second.
    int64_t now_ms = clock_now_ms(session->client->service.clock);
    now_ms -= now_ms % 1000;
    int64_t session_end_ms = s3_credentials_expires_ms(session->credentials);
    int64_t lives_s = expires_s;
    if (session_end_ms != INT64_MAX && (session_end_ms - now_ms) / 1000 < lives_s)
        lives_s = (session_end_ms - now_ms) / 1000;
    if (lives_s < 1)
        return err_set(err, EACCES, "the session that would sign the link has ended");

    auto_buf struct buf url = BUF_INIT(URL_TEXT_LIMIT);
    int r = sign_link(session, key, disposition, now_ms, (int)lives_s, &url, err);
    if (r < 0)
        return r;
    buf_done(ret_url);
    *ret_url = url;
    url = (struct buf){0};
    *ret_expires_ms = now_ms + lives_s * 1000;
    return 0;
}

int s3_presigner_try(struct s3_presigner *presigner, struct call *call, struct s3_session *session,
                     const char *key, struct err *err)
{
    if (atomic_load(&presigner->is_proven))
        return 0;
    auto_buf struct buf url = {0};
    int64_t expires_ms;
    int r = s3_presign_get(session, key, "trial", TRIAL_LIFE_S, &url, &expires_ms, err);
    if (r < 0)
        return r;
    const struct link_trial trial = {
        .client = session->client,
        .url = buf_text(&url),
        .key = key,
        .access_key = s3_credentials_access_key(session->credentials),
        .signer = presigner->role_arn ? presigner->role_arn : "the user of presign_profile=",
        .kms_key = presigner->kms_key,
    };
    bool is_proven;
    r = link_trial_run(&trial, call, &is_proven, err);
    if (r == 0 && is_proven)
        atomic_store(&presigner->is_proven, true);
    if (r == -EACCES && presigner->role_arn && strstr(buf_text(&presigner->policy), "${"))
        return err_wrap(err,
                        "the prefix has a * or ?, which session policies of this store may not be "
                        "able to name: name it otherwise, or sign with presign_profile=");
    return r;
}
