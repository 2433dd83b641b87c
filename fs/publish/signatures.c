#include "signatures.h"

#include "image_record.h"
#include "reference_file.h"

#include "../path.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define METADATA_OF "prereleasefs-signatures-of" // the image's digest
#define METADATA_SIGNATURES "prereleasefs-signatures"

// ---- what stands there already -----------------------------------------------------------------

// The digest of the image that an object says it is about, by its metadata or its record; "" where
// it says nothing.
static void digest_of(const struct image *image, struct call *call, const struct s3_head *head,
                      char ret_digest[REGISTRY_DIGEST_SIZE])
{
    const struct store_place *place = image->place->store;
    const char *said = s3_head_metadata(head, METADATA_OF);
    struct record *record = NULL;
    struct err ignored = {0};
    ret_digest[0] = '\0';
    if (said) {
        snprintf(ret_digest, REGISTRY_DIGEST_SIZE, "%s", said);
    } else if (record_load(place->client, call, place->prefix, image->key, head->etag, &record,
                           &ignored) == 0) {
        memcpy(ret_digest, record->referrers.of, REGISTRY_DIGEST_SIZE);
        record_free(record);
    }
}

static bool is_text(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static int set_taken(const struct image *image, const char *digest, const char *remedy,
                     struct err *err)
{
    const char *own = registry_image_digest(image->resolved);
    if (*digest == '\0')
        return err_set(err, EEXIST,
                       "an object that is not known to hold signatures of %s stands under their "
                       "name, %s: %s",
                       own, image->name, remedy);
    return err_set(err, EEXIST, "%s stands there already with signatures of another image, %s: %s",
                   image->name, digest, remedy);
}

// As completion_judge.
static int judge(void *context, struct call *call, const struct s3_head *head, struct err *err)
{
    struct image *image = context;
    char digest[REGISTRY_DIGEST_SIZE];
    digest_of(image, call, head, digest);
    bool is_about_it = is_text(digest, registry_image_digest(image->resolved));
    if (is_about_it &&
        is_text(s3_head_metadata(head, METADATA_SIGNATURES), image->of->referrers->sha256) &&
        is_text(s3_head_metadata(head, IMAGE_METADATA_TAG), image->line->tag) &&
        head->size_bytes == image->archive->size_bytes)
        return 1;
    if (image->place->may_overwrite)
        return 0;
    image->is_kept = is_about_it;
    return is_about_it ? 1
                       : set_taken(image, digest,
                                   "choose another name for the image, or remove them first", err);
}

// Where the registry has none: those of another image must not stand beside this one.
static int check_none_stands(struct image *image, struct call *call, struct err *err)
{
    struct image *signatures = image->signatures;
    struct s3_head head = {0};
    char digest[REGISTRY_DIGEST_SIZE];
    int error = s3_object_head(image->place->store->client, call, signatures->key, &head, err);
    if (error < 0)
        return error == -ENOENT ? 0 : error;
    digest_of(signatures, call, &head, digest);
    s3_head_done(&head);
    signatures->is_kept = is_text(digest, registry_image_digest(image->resolved));
    if (signatures->is_kept || *digest == '\0')
        return 0;
    return set_taken(signatures, digest,
                     "the registry has none of this one; remove them first, or choose another "
                     "name for the image",
                     err);
}

// ---- finding -----------------------------------------------------------------------------------

static int check_policy(const struct image *image, struct call *call, struct err *err)
{
    const struct signature_policy *policy = image->place->policy;
    if (policy->verify_key &&
        registry_signature_verify(image->place->registry, call, image->resolved, image->referrers,
                                  policy->verify_key, err) < 0)
        return -err->errnum;
    if (!policy->requires_signature || image->referrers->is_signed)
        return 0;
    return err_set(err, EKEYREJECTED,
                   "%s: %s has no signature, and the mount's signatures=require demands one: sign "
                   "it, or publish one that is signed",
                   image->line->reference.text, registry_image_digest(image->resolved));
}

int signatures_find(struct image *image, struct call *call, struct err *err)
{
    if (registry_referrers_find(image->place->registry, call, image->resolved, &image->referrers,
                                err) < 0)
        return -err->errnum;
    image->signatures->resolved = image->resolved;
    if (check_policy(image, call, err) < 0)
        return -err->errnum;
    return image->referrers->count > 0 ? 0 : check_none_stands(image, call, err);
}

// ---- the tarball -------------------------------------------------------------------------------

static int lay_out(struct image *image, struct call *call, struct err *err)
{
    (void)call;
    if (strlen(image->name) > PATH_NAME_MAX)
        return err_set(err, ENAMETOOLONG,
                       "the image has signatures, and their file's name, %s, is longer than %d "
                       "bytes: give the image a shorter NAME",
                       image->name, PATH_NAME_MAX);
    return archive_new_referrers(image->resolved, image->of->referrers, image->line->tag,
                                 image_format(image), &image->archive, err);
}

static void fill_metadata(const struct image *image, struct image_metadata *ret_metadata)
{
    ret_metadata->pairs[0] =
        (struct s3_metadata){METADATA_OF, registry_image_digest(image->resolved)};
    ret_metadata->pairs[1] =
        (struct s3_metadata){METADATA_SIGNATURES, image->of->referrers->sha256};
    ret_metadata->pairs[2] = (struct s3_metadata){IMAGE_METADATA_TAG, image->line->tag};
}

void signatures_fill_record(const struct image *image, struct record_referrers *ret_referrers)
{
    const struct registry_referrers *found = image->referrers;
    *ret_referrers = (struct record_referrers){.is_known = true, .left_out = found->left_out};
    for (size_t i = 0; i < REGISTRY_REFERRER_KINDS; i++)
        ret_referrers->statements[i] = found->statements[i];
    if (image->place->policy->verify_key)
        memcpy(ret_referrers->verified_by, public_key_sha256(image->place->policy->verify_key),
               SHA256_HEX_SIZE);
    for (size_t i = 0; i < image->resolved->other_count; i++)
        ret_referrers->buildx += image->resolved->others[i]->is_attestation;
}

static int make_record(void *context, const char *etag, struct record **ret_record, struct err *err)
{
    const struct image *image = context;
    struct record *record = image_begin_record(image, etag);
    if (!record)
        return err_no_memory(err);
    signatures_fill_record(image->of, &record->referrers);
    memcpy(record->referrers.of, registry_image_digest(image->resolved), REGISTRY_DIGEST_SIZE);
    *ret_record = record;
    return 0;
}

const struct image_kind signatures_kind = {
    .lay_out = lay_out,
    .fill_metadata = fill_metadata,
    .judge = judge,
    .make_record = make_record,
};

// ---- words -------------------------------------------------------------------------------------

void signatures_fill_note(const struct image *image, char *ret_note, size_t size)
{
    ret_note[0] = '\0';
    if (image->of) {
        if (image->is_kept)
            snprintf(ret_note, size,
                     "the registry has others by now; these stay until they are removed, or a "
                     "mount with -o overwrite publishes the image again");
        return;
    }
    if (!image->referrers)
        return;
    auto_buf struct buf text = BUF_INIT(RECORD_REFERRERS_TEXT_SIZE);
    struct record_referrers found;
    signatures_fill_record(image, &found);
    (void)record_referrers_text(&found, &text);
    if (image->referrers->count > 0)
        snprintf(ret_note, size, "%s, carried in %s", buf_text(&text), image->signatures->name);
    else if (image->signatures->is_kept)
        snprintf(ret_note, size, "no signatures at the registry any more; %s stays",
                 image->signatures->name);
    else
        snprintf(ret_note, size, "%s", found.buildx ? buf_text(&text) : "no signatures");
}
