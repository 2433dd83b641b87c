// policy.h - the session policy that narrows an assumed role to reading what links lead to. Pure.
//
// A session policy only ever takes away from what the role itself allows:
//   - s3:GetObject on the bucket's keys under the prefix;
//   - never on those under the denied prefix;
//   - kms:Decrypt with one key, where the bucket is encrypted with it.
// Spec: "IAM JSON policy elements: Resource" and "... variables and tags" of the IAM guide. In a
// resource `*` and `?` are wildcards and `${` begins a variable, so those, in a prefix, are written
// ${*}, ${?} and ${$}{, which version 2012-10-17 gives. A `$` that nothing of the kind follows is
// itself, there and in stores without variables. Such a store (Ceph 16) takes ${*} for a wildcard
// between ${ and }: its links answer 403, and its sessions read what is named like that, if
// anything is.
//
// The text is compact and ASCII (other characters as \uXXXX): STS takes U+0009 to U+00FF and
// 2048 characters only, and some stores take no space.
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { S3_POLICY_SIZE_MAX = 2048 }; // AssumeRole's own

struct s3_policy {
    const char *partition; // "aws"
    const char *bucket;
    const char *prefix;        // "" for the whole bucket
    const char *denied_prefix; // NULL for none
    const char *kms_key;       // an ARN, NULL for none
};

// Appends the policy. EINVAL: prefixes that are no UTF-8, or so long that STS would refuse it.
int s3_policy_write(const struct s3_policy *policy, struct buf *text, struct err *err);
