// intent_sweep.h - finds and aborts what uploads a dead process has left; nothing else, ever.
//
// An upload is aborted when all of this holds:
//   - an intent of this host names its key, and the intent's process is dead (intent_origin.h);
//   - it began after that intent was written, by the store's own times;
//   - no intent whose process may live names the same key and was written before it began.
// The last is asked after the uploads were listed: an intent is stored before its uploads begin,
// so the intent of an upload that has been seen can be seen too, or its write has ended since.
// No intent is ever taken for more than a hint of where to look.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "intent.h"
#include "intent_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INTENT_CLOCKS_APART_MS = 1000, // of one store's servers
    // A request that was under way when its process died may take effect after it was looked for.
    INTENT_SETTLE_MS = 5 * 1000,
    // No publish takes longer: older intents of others protect nothing (their host died, and the
    // bucket's lifecycle rule has long aborted what it left).
    INTENT_CLAIM_MAX_MS = 7 * 24 * 3600 * 1000,
    INTENT_STRAYS_MAX = 10000, // uploads aborted by one sweep; the next mount does the rest
};

// An intent whose uploads are to be aborted.
struct intent_suspect {
    char *object_key;
    int64_t written_ms; // by the store's clock
    struct intent *intent;
    // Filled by intent_sweep_abort:
    size_t aborted_count; // uploads, by all sweeps so far
    bool is_unclear; // something may be left: a failure, or an upload that may as well be another's
};
void intent_suspects_free(struct intent_suspect *suspects, size_t count); // accepts NULL

// The intents of dead processes of this host; with none stored one request. What cannot be read
// or judged is passed over; an error only where the store cannot be asked.
int intent_sweep_find(const struct intent_place *place, struct call *call,
                      struct intent_suspect **ret_suspects, size_t *ret_count, struct err *err);
// Aborts their uploads, and says so in the log. What can be done is done also when there is an
// error; its sentence names the permission that is missing, if that is it.
int intent_sweep_abort(const struct intent_place *place, struct call *call,
                       struct intent_suspect *suspects, size_t count, struct err *err);
// Waits INTENT_SETTLE_MS, unless cancelled: EINTR.
int intent_sweep_wait(const struct intent_place *place, struct call *call, struct err *err);
// All of it: finds, aborts, waits INTENT_SETTLE_MS, looks once more, and deletes the intents that
// have nothing left. What fails is left to the next mount.
int intent_sweep_run(const struct intent_place *place, struct call *call, struct err *err);
