// store_place.h - what everything works with that stores files in a mount's bucket: publishes,
// uploads, copies; and whether one may replace what stands under a name.
#pragma once

#include "../memory.h"
#include "../scratch.h"
#include "../tree.h"
#include "base/call.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "claim.h"
#include "intents.h"
#include "record_cache.h"
#include "s3.h"
#include "status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store_place { // of one mount; the service's, which outlives who works with it
    struct s3_client *client;
    const char *prefix; // the mount's, for what is kept beside the files
    struct tree *tree;
    struct status *status;
    struct record_cache *records;
    struct intents *intents;
    struct memory *memory;
    struct scratch *scratch;
    const struct clock *clock;
    int parallel; // requests at once, of each kind
    bool may_overwrite;
    struct claims claims;
    atomic_bool is_record_refused; // and that has been told
};

// False under releases/ in any case.
bool store_place_may_replace(const struct store_place *place, const char *directory);
// EEXIST: what stands there holds other bytes. Says what to do.
int store_place_refuse(const char *directory, const char *name, struct err *err);
// How such a sentence ends.
const char *store_place_remedy(const char *directory);

// The SHA-256 of one version of an object: its record's or, where it has none, that of its bytes,
// all of which are read then. false where it cannot be had.
bool store_place_sha256(const struct store_place *place, struct call *call, const char *key,
                        const char *etag, uint64_t size_bytes, char ret_sha256[SHA256_HEX_SIZE]);
