// snapshot.h - what a renderer is given: one directory at one moment, plain and immutable.
#pragma once

#include "../publish/record.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot_file {
    const char *name; // below the directory: of a branch's tarballs "abc1234/runtime:main.tar"
    const char *download_name;
    uint64_t size_bytes;
    int64_t modified_ms;
    const char *etag;            // with quotes
    const struct record *record; // NULL where nothing is known beyond the listing
    // Of an image: what was found about it, or NULL; and the file that holds it, where that stands
    // beside the image and is about this very one.
    const struct record_referrers *referrers;
    const struct snapshot_file *signatures;
    const char *url;    // NULL where the renderer does not hold links
    int64_t expires_ms; // when the link truly dies
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
    bool is_branch;      // it has a report of its builds' newest tarballs
    bool is_unknown;     // nothing is known of what is below it
    uint64_t size_bytes; // of all files below
    size_t build_count;
    int64_t modified_ms; // of the newest of them; 0 where there are none
};

struct snapshot {
    const char *directory; // "jps/fix-login/abc1234"
    bool is_release;       // under releases/: `version` names it
    bool is_branch;        // holds builds: their newest tarballs are the files, `build` is ""
    const char *branch;    // "jps/fix-login"; "" for a release
    const char *build;     // "abc1234", or the release's version
    int64_t now_ms;
    // Sorted by name, of a branch's without the build; reference files are left out.
    const struct snapshot_file *files;
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

// An archive that engines load: a record says so or, where that is lost, the name. And whether it
// is one in gzip.
bool snapshot_is_archive(const struct snapshot_file *file);
bool snapshot_is_gzip(const struct snapshot_file *file);
// An OCI layout under a name, of an image or an artifact: what can be pushed on.
bool snapshot_is_layout(const struct snapshot_file *file);
// A Helm chart, by its record: the chart itself, or its OCI layout.
bool snapshot_is_chart(const struct snapshot_file *file);
bool snapshot_is_chart_layout(const struct snapshot_file *file);
// NULL where it has none, or none is known.
const char *snapshot_platform(const struct snapshot_file *file);

// Whether its image says anything of its own making.
bool snapshot_has_provenance(const struct snapshot_file *file);
// The revision that its image states where that is not the commit that the build is named after,
// else NULL.
const char *snapshot_misfit(const struct snapshot *snapshot, const struct snapshot_file *file);

// What one would call the build: title=, or "Prerelease jps/fix-login, abc1234". As it stands:
// whoever shows it escapes it.
int snapshot_title(const struct snapshot *snapshot, struct buf *text);
// The host and port that the links lead to, "bucket.s3.amazonaws.com:443": `origin` without its
// scheme.
const char *snapshot_host(const struct snapshot *snapshot);
// What to ask a fresh page of: the directory or, at the root, the bucket.
const char *snapshot_place(const struct snapshot *snapshot);
