// urls.h - urls.tsv: a row per file with its link; pure.
//
// Header line, then rows sorted by name, fields separated by tabs (tsv.h), "-" where unknown.
// Columns are only ever appended.
//
//   file        the file's name in the directory
//   url         a presigned link to it
//   expires     when the link truly dies, RFC 3339, UTC
//   size        bytes
//   sha256      of the whole file, hex
//   image       the reference as it was written in the reference file
//   digest      the manifest inside the tarball: what its index.json names, so that whoever holds
//               the tarball can check it. Where the reference names an index of several
//               platforms, that index's digest is another one (the record has both)
//   platform    OS/ARCH[/VARIANT]
//   signatures  what is known of them; nothing is looked for yet
#pragma once

#include "snapshot.h"

#include "base/buf.h"
#include "base/err.h"

int urls_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err);
