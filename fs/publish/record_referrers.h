// record_referrers.h - what a record says of signatures, attestations and SBOMs: how many of each
// were found when the image was published, and what was carried where. Pure.
#pragma once

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "registry.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { RECORD_REFERRERS_TEXT_SIZE = 256 };

struct record_referrers {
    bool is_known; // they were looked for; older versions did not
    uint64_t statements[REGISTRY_REFERRER_KINDS];
    uint64_t buildx;   // attestations inside the image's own tarball
    uint64_t left_out; // that a registry names and that could not be carried
    // The key that one of the signatures was checked with (public_key_sha256), or ""
    char verified_by[SHA256_HEX_SIZE];
    // Of the tarball that holds them, the image's digest; "" of the image itself.
    char of[REGISTRY_DIGEST_SIZE];
};

// "none", or how many of what: "signatures=2,attestations=1,sboms=1,others=1,buildx=1,left_out=1",
// and ",verified" where a key was given.
// "" where nobody looked.
int record_referrers_text(const struct record_referrers *referrers, struct buf *text);

// Whether there are any in a file beside the image's.
bool record_referrers_are_carried(const struct record_referrers *referrers);

// EBADMSG.
int record_referrers_check(const struct record_referrers *referrers, struct err *err);
// NULL on no memory.
json_t *record_referrers_to_json(const struct record_referrers *referrers);
// json NULL: a record of an older version. EBADMSG.
int record_referrers_from_json(const json_t *json, struct record_referrers *ret_referrers,
                               struct err *err);
