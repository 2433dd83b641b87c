// completion.h - a multipart upload whose parts are all there becomes the object of its name, with
// its record, and nothing that stands there is silently replaced.
//
// In this order: the name is claimed, where the store does not settle races itself (claim.h); what
// stands there is looked at; the record is stored under the ETag that the object will have; the
// upload is completed if nothing stands there; what stands there then is looked at once more, for
// stores that ignore the condition. See docs/decisions/unique-names.md and records.md.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "intents.h"
#include "record.h"
#include "s3.h"
#include "store_place.h"

#include <stdbool.h>

// Whether what stands under the name is the very same already: 1; 0 where it may be replaced; below
// 0 where it may not (EEXIST), or it could not be told.
typedef int (*completion_judge)(void *context, struct call *call, const struct s3_head *head,
                                struct err *err);
typedef int (*completion_record)(void *context, const char *etag, struct record **ret_record,
                                 struct err *err); // *ret_record may stay NULL: there is none

struct completion {
    struct store_place *place;
    const struct s3_upload *upload;
    const struct s3_part *parts; // in order
    size_t part_count;
    // Instead of the parts: the whole of an object that holds these very bytes, where the name's
    // claim is held meanwhile, since nothing else guards the name then. ESTALE where that did not
    // come about, whatever the reason. The upload is left to be aborted. NULL: the parts.
    const struct s3_copy *copy;
    uint64_t size_bytes;
    const char *token; // of the upload's own metadata, IMAGE_METADATA_UPLOAD
    bool may_overwrite;
    completion_judge judge;
    completion_record make_record;
    void *context; // of both

    // Set by completion_run.
    bool is_completed; // there is no upload to abort any more
    bool is_unchanged; // the very same stood there already: the upload is left to be aborted
    bool is_name_taken;
    struct claim claim;
    struct record *record; // stored; the caller's. NULL: none was
};

enum { COMPLETION_TOKEN_SIZE = 33 }; // 128 random bits in hex
int completion_token(char ret_token[COMPLETION_TOKEN_SIZE], struct err *err);
// Begins an upload: the intent is declared first, and doubts where its id may have got lost.
int completion_begin(const struct store_place *place, struct write_intent *intent,
                     struct call *call, const struct s3_put *put, struct s3_upload *ret_upload,
                     struct err *err);
// Insists for a while where the store does not let go: what remains then is the next mount's.
int completion_abort(const struct store_place *place, struct call *call,
                     const struct s3_upload *upload, struct err *err);

// The same, where nobody is told but the log: whether it remains.
bool completion_give_up(const struct store_place *place, struct call *call,
                        const struct s3_upload *upload);

// EEXIST where something else stands there; EBUSY where another's claim on the name did not end.
int completion_run(struct completion *completion, struct call *call, struct err *err);
// Afterwards, when nobody waits any more: gives up what others may wait for.
void completion_settle(struct completion *completion, struct call *call);
