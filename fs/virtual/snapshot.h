// snapshot.h - what a renderer is given: one directory at one moment, plain and immutable.
#pragma once

#include "../publish/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot_file {
    const char *name;
    const char *download_name;
    uint64_t size_bytes;
    int64_t modified_ms;
    const struct record *record; // NULL where nothing is known beyond the listing
    const char *url;             // NULL where the renderer does not hold links
    int64_t expires_ms;          // when the link truly dies
};

struct snapshot {
    const char *directory; // "jps/fix-login/abc1234"
    bool is_release;       // under releases/: `version` names it
    const char *branch;    // "jps/fix-login"; "" for a release
    const char *build;     // "abc1234", or the release's version
    int64_t now_ms;
    const struct snapshot_file *files; // sorted by name; reference files are left out
    size_t file_count;
    const char *origin; // scheme, host and port that the links lead to
    const char *bucket;
    const char *title;   // or NULL
    const char *contact; // or NULL
    const char *version; // of this program
};
