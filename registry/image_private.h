// image_private.h - what image.c (one image: by its reference, platform, config) and image_others.c
// (what goes along with it) share.
#pragma once

#include "document.h"
#include "manifest.h"

// A manifest or index on the way to an image.
struct resolution {
    struct document document;
    struct manifest manifest;
    struct registry_platform platform; // that its index says; os "" where none does
};
void registry_resolution_done(struct resolution *resolution); // accepts zeroed

// What an entry of an index names. ENOENT where the registry has it not.
int registry_resolution_enter(struct registry_client *client, struct call *call,
                              const struct registry_reference *reference,
                              const struct manifest_entry *entry, struct resolution *ret_resolution,
                              struct err *err);

// Moves the manifest into the image, fetches and checks its config. wanted: the platform that was
// asked for, os "" for any; NULL where it is no image of a platform.
int registry_image_load(struct registry_client *client, struct call *call,
                        const struct registry_reference *reference, struct resolution *resolution,
                        const struct registry_platform *wanted, struct registry_image *image,
                        struct err *err);

// image_others.c: what of the index, in which is no other where several platforms are asked for,
// goes along with the image that was taken from it: the other platforms asked for, and buildx's
// attestations about any of them.
int registry_image_add_others(struct registry_client *client, struct call *call,
                              const struct registry_platforms *platforms, struct resolution *index,
                              struct registry_image *image, struct err *err);
