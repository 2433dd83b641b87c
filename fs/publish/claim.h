// claim.h - who may complete an upload under a name, where the store does not settle that itself.
//
// Some stores ignore If-None-Match on CompleteMultipartUpload and honour it on PutObject. There a
// mount that is about to complete stores a small object of the name's own first, which only one can
// store. It looks at the name once more, completes, and deletes the claim. A claim binds others for
// as long as the upload that it names is there: it needs no clock, and nobody has to be known to be
// alive. See docs/decisions/unique-names.md.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "s3.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { CLAIM_WAIT_MS = 30 * 1000 }; // for another mount that completes under the same name

struct claims { // of one mount
    struct s3_client *client;
    const char *prefix;     // the mount's; the caller's
    atomic_bool is_refused; // no claims can be stored, and that has been told
};

struct claim {
    unsigned count; // how many stand for the name, ours the last of them; 0: none is held
};

// Whether the store needs claims, and has not refused one so far.
bool claims_are_needed(const struct claims *claims);
// 0 also where the store needs none or lets none be stored, which is told once: nothing is held
// then. EBUSY where another upload's claim did not end in time.
int claim_take(struct claims *claims, struct call *call, const struct s3_upload *upload,
               struct claim *ret_claim, struct err *err);
// For when an object stands under the name: nobody needs the claims on it any more. Where none
// does, they are left to whoever claims the name next, since another may have by now.
void claim_drop(struct claims *claims, struct call *call, const char *key, struct claim *claim);
