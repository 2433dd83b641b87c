// source_environment.c - credentials from the environment's variables. See provider.h.

#include "environment.h"
#include "provider.h"

#include <errno.h>

int s3_source_environment(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                          struct err *err)
{
    const struct s3_environment *environment = chain->environment;
    const char *access_key = s3_environment_get(environment, "AWS_ACCESS_KEY_ID");
    if (chain->profile)
        return -ENOENT; // a profile that was asked for by name goes before them
    if (!access_key) {
        s3_chain_note(chain, "AWS_ACCESS_KEY_ID is not set");
        return -ENOENT;
    }
    const char *secret_key_text = s3_environment_get(environment, "AWS_SECRET_ACCESS_KEY");
    if (!secret_key_text)
        return err_set(err, EACCES,
                       "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both");
    const char *token_text = s3_environment_get(environment, "AWS_SESSION_TOKEN");
    if (!token_text)
        token_text = s3_environment_get(environment, "AWS_SECURITY_TOKEN");

    int64_t expires_ms = INT64_MAX;
    const char *expiration = s3_environment_get(environment, "AWS_CREDENTIAL_EXPIRATION");
    if (expiration)
        (void)clock_parse_rfc3339(expiration, &expires_ms);

    auto_secret struct secret *secret_key = secret_from_text(secret_key_text);
    auto_secret struct secret *token = secret_from_text(token_text);
    if (!secret_key || (token_text && !token))
        return err_no_memory(err);
    *ret_credentials = s3_credentials_new(access_key, secret_key, token, expires_ms);
    return *ret_credentials ? 0 : err_no_memory(err);
}
