// reference_file.h - the lines of an image reference file; a total, pure parser.
//
//   REFERENCE [NAME] [KEY=VALUE]...     (blank lines and #-comments allowed; at most 64 KiB)
//
// UTF-8, fields separated by blanks and tabs; a '#' at a field's beginning opens a comment, which
// goes to the line's end. NAME is the second field, if it holds no '='. Keys: platform=, tag=.
#pragma once

#include "base/err.h"
#include "registry.h"

#include <stdbool.h>
#include <stddef.h>

enum { REFERENCE_FILE_LIMIT = 64 * 1024 };

struct reference_defaults {
    struct registry_platforms platforms;
    enum archive_format format;
};

struct reference_line {
    unsigned line_number; // from 1, in the whole file
    struct registry_reference reference;
    char *name; // of the tarball, or of an artifact's file
    char *tag;  // what docker load calls the image
    struct registry_platforms platforms;
    enum archive_format format; // from the name's extension; PAYLOAD for any other (payload.h)
};

// Whether a file of that name may be a published tarball: it ends in .tar or .tar.gz, and is more
// than that.
bool reference_name_format(const char *name, enum archive_format *ret_format);

// The name of the tarball that holds an image's signatures: "x.signatures.tar" beside "x.tar",
// "x.signatures.tar.gz" beside "x.tar.gz", "x.tgz.signatures.tar" beside "x.tgz". malloc'ed; NULL
// on no memory. No NAME of a line may be such a one.
char *reference_signatures_name(const char *name);
bool reference_name_is_signatures(const char *name);

// All lines of `bytes`, or none: EINVAL with the line's number, what is wrong with it and what a
// right one looks like; two lines with one NAME are wrong too. first_line_number counts on from
// what stood before. CR LF line ends and a byte order mark on line 1 are taken. EFBIG past
// REFERENCE_FILE_LIMIT. *ret_lines is NULL where there are only comments.
int reference_file_parse(const char *bytes, size_t size, unsigned first_line_number,
                         const struct reference_defaults *defaults,
                         struct reference_line **ret_lines, size_t *ret_count, struct err *err);
void reference_lines_free(struct reference_line *lines, size_t count); // accepts NULL
