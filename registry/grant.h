// grant.h - obtaining the right to read one repository: from docker's credentials, straight
// (Basic) or through the registry's token server (Bearer; the "Docker Registry v2
// authentication via central service" specification; with an identity token, its "Token
// Authentication using OAuth 2.0": a POST with grant_type=refresh_token). Keeps nothing: token.h
// does.
//
// Tokens are opaque (GHCR's are no JWTs): only their age in `expires_in` is believed.
#pragma once

#include "host.h"

#include "base/digest.h"

enum {
    GRANT_BASIC_LIFETIME_MS = 5 * 60 * 1000, // after that, config.json is read again
    GRANT_TOKEN_LIFETIME_MS = 60 * 1000,     // where the server says none: the specification's
    GRANT_TOKEN_LIFETIME_MAX_MS = 24 * 3600 * 1000,
    GRANT_MARGIN_MS = 30 * 1000, // a token is renewed that long before its end, or after 3/4 of it
    GRANT_ANSWER_LIMIT = 128 * 1024, // bytes of a token server's answer; Azure's tokens have 2 KiB
    GRANT_TOKEN_MAX = 32 * 1024,     // bytes of a token; larger ones fit in no header
};

// A login by its hash, so that it can be remembered without being kept.
struct login_mark {
    bool is_set;
    bool is_wrong; // of a refused one: as such, not just for this repository
    uint8_t sha256[SHA256_SIZE];
};

struct grant {
    struct secret *authorization; // NULL: anonymous, and the host wants to see none
    struct login_mark login;      // that it was obtained with; not set: anonymous
    struct login_mark refused;    // a login that was tried first, and that the server refused
    int64_t lifetime_ms;          // margin taken off
    char whose[256];              // see struct login
};
void registry_grant_done(struct grant *grant); // accepts NULL and zeroed

// Asks for what `host` is known to ask for. `scope` NULL: "repository:REPOSITORY:pull".
// A login whose mark is *refused is not tried again; one that the token server refuses is
// followed by an anonymous try (call->on_notice is told). EACCES when both are refused. What may be
// tried again is not tried here: is_retryable says so.
int registry_grant_obtain(struct registry_client *client, struct call *call, struct host *host,
                          const char *repository, const char *scope,
                          const struct login_mark *refused, struct grant *ret_grant,
                          struct err *err);

// Rewords an EACCES answer: what may be the matter, and with whose credentials it was asked.
// was_refused: the credentials were refused as such, and then it was asked without.
int registry_grant_refused_err(struct err *err, const struct host *host, const char *whose,
                               bool was_refused);
