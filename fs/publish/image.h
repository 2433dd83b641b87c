// image.h - one image on its way into the bucket: what it is, what is there already, what it
// becomes. The steps are blocking functions that the publish calls, in this order, on a thread of
// its own choosing:
//
//   image_prepare     the reference is resolved, the name looked at, an upload begun
//   (pump)            the bytes are moved and verified
//   image_complete    the record stored, the upload completed: from here on it is visible
//   image_undo        instead of image_complete: the upload is aborted
//
// An object carries who it is in its metadata (IMAGE_METADATA_*), so that the same image under
// the same name is recognised without anything else.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "completion.h"
#include "intents.h"
#include "layer_index.h"
#include "plan.h"
#include "pump.h"
#include "record_cache.h"
#include "reference_file.h"
#include "registry.h"
#include "s3.h"
#include "signature_policy.h"
#include "status.h"

#include <stdbool.h>
#include <sys/types.h>

#define IMAGE_METADATA_DIGEST "prereleasefs-digest"     // of the manifest inside
#define IMAGE_METADATA_PLATFORM "prereleasefs-platform" // "linux/amd64"
#define IMAGE_METADATA_TAG "prereleasefs-tag"           // what docker load calls it
#define IMAGE_METADATA_UPLOAD "prereleasefs-upload"     // 32 random hex digits, one upload's own

struct image_place { // where it goes and under which rules; all the caller's, outlives the image
    struct store_place *store;
    struct registry_client *registry;
    struct write_intent *intent; // declared before an upload begins
    struct layer_index index;
    bool may_overwrite; // and it is not under releases/
    bool is_alone;      // the only image of its write
    const struct signature_policy *policy;
    uid_t publisher_uid;
};

struct image;
struct image_metadata;

// What the tarball of an image and that of what refers to it (signatures.h) differ in.
struct image_kind {
    int (*lay_out)(struct image *image, struct call *call, struct err *err); // sets `archive`
    void (*fill_metadata)(const struct image *image, struct image_metadata *ret_metadata);
    completion_judge judge; // the context of both is the image
    completion_record make_record;
    bool has_layers; // that other images have too: they are copied, and found again
};
extern const struct image_kind image_kind;

struct image {
    const struct image_kind *kind;
    const struct image_place *place;
    const struct reference_line *line; // the publish's
    struct image *signatures;          // what is published beside it; NULL of these
    struct image *of;                  // of these, the image
    char *name;
    char *key;
    struct status_row *status; // NULL of signatures while it is not known that there are any
    bool is_without_copies;    // what they were copied from has let us down: every byte is moved

    // Set by image_prepare:
    bool is_unchanged; // the same image stands under that name: nothing to do
    bool is_kept;      // of signatures: others of the same image stand there, and stay
    struct registry_image *resolved;      // of signatures: the image's own
    struct registry_referrers *referrers; // of an image
    struct archive *archive;
    struct layer_runs runs; // what of it the bucket holds
    struct plan *plan;
    const struct record *twin; // of `runs`: that object is copied whole (image_twin.h); or NULL
    bool has_upload;
    char upload_token[COMPLETION_TOKEN_SIZE]; // IMAGE_METADATA_UPLOAD
    struct s3_upload upload;

    struct completion completion; // set by image_complete, until image_settle
    bool is_published;            // set by image_complete: the object stands under its name
    struct pump *pump; // the publish makes, starts and hands it over; ended when completing
};

// What identifies its object; points into the image and itself.
struct image_metadata {
    struct s3_metadata pairs[4];
};
enum { IMAGE_METADATA_OF_UPLOAD = 3 }; // the one that only this upload has
// The line's, but for the signatures of an artifact that is published as its file: a tar.
enum archive_format image_format(const struct image *image);
void image_fill_metadata(const struct image *image, struct image_metadata *ret_metadata);
// Its object but for the body; `metadata` must outlive it.
struct s3_put image_put(const struct image *image, const struct image_metadata *metadata);

// ENOENT, EACCES, EEXIST (another image stands under that name) and the rest of the spec's table.
int image_prepare(struct image *image, struct call *call, struct err *err);
// After the pump: ESTALE where an object that was copied from is not what it was, or not what its
// record says.
int image_check_sources(struct image *image, struct call *call, struct err *err);
// Back to before image_prepare, without the copies: aborts the upload, forgets everything.
int image_start_over(struct image *image, struct call *call, struct err *err);
// The pump has ended well. EEXIST where another host was faster with another image; where it was
// the same image, is_unchanged is set and the upload is left for image_undo. ESTALE where it is the
// copy of a whole object, and that is another by now: image_start_over.
int image_complete(struct image *image, struct call *call, struct err *err);
// After completing, when nobody waits any more: gives up what others may wait for.
void image_settle(struct image *image, struct call *call);
// Aborts the upload if there is one; `call` is not the cancelled one.
int image_undo(struct image *image, struct call *call, struct err *err);
void image_done(struct image *image); // accepts zeroed; nothing may be running
