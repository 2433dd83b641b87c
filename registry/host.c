#include "host.h"

#include "base/scope.h"
#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_allowed(const struct registry_client *client, const char *name)
{
    if (client->allowed_hosts == NULL)
        return true;
    for (char **allowed = client->allowed_hosts; *allowed != NULL; allowed++)
        if (strcasecmp(*allowed, name) == 0)
            return true;
    return false;
}

// Docker Hub's API is not where its name points to.
static const char *authority_of(const char *name)
{
    if (strcmp(name, "docker.io") == 0 || strcmp(name, "index.docker.io") == 0)
        return "registry-1.docker.io";
    return name;
}

static void host_free(struct host *host)
{
    if (host == NULL)
        return;
    free(host->name);
    free(host->authority);
    free(host->learnt.realm);
    free(host->learnt.service);
    free(host);
}
DEFINE_SCOPE_CLEANUP(host, struct host, host_free)

void registry_hosts_free(struct registry_client *client)
{
    while (client->known.hosts != NULL) {
        struct host *host = client->known.hosts;
        client->known.hosts = host->next;
        host_free(host);
    }
}

// NULL with *err filled on failure.
static struct host *host_new(const struct registry_client *client, const char *name,
                             struct err *err)
{
    AUTO(host_scope) struct host *host = calloc(1, sizeof(*host));
    auto_free char *origin = NULL;
    struct url url;
    if (host == NULL || asprintf(&origin, "https://%s/", authority_of(name)) < 0) {
        origin = NULL;
        err_no_memory(err);
        return NULL;
    }
    if (url_parse(origin, &url, err) < 0) {
        err_wrap(err, "registry %s", name);
        return NULL;
    }
    bool may_be_plain = registry_client_may_speak_plain(client, url.host, url.port);
    url_done(&url);
    host->learnt.speech = may_be_plain ? HOST_PERHAPS_PLAIN : HOST_SPEAKS_TLS;
    host->name = strdup(name);
    host->authority = strdup(authority_of(name));
    if (host->name == NULL || host->authority == NULL) {
        err_no_memory(err);
        return NULL;
    }
    return TAKE(host);
}

static struct host *find_locked(const struct registry_client *client, const char *name)
{
    struct host *host = client->known.hosts;
    while (host != NULL && strcmp(host->name, name) != 0)
        host = host->next;
    return host;
}

int registry_host_get(struct registry_client *client, const char *name, struct host **ret_host,
                      struct err *err)
{
    if (!is_allowed(client, name))
        return err_set(err, EACCES,
                       "registry %s is not among those that this mount may publish from "
                       "(its option registries=)",
                       name);
    pthread_mutex_lock(&client->lock);
    struct host *host = find_locked(client, name);
    pthread_mutex_unlock(&client->lock);
    if (host == NULL) {
        AUTO(host_scope) struct host *made = host_new(client, name, err);
        if (made == NULL)
            return -err->errnum;
        pthread_mutex_lock(&client->lock);
        host = find_locked(client, name); // another may have been faster
        if (host == NULL) {
            made->next = client->known.hosts;
            client->known.hosts = host = TAKE(made);
        }
        pthread_mutex_unlock(&client->lock);
    }
    *ret_host = host;
    return 0;
}

// ---- the first request -------------------------------------------------------------------------

int registry_host_enter(struct registry_client *client, struct call *call, struct host *host,
                        bool *ret_is_first, struct err *err)
{
    int status = 0;
    bool is_first = false;
    pthread_mutex_lock(&client->lock);
    if (host->learnt.asks_for == HOST_ASKS_UNKNOWN) {
        is_first = !host->learnt.is_being_asked;
        host->learnt.is_being_asked = true;
        // Whatever the first one learns, even nothing: a host that is down keeps nobody in line.
        unsigned answers = host->learnt.answers;
        while (!is_first && answers == host->learnt.answers && status == 0)
            status = registry_client_wait_locked(client, call, err);
    }
    pthread_mutex_unlock(&client->lock);
    *ret_is_first = is_first;
    return status;
}

void registry_host_leave(struct registry_client *client, struct host *host)
{
    pthread_mutex_lock(&client->lock);
    host->learnt.is_being_asked = false;
    host->learnt.answers++;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

// ---- plain or TLS ------------------------------------------------------------------------------

enum host_speech registry_host_speech(struct registry_client *client, const struct host *host)
{
    pthread_mutex_lock(&client->lock);
    enum host_speech speech = host->learnt.speech;
    pthread_mutex_unlock(&client->lock);
    return speech;
}

char *registry_host_url(const struct host *host, enum host_speech speech, const char *path)
{
    char *url = NULL;
    const char *scheme = host_speech_is_plain(speech) ? "http" : "https";
    return asprintf(&url, "%s://%s/v2/%s", scheme, host->authority, path) < 0 ? NULL : url;
}

static bool is_proven(enum host_speech speech)
{
    return speech == HOST_SPEAKS_PLAIN || speech == HOST_SPEAKS_TLS;
}

void registry_host_answered(struct registry_client *client, struct host *host,
                            enum host_speech speech)
{
    pthread_mutex_lock(&client->lock);
    if (!is_proven(host->learnt.speech))
        host->learnt.speech = host_speech_is_plain(speech) ? HOST_SPEAKS_PLAIN : HOST_SPEAKS_TLS;
    pthread_mutex_unlock(&client->lock);
}

bool registry_host_has_no_tls(const struct err *err)
{
    // OpenSSL's words for an answer that begins like text: nothing else tells it from a
    // handshake that failed over ciphers or versions.
    static const char *const words[] = {"wrong version number", "packet length too long",
                                        "unknown protocol", "http request"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (err->errnum == EPROTO && strstr(err->text, words[i]) != NULL)
            return true;
    return false;
}

bool registry_host_failed(struct registry_client *client, struct host *host,
                          enum host_speech speech, const struct err *err)
{
    // What waits for more than a TLS handshake may be one that speaks plain HTTP.
    bool is_mute = err->errnum == ETIMEDOUT && speech == HOST_PERHAPS_TLS;
    if (is_proven(speech) || (err->errnum != EIO && err->errnum != EPROTO && !is_mute))
        return false;
    // What was tried decides, not what is known now: another thread may have turned it since.
    enum host_speech next = speech == HOST_PERHAPS_PLAIN ? HOST_PERHAPS_TLS : HOST_PERHAPS_PLAIN;
    if (registry_host_has_no_tls(err))
        next = HOST_SPEAKS_PLAIN;
    else if (err->errnum == EPROTO)
        next = HOST_SPEAKS_TLS; // its certificate, say: no reason to do without
    pthread_mutex_lock(&client->lock);
    if (!is_proven(host->learnt.speech))
        host->learnt.speech = next;
    pthread_mutex_unlock(&client->lock);
    return next != HOST_SPEAKS_TLS;
}

void registry_host_wants_tls(struct registry_client *client, struct host *host)
{
    pthread_mutex_lock(&client->lock);
    host->learnt.speech = HOST_SPEAKS_TLS;
    pthread_mutex_unlock(&client->lock);
}

// ---- how it wants to be asked ------------------------------------------------------------------

bool registry_host_learn(struct registry_client *client, struct host *host,
                         struct challenges *challenges, char **ret_scope)
{
    struct challenge *chosen = NULL;
    for (size_t i = 0; i < challenges->count; i++) {
        struct challenge *challenge = &challenges->list[i];
        bool is_bearer = challenge->scheme == CHALLENGE_BEARER && challenge->realm != NULL;
        if (is_bearer && (chosen == NULL || chosen->scheme == CHALLENGE_BASIC))
            chosen = challenge;
        if (challenge->scheme == CHALLENGE_BASIC && chosen == NULL)
            chosen = challenge;
    }
    if (chosen == NULL)
        return false;
    pthread_mutex_lock(&client->lock);
    host->learnt.asks_for = chosen->scheme == CHALLENGE_BEARER ? HOST_ASKS_BEARER : HOST_ASKS_BASIC;
    free(host->learnt.realm);
    free(host->learnt.service);
    host->learnt.realm = TAKE(chosen->realm);
    host->learnt.service = TAKE(chosen->service);
    *ret_scope = TAKE(chosen->scope);
    pthread_mutex_unlock(&client->lock);
    return true;
}

void registry_host_is_open(struct registry_client *client, struct host *host)
{
    pthread_mutex_lock(&client->lock);
    if (host->learnt.asks_for == HOST_ASKS_UNKNOWN)
        host->learnt.asks_for = HOST_ASKS_NOTHING;
    pthread_mutex_unlock(&client->lock);
}
