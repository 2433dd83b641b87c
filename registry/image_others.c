// What stands in an image's index beside the image itself, and goes along with it.
#include "image_private.h"

#include "blob.h"
#include "platform.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    OTHERS_MAX = 64,
    JSON_LIMIT = 64 * 1024 * 1024, // bytes of all manifests and configs of an image
};

enum choice { LEFT, IMAGE, ATTESTATION };

// An index as it is chosen from.
struct selection {
    const struct manifest *index;
    enum choice *choices; // one for each entry
    const char *main_digest;
};

static bool is_main(const struct selection *selection, size_t entry)
{
    return strcmp(selection->index->entries[entry].descriptor.digest, selection->main_digest) == 0;
}

static int choose_all(struct selection *selection, struct err *err)
{
    for (size_t i = 0; i < selection->index->entry_count; i++) {
        const struct manifest_entry *entry = &selection->index->entries[i];
        if (entry->descriptor.digest[0] == '\0')
            return err_set(err, EPROTONOSUPPORT, "the digest of entry %zu is no sha256", i + 1);
        selection->choices[i] = registry_manifest_is_choosable(entry) ? IMAGE : ATTESTATION;
    }
    return 0;
}

static int choose_listed(struct selection *selection, const struct registry_platforms *platforms,
                         struct err *err)
{
    for (size_t i = 0; i < platforms->count; i++) {
        size_t chosen;
        if (registry_manifest_choose(selection->index, &platforms->list[i], &chosen, err) < 0)
            return -err->errnum;
        if (selection->choices[chosen] == IMAGE) {
            char text[100];
            registry_platform_format(&platforms->list[i], text);
            return err_set(err, EINVAL,
                           "platform= names one image twice: %s is the one that a platform before "
                           "it gives; leave it out",
                           text);
        }
        selection->choices[chosen] = IMAGE;
    }
    return 0;
}

static bool is_chosen_image(const struct selection *selection, const char *digest)
{
    for (size_t i = 0; i < selection->index->entry_count; i++) {
        bool is_one = selection->choices[i] == IMAGE || is_main(selection, i);
        if (is_one && strcmp(selection->index->entries[i].descriptor.digest, digest) == 0)
            return true;
    }
    return false;
}

// What is said about an image that is chosen.
static void choose_attestations(struct selection *selection)
{
    for (size_t i = 0; i < selection->index->entry_count; i++) {
        const struct manifest_entry *entry = &selection->index->entries[i];
        if (entry->is_attestation && !entry->is_index && entry->descriptor.digest[0] != '\0' &&
            is_chosen_image(selection, entry->about))
            selection->choices[i] = ATTESTATION;
    }
}

static uint64_t json_bytes(const struct registry_image *image)
{
    uint64_t bytes = image->manifest.size_bytes + image->config.size_bytes;
    for (size_t i = 0; i < image->other_count; i++)
        bytes += image->others[i]->manifest.size_bytes + image->others[i]->config.size_bytes;
    return bytes;
}

static size_t layers_of(const struct registry_image *image)
{
    size_t count = image->layer_count;
    for (size_t i = 0; i < image->other_count; i++)
        count += image->others[i]->layer_count;
    return count;
}

// about: of an attestation, NULL of a platform
static int add(struct registry_client *client, struct call *call, struct resolution *resolution,
               const char *about, struct registry_image *image, struct err *err)
{
    static const struct registry_platform any = {.os = ""};
    if (resolution->manifest.is_index)
        return err_set(err, EPROTO, "its entry %s is an index", resolution->document.digest);
    // Artifacts of several platforms, or images: not both in one.
    int (*check)(const struct manifest *manifest, struct err *err) =
        image->artifact_type ? registry_manifest_check : registry_manifest_check_image;
    if (!about && check(&resolution->manifest, err) < 0)
        return -err->errnum;
    if (image->other_count == OTHERS_MAX || json_bytes(image) > JSON_LIMIT ||
        layers_of(image) > REGISTRY_LAYERS_MAX)
        return err_set(err, EFBIG,
                       "its platforms and attestations are more than %d, or have more than %d "
                       "layers or %d MiB of manifests and configs: name the platforms wanted",
                       OTHERS_MAX, REGISTRY_LAYERS_MAX, JSON_LIMIT >> 20);
    struct registry_image *other = calloc(1, sizeof(*other));
    if (!other)
        return err_no_memory(err);
    other->is_attestation = about != NULL;
    if (about)
        memcpy(other->about, about, REGISTRY_DIGEST_SIZE);
    image->others[image->other_count++] = other;
    return registry_image_load(client, call, &image->reference, resolution, about ? NULL : &any,
                               other, err);
}

static int add_chosen(struct registry_client *client, struct call *call,
                      const struct selection *selection, enum choice choice,
                      struct registry_image *image, struct err *err)
{
    for (size_t i = 0; i < selection->index->entry_count; i++) {
        const struct manifest_entry *entry = &selection->index->entries[i];
        AUTO(registry_resolution_done) struct resolution resolution = {0};
        if (selection->choices[i] != choice || is_main(selection, i))
            continue;
        int status =
            registry_resolution_enter(client, call, &image->reference, entry, &resolution, err);
        if (status == -ENOENT && choice == ATTESTATION) {
            image->attestations_missing++; // many a mirror copies images alone
            continue;
        }
        if (status < 0 || add(client, call, &resolution,
                              choice == ATTESTATION ? entry->about : NULL, image, err) < 0) {
            char platform[100];
            registry_platform_format(&entry->platform, platform);
            return err_wrap(err, "%s", choice == IMAGE ? platform : "an attestation");
        }
    }
    return 0;
}

static bool has_attestation(const struct registry_image *image)
{
    return image->other_count > 0 && image->others[image->other_count - 1]->is_attestation;
}

int registry_image_add_others(struct registry_client *client, struct call *call,
                              const struct registry_platforms *platforms, struct resolution *index,
                              struct registry_image *image, struct err *err)
{
    struct selection selection = {.index = &index->manifest, .main_digest = image->manifest.digest};
    size_t count = index->manifest.entry_count;
    auto_free enum choice *choices = calloc(count + 1, sizeof(*choices));
    image->others = calloc(OTHERS_MAX, sizeof(struct registry_image *));
    if (!choices || !image->others)
        return err_no_memory(err);
    selection.choices = choices;
    if ((platforms->is_all ? choose_all(&selection, err)
                           : choose_listed(&selection, platforms, err)) < 0)
        return -err->errnum;
    choose_attestations(&selection);
    if (add_chosen(client, call, &selection, IMAGE, image, err) < 0 ||
        add_chosen(client, call, &selection, ATTESTATION, image, err) < 0)
        return -err->errnum;
    image->is_multi_platform = platforms->is_all || platforms->count > 1;
    if (image->is_multi_platform || has_attestation(image))
        image->index = &image->indexes[image->index_count - 1];
    return 0;
}

// ---- what is attested --------------------------------------------------------------------------

static int read_statement(struct registry_client *client, struct call *call,
                          const struct registry_descriptor *layer, struct registry_image *image,
                          struct err *err)
{
    auto_free char *bytes = NULL;
    int status = registry_blob_fetch(client, call, &image->reference, layer,
                                     PROVENANCE_STATEMENT_LIMIT, &bytes, err);
    if (status == 0)
        status = registry_statement_parse(bytes, layer->size_bytes, image->manifest.digest,
                                          &image->provenance, err);
    if (status != -EPROTO && status != -EFBIG)
        return status;
    image->statements_unread++;
    return 0;
}

int registry_image_read_attested(struct registry_client *client, struct call *call,
                                 struct registry_image *image, struct err *err)
{
    for (size_t i = 0; i < image->other_count; i++) {
        const struct registry_image *other = image->others[i];
        if (!other->is_attestation || strcmp(other->about, image->manifest.digest) != 0)
            continue;
        for (size_t k = 0; k < other->layer_count; k++) {
            const struct registry_descriptor *layer = &other->layers[k];
            if (layer->is_provenance && read_statement(client, call, layer, image, err) < 0)
                return err_wrap(err, "%s: its provenance", image->reference.text);
        }
    }
    return 0;
}
