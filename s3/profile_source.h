// profile_source.h - what one profile has of its own, without a role that another assumes for it.
// The order within a profile is botocore's: web identity, keys of the credentials file,
// credential_process, keys of the config file.
#pragma once

#include "profile.h"
#include "provider.h"

// All of these answer ENOENT where the profile says nothing of the kind.
int s3_profile_own_credentials(const struct s3_chain *chain, const struct s3_profile *profile,
                               struct s3_credentials **ret_credentials, struct err *err);

// uses_environment: the variables of web identity go before the profile's properties.
int s3_profile_web_identity(const struct s3_chain *chain, const struct s3_profile *profile,
                            bool uses_environment, struct s3_credentials **ret_credentials,
                            struct err *err);
// Keys, or credential_process.
int s3_profile_keys(const struct s3_chain *chain, const struct s3_profile *profile,
                    struct s3_credentials **ret_credentials, struct err *err);

enum { CREDENTIAL_PROCESS_TIMEOUT_MS = 60 * 1000 }; // it may log in somewhere
// Runs the command (split as a shell splits words, but by no shell). EACCES where it fails, EPROTO
// where what it prints is not what the AWS tools want: {"Version": 1, "AccessKeyId": ...}.
int s3_profile_process(const struct s3_chain *chain, const struct s3_profile *profile,
                       const char *command, struct s3_credentials **ret_credentials,
                       struct err *err);
