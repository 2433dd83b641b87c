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

// What stands below the directory of an index, a row per directory that holds files.
struct snapshot_build {
    const char *path;    // below the directory, "fix-login/abc1234"
    uint64_t size_bytes; // of its files, and not of those in directories below it; reference
    size_t file_count;   // files are left out
    int64_t modified_ms; // of the newest
};

struct snapshot_child { // one directory of the directory
    const char *name;
    bool has_index;      // it holds directories
    bool is_unknown;     // nothing is known of what is below it
    uint64_t size_bytes; // of all files below
    size_t build_count;
    int64_t modified_ms; // of the newest of them; 0 where there are none
};

struct snapshot {
    const char *directory; // "jps/fix-login/abc1234"
    bool is_release;       // under releases/: `version` names it
    const char *branch;    // "jps/fix-login"; "" for a release
    const char *build;     // "abc1234", or the release's version
    int64_t now_ms;
    const struct snapshot_file *files; // sorted by name; reference files are left out
    size_t file_count;
    // Of an index: the newest first, and by name.
    const struct snapshot_build *builds;
    size_t build_count;
    const struct snapshot_child *children;
    size_t child_count;
    bool is_cut;        // there is so much below that not all was looked at
    bool has_reports;   // links can be made
    const char *origin; // scheme, host and port that the links lead to
    const char *bucket;
    const char *title;   // or NULL
    const char *contact; // or NULL
    const char *version; // of this program
};
