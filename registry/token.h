// token.h - the tokens that the room holds, one for each repository (also where the host wants
// Basic: what one repository refuses another may allow). Fetched once for all who wait, kept until
// shortly before they end, renewed when a request that carried one is refused.
#pragma once

#include "grant.h"

enum { TOKENS_MAX = 512 }; // beyond, tokens that have ended are dropped

// What one request is sent with.
struct token_use {
    struct secret *authorization; // a copy; NULL for none
    uint64_t number;              // of the token; 0: none was needed, as far as is known
    bool is_fresh;                // it was fetched for this request, or while it waited
    bool is_of_a_login;           // not anonymous
    bool login_is_wrong; // anonymous, because the credentials that there are were refused as such
    char whose[256];     // see struct login; "" with number 0
};
void registry_token_use_done(struct token_use *use); // accepts NULL and zeroed

// Blocks while it is fetched, here or on another thread. Errors: registry_grant_obtain's.
int registry_token_acquire(struct registry_client *client, struct call *call, struct host *host,
                           const char *repository, struct token_use *ret_use, struct err *err);

enum token_advice {
    TOKEN_RENEWED,   // ask again: with a newer token, or one of the scope that was asked for
    TOKEN_ANONYMOUS, // ask again: the credentials are refused, without them it may be readable
    TOKEN_REFUSED,   // there is nothing more to try
};
// A request that carried *use was refused with `status` (401, 403). `scope` is what the answer's
// challenge asked for, or NULL.
enum token_advice registry_token_refused(struct registry_client *client, struct host *host,
                                         const char *repository, const struct token_use *use,
                                         int status, const char *scope);

void registry_tokens_free(struct registry_client *client);
