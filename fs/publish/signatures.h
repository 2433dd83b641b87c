// signatures.h - what refers to an image (signatures, attestations, SBOMs), published beside it:
// x.signatures.tar beside x.tar, x.signatures.tar.gz beside x.tar.gz, x.tgz.signatures.tar beside
// the file x.tgz of an artifact.
//
// It is an OCI image layout that is unpacked over the image's own. It is published as an image is,
// in the same write, with all of its guarantees, but in what a second publish finds: what stands
// there and is about the same image stays, also where the registry has more by now (unless the
// mount may overwrite). What is about another image is never left beside this one.
// See docs/decisions/signatures.md.
#pragma once

#include "image.h"

// The kind of image that lays its referrers out; image->of is the image itself.
extern const struct image_kind signatures_kind;

// Finds them (image->referrers), and whether the image may be published without or with them.
// EKEYREJECTED. EEXIST where none are found and those of another image stand beside its name.
int signatures_find(struct image *image, struct call *call, struct err *err);
// What is recorded of them.
void signatures_fill_record(const struct image *image, struct record_referrers *ret_referrers);
// What the status says of them; "" for nothing.
void signatures_fill_note(const struct image *image, char *ret_note, size_t size);
