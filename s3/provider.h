// provider.h - where credentials come from: the chain of sources, in the AWS tools' order.
//
// A source is a row of the table in provider.c and a file of its own. s3_provider_new asks them
// in order; the first that has credentials is kept, and only that one is asked again when they
// run out: it reads files, variables and servers anew each time and keeps nothing itself. A source
// that is configured but broken (half a key pair, a file that cannot be parsed, a role that is
// refused) ends the search with its error: to go on would sign as somebody else.
#pragma once

#include "base/buf.h"
#include "credentials.h"
#include "s3.h"

enum {
    // Credentials are renewed when they have less than this to live: a request that starts now
    // must still be accepted when it arrives, and a part may take minutes.
    S3_PROVIDER_RENEW_MS = 5 * 60 * 1000,
    // ... and after a renewal not again before this, while the old ones still live ...
    S3_PROVIDER_RETRY_MS = 30 * 1000,
    // ... and this, when they have expired: every request fails until it succeeds.
    S3_PROVIDER_HURRY_MS = 2 * 1000,
};

// What a source may use.
struct s3_chain {
    const char *profile; // as the options name it, NULL where they do not
    const struct s3_environment *environment;
    const struct clock *clock;
    struct http_client *http;
    struct call *call;
    const char *region;       // where roles are asked for
    const char *sts_endpoint; // NULL: AWS's for the region
    struct buf *looked_at;    // where nothing was found: sentences' pieces, "; " between them
};

struct s3_source {
    const char *name; // "environment variables"
    // 0, ENOENT (this source says nothing; what was looked at is appended), or an error.
    int (*find)(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                struct err *err);
    bool is_fixed; // what it says never changes: it is asked once
};

// Says what was looked at and why it gave nothing.
void s3_chain_note(const struct s3_chain *chain, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (or its old name
// AWS_SECURITY_TOKEN), AWS_CREDENTIAL_EXPIRATION. EACCES where only the access key is there.
int s3_source_environment(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                          struct err *err);
// role_arn of the profile, assumed with the credentials of its source_profile, which may be
// another role, or of its credential_source.
int s3_source_role(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                   struct err *err);
// A role for the token in a file: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN,
// AWS_ROLE_SESSION_NAME, or the profile's properties of these names.
int s3_source_web_identity(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                           struct err *err);
// AWS_ROLE_ARN for the token that GitHub Actions gives a job (ACTIONS_ID_TOKEN_REQUEST_URL and
// _TOKEN).
int s3_source_github(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                     struct err *err);
// aws_access_key_id, aws_secret_access_key, aws_session_token (or aws_security_token) of the
// profile, in one of the two files; or what its credential_process prints. Asked again, it reads
// the files again: tools that log in write fresh keys there.
int s3_source_profile(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                      struct err *err);
// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, _FULL_URI: what ECS and EKS give to containers.
int s3_source_container(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                        struct err *err);
// The role of the EC2 instance, from its metadata service (IMDSv2, and v1 where that must be).
int s3_source_instance(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                       struct err *err);

// Always these: for requests that a source itself makes.
int s3_provider_new_fixed(struct s3_credentials *credentials, const struct clock *clock,
                          struct s3_provider **ret_provider, struct err *err);

// The server said that `used` have expired. Waits for a renewal where nobody has replaced them
// yet; true when there are others by now, so that one more try makes sense.
bool s3_provider_replace(struct s3_provider *provider, struct call *call,
                         const struct s3_credentials *used);
