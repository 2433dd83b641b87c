// newest.h - the newest tarballs below a branch: what its own report.html, urls.tsv and the like
// are made of, so that images of several repositories reach a customer as one page.
//
// Of each image name the tarballs of the newest build that has one: all of them, so that a build's
// platforms stay together. A build is a directory right below the branch that is named like a
// commit; an image's name is its file's up to the first ':', or without ".tar", ".tar.gz" and,
// before those, ".signatures".
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "s3.h"

#include <stddef.h>
#include <stdint.h>

// Keys below one branch that are looked at: five requests. What is newest cannot be told from less
// than all of them, so of more nothing is made.
enum { NEWEST_KEYS_MAX = 5000 };

struct newest_file {
    char *path; // below the branch, "abc1234/runtime:main.tar"
    char *etag;
    size_t build_size; // of "abc1234" in it
    uint64_t size_bytes;
    int64_t modified_ms;
};
// How long the image's name is in that of its tarball.
size_t newest_image_size(const char *name);
// prefix as in tree.h. Sorted by name and then by build. EFBIG past NEWEST_KEYS_MAX.
int newest_collect(struct s3_client *client, struct call *call, const char *prefix,
                   const char *directory, struct newest_file **ret_files, size_t *ret_count,
                   struct err *err);
void newest_free(struct newest_file *files, size_t count); // accepts NULL
