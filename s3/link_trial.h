// link_trial.h - whether a link leads anywhere. What a role, a session policy or a key's policy
// lacks shows in no answer of STS: the links just answer 403 to the customer. So one is tried here
// first, with a GET of one byte.
#pragma once

#include "client.h"

struct link_trial {
    struct s3_client *client;
    const char *url; // signed; it enters no sentence
    const char *key;
    const char *access_key; // of the session that signed it
    const char *signer;     // for sentences: the role's ARN, or presign_profile='s user
    const char *kms_key;    // that the session's policy names, or NULL
};

// Asks once. EACCES where the store says that the link's holder may not read the object, or not
// decrypt it; EINTR. 0 for everything else, and *ret_is_proven says whether the object was to be
// had: a store that fails just now, or an object that is gone, is no reason to keep links back.
int link_trial_run(const struct link_trial *trial, struct call *call, bool *ret_is_proven,
                   struct err *err);
