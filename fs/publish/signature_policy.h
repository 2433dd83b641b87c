// signature_policy.h - which images a mount publishes, as far as signatures decide.
#pragma once

#include "base/public_key.h"

#include <stdbool.h>

struct signature_policy {
    bool requires_signature;             // by anybody, looked at by nobody
    const struct public_key *verify_key; // by this key; NULL: any, and none
};
