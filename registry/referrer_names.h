// referrer_names.h - how what refers to an image is named, and what a list of it says; pure.
//
// cosign stores what it makes under tags that are made of the digest; the OCI distribution
// specification 1.1 has a list of referrers, and a tag for registries without it.
#pragma once

#include "registry.h"

// What a statement says that is nothing but a signature (cosign 3).
#define REFERRER_SIGN_PREDICATE "https://sigstore.dev/cosign/sign/"

struct referrer_name {
    const char *ending;
    enum registry_referrer_kind kind;
    bool has_a_layer_each; // the manifest holds as many as it has layers
};
enum { REFERRER_NAMES_COUNT = 3 };
extern const struct referrer_name referrer_names[REFERRER_NAMES_COUNT];

// "sha256-HEX" and the name's ending; name NULL: the tag of a list of referrers.
void referrer_name_tag(const struct referrer_name *name, const char *digest,
                       char ret_tag[REGISTRY_REFERRER_TAG_SIZE]);

// From what a manifest says of itself; each may be NULL.
enum registry_referrer_kind referrer_kind(const char *artifact_type, const char *config_type,
                                          const char *predicate_type);

bool referrer_is_bundle(const char *artifact_type); // sigstore's; accepts NULL

// The path below the repository of the next page, from a Link header (RFC 8288), malloc'ed; NULL
// where the header names none. Total. EPROTO for one that leads out of the repository's referrers.
int referrer_next_page(const char *link, const char *repository, char **ret_path, struct err *err);
