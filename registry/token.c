#include "token.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Guarded by the client's lock, as a whole.
struct token {
    struct token *next;
    const struct host *host;
    char *repository;
    char *scope; // that a challenge asked for; NULL for the usual one
    struct grant grant;
    uint64_t number; // from 1, another for each grant
    bool is_good;
    enum host_asks_for kind; // what the host asked for when it was granted
    int64_t ends_at_ms;      // monotonic
    struct login_mark refused;
    int users; // threads in registry_token_acquire
    bool is_being_fetched;
    unsigned fetches;     // that have ended
    struct err fetch_err; // of the last one; errnum 0 where it succeeded
};

static void token_free(struct token *token)
{
    if (token == NULL)
        return;
    registry_grant_done(&token->grant);
    free(token->repository);
    free(token->scope);
    free(token);
}

void registry_tokens_free(struct registry_client *client)
{
    while (client->known.tokens != NULL) {
        struct token *token = client->known.tokens;
        client->known.tokens = token->next;
        token_free(token);
    }
    client->known.token_count = 0;
}

void registry_token_use_done(struct token_use *use)
{
    if (use == NULL)
        return;
    secret_free(use->authorization);
    *use = (struct token_use){0};
}

static struct token *find_locked(const struct registry_client *client, const struct host *host,
                                 const char *repository)
{
    struct token *token = client->known.tokens;
    while (token != NULL && (token->host != host || strcmp(token->repository, repository) != 0))
        token = token->next;
    return token;
}

static bool is_good(const struct registry_client *client, const struct token *token)
{
    return token->is_good && token->kind == token->host->learnt.asks_for &&
           clock_monotonic_ms(client->clock) < token->ends_at_ms;
}

static void drop_ended_locked(struct registry_client *client)
{
    struct token **link = &client->known.tokens;
    while (*link != NULL) {
        struct token *token = *link;
        if (token->users > 0 || is_good(client, token)) {
            link = &token->next;
            continue;
        }
        *link = token->next;
        token_free(token);
        client->known.token_count--;
    }
}

static struct token *make_locked(struct registry_client *client, const struct host *host,
                                 const char *repository)
{
    if (client->known.token_count >= TOKENS_MAX)
        drop_ended_locked(client);
    struct token *token = calloc(1, sizeof(*token));
    if (token == NULL)
        return NULL;
    token->host = host;
    token->repository = strdup(repository);
    if (token->repository == NULL) {
        token_free(token);
        return NULL;
    }
    token->next = client->known.tokens;
    client->known.tokens = token;
    client->known.token_count++;
    return token;
}

static int use_locked(const struct token *token, bool is_fresh, struct token_use *ret_use,
                      struct err *err)
{
    struct token_use use = {
        .authorization = secret_copy(token->grant.authorization),
        .number = token->number,
        .is_fresh = is_fresh,
        .is_of_a_login = token->grant.login.is_set,
        .login_is_wrong = token->grant.refused.is_wrong,
    };
    memcpy(use.whose, token->grant.whose, sizeof(use.whose));
    if (use.authorization == NULL && token->grant.authorization != NULL)
        return err_no_memory(err);
    *ret_use = use;
    return 0;
}

// Lets go of the lock while it asks.
static int fetch_locked(struct registry_client *client, struct call *call, struct host *host,
                        const char *repository, struct token *token, struct err *err)
{
    auto_free char *scope = token->scope == NULL ? NULL : strdup(token->scope);
    const struct login_mark refused = token->refused;
    enum host_asks_for kind = host->learnt.asks_for;
    bool has_scope = token->scope == NULL || scope != NULL;
    struct grant grant = {0};
    token->is_being_fetched = true;
    pthread_mutex_unlock(&client->lock);
    int64_t asked_at_ms = clock_monotonic_ms(client->clock);
    int status = !has_scope ? err_no_memory(err)
                            : registry_grant_obtain(client, call, host, repository, scope, &refused,
                                                    &grant, err);
    pthread_mutex_lock(&client->lock);
    token->is_being_fetched = false;
    token->fetches++;
    token->fetch_err = status < 0 ? *err : (struct err){0};
    // Neither way is open now: the next request tries the credentials again.
    if (status < 0)
        token->refused.is_set = false;
    // A token server that has moved, or that a stranger named: the registry is asked for another.
    if (status < 0 && status != -EACCES && status != -EINTR)
        host->learnt.asks_for = HOST_ASKS_UNKNOWN;
    if (status == 0) {
        registry_grant_done(&token->grant);
        token->grant = grant;
        token->refused = grant.refused;
        token->is_good = true;
        token->kind = kind;
        token->ends_at_ms = asked_at_ms + grant.lifetime_ms;
        token->number++;
    }
    pthread_cond_broadcast(&client->changed);
    return status;
}

static int acquire_locked(struct registry_client *client, struct call *call, struct host *host,
                          const char *repository, struct token *token, struct token_use *ret_use,
                          struct err *err)
{
    bool is_fresh = false;
    int status = 0;
    while (status == 0 && !is_good(client, token)) {
        is_fresh = true;
        unsigned fetches = token->fetches;
        if (!token->is_being_fetched) {
            status = fetch_locked(client, call, host, repository, token, err);
            break; // however short it lives, it was fetched for us
        }
        while (status == 0 && fetches == token->fetches)
            status = registry_client_wait_locked(client, call, err);
        // Who was cancelled while fetching leaves it to the next one.
        if (status == 0 && token->fetch_err.errnum != 0 && token->fetch_err.errnum != EINTR) {
            *err = token->fetch_err;
            status = -err->errnum;
        }
    }
    return status < 0 ? status : use_locked(token, is_fresh, ret_use, err);
}

int registry_token_acquire(struct registry_client *client, struct call *call, struct host *host,
                           const char *repository, struct token_use *ret_use, struct err *err)
{
    int status = 0;
    pthread_mutex_lock(&client->lock);
    if (host->learnt.asks_for == HOST_ASKS_UNKNOWN || host->learnt.asks_for == HOST_ASKS_NOTHING) {
        pthread_mutex_unlock(&client->lock);
        *ret_use = (struct token_use){0};
        return 0;
    }
    struct token *token = find_locked(client, host, repository);
    if (token == NULL)
        token = make_locked(client, host, repository);
    if (token == NULL) {
        status = err_no_memory(err);
    } else {
        token->users++;
        status = acquire_locked(client, call, host, repository, token, ret_use, err);
        token->users--;
    }
    pthread_mutex_unlock(&client->lock);
    return status;
}

// ---- refusals ----------------------------------------------------------------------------------

// Whether the challenge asks for another scope than the token had; then it is taken over.
static bool take_scope_locked(struct token *token, const char *repository, const char *scope)
{
    auto_free char *usual = NULL;
    if (scope == NULL)
        return false;
    if (asprintf(&usual, "repository:%s:pull", repository) < 0) {
        usual = NULL;
        return false;
    }
    if (strcmp(scope, token->scope != NULL ? token->scope : usual) == 0)
        return false;
    char *copy = strdup(scope);
    if (copy == NULL)
        return false;
    free(token->scope);
    token->scope = copy;
    return true;
}

static enum token_advice refused_locked(struct token *token, const char *repository,
                                        const struct token_use *use, int status, const char *scope)
{
    if (token == NULL || token->number != use->number ||
        token->kind != token->host->learnt.asks_for)
        return TOKEN_RENEWED;
    token->is_good = false;
    if (take_scope_locked(token, repository, scope) || !use->is_fresh)
        return TOKEN_RENEWED;
    if (use->is_of_a_login) {
        token->refused = token->grant.login;
        // A token was granted for the credentials, so they are right; Basic's 401 says they are
        // not.
        token->refused.is_wrong = status == 401 && token->host->learnt.asks_for == HOST_ASKS_BASIC;
        return TOKEN_ANONYMOUS;
    }
    // Perhaps the registry erred about the login: the next request tries it again.
    token->refused.is_set = false;
    return TOKEN_REFUSED;
}

enum token_advice registry_token_refused(struct registry_client *client, struct host *host,
                                         const char *repository, const struct token_use *use,
                                         int status, const char *scope)
{
    pthread_mutex_lock(&client->lock);
    struct token *token = find_locked(client, host, repository);
    enum token_advice advice = refused_locked(token, repository, use, status, scope);
    pthread_mutex_unlock(&client->lock);
    return advice;
}
