// archive_json.h - the JSON files of a published object: what makes one tar an OCI image layout
// and a `docker save` archive at once. Pure.
//
// Canonical: the keys in one fixed order, no white space, no newline at the end, so that the same
// image under the same tag makes the same bytes.
#pragma once

#include "registry.h"

// {"imageLayoutVersion":"1.0.0"}
#define ARCHIVE_JSON_OCI_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

// index.json: one descriptor, of the image's manifest, or of its index where several platforms are
// in it, annotated with the tag in full twice: as
// io.containerd.image.name for containerd and podman from 4.0, and as
// org.opencontainers.image.ref.name for older podmans, which take it as the image's name. (The
// tag's last part alone, as docker and BuildKit write it there, makes "localhost/v1:latest" of
// "app:v1" in podman 3; skopeo wants the same text in oci-archive:FILE:TEXT either way.)
// malloc'ed. EINVAL: the tag is no REPOSITORY:TAG.
int archive_json_index(const struct registry_image *image, const char *tag, char **ret_text,
                       struct err *err);

// index.json of the tarball of referrers: that of the image's own, then the indexes above it, then
// each referrer under cosign's name for it. `kind` is what cosign's own layouts say: which is the
// image that was signed (of several the first: what is published, then the indexes above it, then
// the platforms' manifests), and which are its signatures and attestations. malloc'ed; the same
// EINVAL.
int archive_json_referrers(const struct registry_image *image,
                           const struct registry_referrers *referrers, const char *tag,
                           char **ret_text, struct err *err);

// manifest.json: one entry with the paths of config and layers. malloc'ed; the same EINVAL.
int archive_json_manifest(const struct registry_image *image, const char *tag, char **ret_text,
                          struct err *err);

// The tag with what docker and containerd put in front of a name without a host:
// "alpine:3" is "docker.io/library/alpine:3", "me/app:1" is "docker.io/me/app:1". malloc'ed,
// NULL on no memory.
char *archive_json_full_name(const char *tag);

enum { ARCHIVE_BLOB_NAME_SIZE = sizeof("blobs/sha256/") + 64 };
// "blobs/sha256/HEX". EPROTONOSUPPORT: the digest is not "sha256:" and 64 digits of lower-case hex.
int archive_blob_name(const char *digest, char ret_name[ARCHIVE_BLOB_NAME_SIZE], struct err *err);
