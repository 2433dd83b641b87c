// reference.h - the grammar of names in a registry, for this room's own parsers.
//
// Pure; every function takes any bytes. The grammar is that of the OCI distribution
// specification (repository, tag) and of the image specification (digest).
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    REFERENCE_TEXT_MAX = 1024,      // bytes of a whole reference; longer ones name nothing
    REFERENCE_HOST_MAX = 255,       // a DNS name's limit, port included
    REFERENCE_REPOSITORY_MAX = 255, // bytes; the distribution specification's advice
    REFERENCE_TAG_MAX = 128,        // bytes; the distribution specification's limit
};

// "sha256:" and 64 lower-case hex digits.
bool registry_digest_is_sha256(const char *text);

// "ALGORITHM:ENCODED" as the image specification writes digests, of whatever algorithm.
bool registry_digest_is_wellformed(const char *text);
