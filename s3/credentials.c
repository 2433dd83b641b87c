#include "credentials.h"

#include <stdatomic.h>
#include <string.h>

struct s3_credentials {
    atomic_uint references;
    char *access_key;
    struct secret *secret_key;
    struct secret *session_token; // NULL for an IAM user's own keys
    int64_t expires_ms;
};

struct s3_credentials *s3_credentials_new(const char *access_key, const struct secret *secret_key,
                                          const struct secret *session_token, int64_t expires_ms)
{
    struct s3_credentials *credentials = calloc(1, sizeof(*credentials));
    if (!credentials)
        return NULL;
    atomic_init(&credentials->references, 1);
    credentials->expires_ms = expires_ms;
    credentials->access_key = strdup(access_key);
    credentials->secret_key = secret_copy(secret_key);
    credentials->session_token = secret_copy(session_token);
    if (!credentials->access_key || !credentials->secret_key ||
        (session_token && !credentials->session_token)) {
        s3_credentials_unref(credentials);
        return NULL;
    }
    return credentials;
}

struct s3_credentials *s3_credentials_ref(struct s3_credentials *credentials)
{
    atomic_fetch_add(&credentials->references, 1);
    return credentials;
}

void s3_credentials_unref(struct s3_credentials *credentials)
{
    if (!credentials || atomic_fetch_sub(&credentials->references, 1) != 1)
        return;
    secret_free(credentials->session_token);
    secret_free(credentials->secret_key);
    free(credentials->access_key);
    free(credentials);
}

const char *s3_credentials_access_key(const struct s3_credentials *credentials)
{
    return credentials->access_key;
}

int64_t s3_credentials_expires_ms(const struct s3_credentials *credentials)
{
    return credentials->expires_ms;
}

const struct secret *s3_credentials_secret_key(const struct s3_credentials *credentials)
{
    return credentials->secret_key;
}

const struct secret *s3_credentials_session_token(const struct s3_credentials *credentials)
{
    return credentials->session_token;
}

bool s3_credentials_equal(const struct s3_credentials *a, const struct s3_credentials *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a->access_key, b->access_key) == 0 &&
           strcmp(secret_text(a->secret_key), secret_text(b->secret_key)) == 0 &&
           strcmp(secret_text(a->session_token), secret_text(b->session_token)) == 0;
}
