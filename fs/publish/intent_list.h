// intent_list.h - the intents that stand in the bucket, read and judged.
//
// Anyone may have written what stands there: what is no intent is passed over, and numbers are
// bounded.
#pragma once

#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"
#include "intent.h"
#include "s3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INTENTS_MAX = 10000 }; // in one folder; EFBIG with more

struct intent_place { // all the caller's
    struct s3_client *client;
    const struct clock *clock;
    const char *prefix; // of the mount
    const struct intent_origin *self;
};

struct intent_stored {
    char *object_key;
    int64_t written_ms; // LastModified, by the store's clock
    // Filled by intent_list_read:
    struct intent *intent; // NULL: deleted meanwhile, or no intent
    bool is_newer;         // a newer program's, which this one cannot read
    bool is_dead;          // its process is
};

struct intent_list {
    struct intent_stored *items;
    size_t count;
};

// What stands below a folder (intent_prefix), not read yet. The caller ends the list in any case.
int intent_list_find(const struct intent_place *place, struct call *call, const char *folder,
                     struct intent_list *list, struct err *err);
// An error only where the store cannot be asked.
int intent_list_read(const struct intent_place *place, struct call *call, struct intent_list *list,
                     struct err *err);
void intent_list_done(struct intent_list *list); // accepts zeroed
