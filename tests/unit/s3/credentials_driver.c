// Prints what the chain finds in this process's own environment, for credentials_botocore.py:
//
//     credentials_driver [PROFILE]
//
// Access key, secret key, session token (an empty line for none) and expiry ("never"), or, with
// status 1, the error's sentence.

#include "s3/credentials.h"

#include <inttypes.h>
#include <stdio.h>

int main(int argument_count, char **arguments)
{
    struct http_client *http = NULL;
    struct s3_provider *provider = NULL;
    struct s3_credentials *credentials = NULL;
    struct err err = {0};
    struct call call;
    call_init(&call, clock_system());
    struct http_options http_options = {.user_agent = "test/1"};
    int r = http_client_new(&http_options, &http, &err);
    struct s3_provider_options options = {
        .profile = argument_count > 1 ? arguments[1] : NULL,
        .environment = &s3_environment_process,
        .clock = clock_system(),
        .http = http,
    };
    if (r == 0)
        r = s3_provider_new(&options, &call, &provider, &err);
    if (r == 0)
        r = s3_provider_get(provider, &call, &credentials, &err);
    if (r < 0) {
        printf("%s\n", err.text);
    } else {
        int64_t expires_ms = s3_credentials_expires_ms(credentials);
        char expiry[CLOCK_RFC3339_SIZE] = "never";
        if (expires_ms != INT64_MAX)
            clock_format_rfc3339(expires_ms, expiry);
        printf("%s\n%s\n%s\n%s\n", s3_credentials_access_key(credentials),
               secret_text(s3_credentials_secret_key(credentials)),
               secret_text(s3_credentials_session_token(credentials)), expiry);
    }
    s3_credentials_unref(credentials);
    s3_provider_free(provider);
    http_client_free(http);
    return r < 0;
}
