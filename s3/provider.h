// provider.h - where credentials come from: the chain of sources, in the AWS tools' order.
//
// A source is a row of the table in provider.c and a file of its own. s3_provider_new asks them
// in order; the first that has credentials is kept, and only that one is asked again when they
// run out. A source that is configured but broken (half a key pair, a file that cannot be
// parsed) ends the search with its error: to go on would sign as somebody else.
#pragma once

#include "base/buf.h"
#include "credentials.h"
#include "s3.h"

enum {
    // Credentials are renewed when they have less than this to live: a request that starts now
    // must still be accepted when it arrives, and a part may take minutes.
    S3_PROVIDER_RENEW_MS = 5 * 60 * 1000,
    // ... and after a failed renewal not again before this, while the old ones still live.
    S3_PROVIDER_RETRY_MS = 30 * 1000,
};

// What a source may use.
struct s3_chain {
    const char *profile; // as the options name it, NULL where they do not
    const struct s3_environment *environment;
    const struct clock *clock;
    struct http_client *http;
    struct call *call;     // NULL while the provider is made
    struct buf *looked_at; // where nothing was found: sentences' pieces, "; " between them
};

struct s3_source {
    const char *name; // "environment variables"
    // 0, ENOENT (this source says nothing; what was looked at is appended), or an error.
    int (*find)(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                struct err *err);
    // Fresh ones in place of those that run out; NULL for a source that never changes.
    int (*renew)(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                 struct err *err);
};

// Says what was looked at and why it gave nothing.
void s3_chain_note(const struct s3_chain *chain, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (or its old name
// AWS_SECURITY_TOKEN), AWS_CREDENTIAL_EXPIRATION. EACCES where only the access key is there.
int s3_source_environment(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                          struct err *err);
// aws_access_key_id, aws_secret_access_key, aws_session_token (or aws_security_token) of the
// profile, in one of the two files. Asked again, it reads the files again: tools that log in
// write fresh keys there.
int s3_source_profile_keys(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                           struct err *err);

// The server said that `used` have expired. True when there are others by now, so that one more
// try makes sense.
bool s3_provider_replace(struct s3_provider *provider, struct call *call,
                         const struct s3_credentials *used);
