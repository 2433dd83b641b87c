// challenge.h - the parser of WWW-Authenticate (RFC 9110 section 11.6.1, RFC 6750 section 3).
// Pure and total: the text comes from whoever answers under a registry's name.
#pragma once

#include <stddef.h>

enum challenge_scheme {
    CHALLENGE_OTHER, // Negotiate, Digest, ...: nothing that registries need
    CHALLENGE_BASIC,
    CHALLENGE_BEARER,
};

struct challenge {
    enum challenge_scheme scheme;
    char *realm; // these four are NULL where they are not given
    char *service;
    char *scope;
    char *error;
};

enum {
    CHALLENGES_MAX = 8,             // of one header; more is refused
    CHALLENGE_VALUE_MAX = 4 * 1024, // bytes of one value; ECR's and GHCR's realms have under 100
};

struct challenges {
    struct challenge list[CHALLENGES_MAX];
    size_t count;
};

// All challenges of one header's text, in its order. 0; -EINVAL where the text breaks the
// grammar, says a parameter twice or passes a limit; -ENOMEM.
int registry_challenges_parse(const char *text, struct challenges *ret_challenges);
void registry_challenges_done(struct challenges *challenges); // accepts NULL and zeroed
void registry_challenge_done(struct challenge *challenge);
