// aws_config.h - reads ~/.aws/config and ~/.aws/credentials, the way botocore (so the AWS CLI)
// reads them: Python's configparser, and one level of nested properties.
//
//   [profile build]                  # sections; whole-line comments begin with '#' or ';'
//   region = eu-central-1            # '=' or ':', whichever comes first; names in any case
//   credential_process = a
//     --long b                       # indented: continues the value, joined by a newline
//   s3 =
//     addressing_style = path        # indented under an empty value: nested properties
//
// inih is not used, though it reads INI: as packaged it cuts lines at 200 bytes (session tokens
// are longer) and names of sections at 50 (two long profile names become one, and the wrong
// account signs), strips " ;..." from values (a secret key may hold it), takes the first of two
// sections of one name for one, and its settings are globals that other builds of it lack.
// What is read as configparser does, and tested against it: duplicate sections or properties,
// properties before the first section, lines that are neither, are errors with their line.
// Not read: the DEFAULT section's inheritance, which no other AWS SDK has.
//
// The values hold secret keys: aws_config_free wipes them. One owner; reading from several
// threads is fine.
#pragma once

#include "base/err.h"
#include "base/scope.h"

#include <stdbool.h>
#include <stddef.h>

enum { AWS_CONFIG_SIZE_MAX = 1024 * 1024 }; // bytes of one file

struct aws_config;

// Errors: ENOENT (no such regular file, or one that may not be read: the sentence says which),
// EINVAL (the sentence names path and line), EFBIG, EIO, ENOMEM.
int aws_config_read(const char *path, struct aws_config **ret_config, struct err *err);

// Total. `path` is for sentences.
int aws_config_parse(const char *bytes, size_t size, const char *path,
                     struct aws_config **ret_config, struct err *err);
void aws_config_free(struct aws_config *config); // accepts NULL

bool aws_config_has(const struct aws_config *config, const char *section); // NULL: false
// NULL where config is NULL or it does not say. A property that is there with an empty value is "".
const char *aws_config_get(const struct aws_config *config, const char *section, const char *name);
const char *aws_config_get_nested(const struct aws_config *config, const char *section,
                                  const char *name, const char *nested);

// The name of the section that holds a profile in a *config* file: "default", "profile NAME",
// or "profile 'NAME'" as a shell would quote it. KIND is "profile", or "services", "sso-session".
// NULL where there is none. (In a credentials file the profile's own name is the section's.)
const char *aws_config_section(const struct aws_config *config, const char *kind, const char *name);

DEFINE_SCOPE_CLEANUP(aws_config, struct aws_config, aws_config_free)
#define auto_aws_config AUTO(aws_config_scope)
