// pump.h - moves the bytes of one image: registry -> memory -> hashes and S3, part by part.
//
// An uploaded part of the plan is a buffer that is filled by ranged reads of the registry, several
// parts at once; hashed in the file's order; and uploaded. A buffer is given back when it has been
// both hashed and uploaded, so bytes in flight never exceed the mount's `memory`. Tasks run on
// three pools: `fetches` and `uploads`, which wait for the network, each in its direction, and
// `hashers`, which compute.
//
// A copied part moves inside the store. Where it belongs to the file's first bytes, whose hash is
// known (runs->midstates), nothing of it is read but its tar headers, which must be the expected
// ones; behind that it is also read once, for the file's hash and the blobs' digests.
//
// A blob whose bytes do not match its digest is moved once more, from the part in which it begins;
// the second time the pump fails with EBADMSG. Whatever goes wrong with a copy or with what is read
// from its source ends the pump quietly with pump_is_stale: the image is to be moved again, without
// copies. Any other failure is final: requests were retried by the rooms below.
#pragma once

#include "../memory.h"
#include "../workers.h"
#include "base/call.h"
#include "base/digest.h"
#include "base/err.h"
#include "layer_index.h"
#include "plan.h"
#include "registry.h"
#include "s3.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

struct pump;

struct pump_options { // all stay the caller's and outlive the pump
    struct workers *fetches;
    struct workers *uploads;
    // The publish's, in these pools; copies and uploads take turns, so that neither side's network
    // waits for the other.
    struct lane *fetch_lane, *upload_lane, *copy_lane;
    struct workers *hashers;
    struct memory *memory;
    struct s3_client *client;
    struct registry_client *registry;
    const struct registry_image *image;
    const struct archive *archive;
    const struct plan *plan;
    const struct layer_runs *runs; // that the plan was made of
    const struct s3_upload *upload;
    // What would be copied is left out of the upload, which will not be completed: the whole object
    // is copied instead. All else is done: headers compared, digests computed.
    bool leaves_copies_out;
    struct call *call;
    struct status_row *status;
    // Called once, as soon as something failed for good: nothing more of this image will be wanted.
    // From any thread, no lock held; the pump winds down and calls `ended` all the same.
    void (*failed)(void *context, const struct err *err);
    // Called once, when no task of the pump runs any more. It may be freed from here.
    void (*ended)(void *context, struct pump *pump);
    void *context;
};
int pump_new(const struct pump_options *options, struct pump **ret_pump, struct err *err);
void pump_start(struct pump *pump);
void pump_free(struct pump *pump); // accepts NULL; only before pump_start or after `ended`

const struct err *pump_error(const struct pump *pump); // NULL where all went well; after `ended`
bool pump_is_stale(const struct pump *pump);           // it was a copy that failed
// What came out; valid after `ended` when pump_error is NULL.
const struct s3_part *pump_parts(const struct pump *pump); // plan->part_count of them
void pump_sha256(const struct pump *pump, char ret_hex[SHA256_HEX_SIZE]);
// The file's midstate where the tar header of archive blob `blob_index` begins, for
// blob_index == blob_count where the layers end. NULL where it is not known.
const struct record_midstate *pump_midstate(const struct pump *pump, size_t blob_index);
