// options.h - the command line, parsed and checked; pure.
//
//   prereleasefs [-o OPTIONS] [-f] [-d] BUCKET[/PREFIX] MOUNTPOINT
//
// OPTIONS are NAME or NAME=VALUE, separated by commas, the last of a name wins; a comma or
// backslash inside a value is written "\," or "\\". A list (platform=, registries=,
// insecure_registry=) may be given by naming the option again, and a word behind it that is no
// option and looks like one more of the list is that: "registries=ghcr.io,quay.io,parallel=4".
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "registry.h"
#include "s3.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    OPTIONS_PARALLEL_MAX = 128,            // each is a thread that moves a part
    OPTIONS_PRESIGN_SESSION_MIN_S = 900,   // what STS takes
    OPTIONS_PRESIGN_SESSION_MAX_S = 43200, // likewise
    OPTIONS_LIST_TTL_MAX_S = 24 * 3600,
    OPTIONS_STALL_TIMEOUT_MAX_S = 3600,
};
// A part is at least 5 MiB (S3_PART_SIZE_MIN); below this a publish could hardly overlap any two.
#define OPTIONS_MEMORY_MIN (UINT64_C(16) << 20)

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): grouped by what belongs together
struct options {
    char *bucket;
    char *prefix; // "" or "some/prefix/": ends in '/'
    char *mountpoint;
    bool is_foreground; // -f or -d
    bool is_fuse_debug; // -d
    bool wants_help;    // then nothing else is filled in
    bool wants_version; // likewise

    char *region;       // NULL: the AWS chain's, else us-east-1
    char *endpoint;     // NULL: the AWS chain's, else AWS
    char *sts_endpoint; // NULL: with `endpoint` given that, else the AWS chain's, else AWS
    enum s3_addressing addressing;
    char *profile;
    char *presign_role;
    char *presign_profile;
    int presign_session_s;
    int expires_s;
    int min_expires_s;
    char *kms_key;

    char *platform; // as it was given, or NULL
    struct registry_platforms platforms;
    enum archive_format format;
    char **registries;          // NULL-terminated, or NULL for any; lower case
    char **insecure_registries; // NULL-terminated, or NULL; lower case
    bool requires_signature;
    char *verify_key; // path, or NULL
    int parallel;
    uint64_t memory_bytes;
    bool may_overwrite;
    bool may_delete;
    int64_t list_ttl_ms;
    int stall_timeout_s;

    mode_t link_mode; // if not given: 0444, or 0440 with allow_other
    char *contact;
    char *title;
    char *ca_bundle;
    enum log_level log_level;

    bool is_read_only;   // ro
    bool is_allow_other; // allow_other
    uid_t uid;           // of everything in the tree; the mounting user's if not given
    gid_t gid;
    mode_t file_mode;      // fmode=; 0444, with allow_other and dmode='s write bits
    mode_t directory_mode; // dmode=, 0755
    char **fuse_options;   // what goes to libfuse as it is, NULL-terminated; NULL for none
};

// Total. EINVAL with a sentence that names the option, what it got and what it takes. Understands
// what mount(8) adds for fstab (rw, dev, suid, noauto, _netdev, x-systemd.*, user ...).
int options_parse(int argc, char **argv, struct options *ret_options, struct err *err);
void options_done(struct options *options); // accepts NULL and zeroed
// The text of -h, on stdout: every option with its default.
void options_print_help(void);
