// profile.h - one profile of the AWS files, ~/.aws/credentials and ~/.aws/config seen as one.
//
// A property in the credentials file goes before one of the config file, as in botocore. Values
// stay valid until s3_profile_done, which wipes them.
#pragma once

#include "aws_config.h"
#include "s3.h"

struct s3_profile {
    char *name;
    bool is_named; // by an option or AWS_PROFILE; "default" by default is not
    char *credentials_path;
    char *config_path;
    struct aws_config *credentials; // NULL where there is no file
    struct aws_config *config;
    const char *config_section; // NULL where the config file lacks it
    // Why a file was not read ("...: No such file or directory"), "" where it was.
    char credentials_problem[ERR_TEXT_SIZE];
    char config_problem[ERR_TEXT_SIZE];
};

// name NULL: AWS_PROFILE, AWS_DEFAULT_PROFILE, "default". A file that is not there is no error,
// nor a profile that is in neither: ask s3_profile_exists. Errors: EINVAL (a file that cannot be
// parsed), ENOMEM.
int s3_profile_read(const char *name, const struct s3_environment *environment,
                    struct s3_profile *ret_profile, struct err *err);
void s3_profile_done(struct s3_profile *profile); // accepts NULL and zeroed

bool s3_profile_exists(const struct s3_profile *profile);

// NULL where neither file says it, or says nothing.
const char *s3_profile_get(const struct s3_profile *profile, const char *name);

// endpoint_url of one service ("s3") in the [services X] section that the profile names.
const char *s3_profile_service_endpoint(const struct s3_profile *profile, const char *service);
