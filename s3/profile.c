#include "profile.h"

#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int read_file(const char *path, struct aws_config **ret_config, char *problem,
                     size_t problem_size, struct err *err)
{
    int r = aws_config_read(path, ret_config, err);
    if (r != -ENOENT)
        return r;
    snprintf(problem, problem_size, "%s", err->text);
    *err = (struct err){0};
    return 0;
}

static const char *chosen_name(const char *name, const struct s3_environment *environment)
{
    if (!name)
        name = s3_environment_get(environment, "AWS_PROFILE");
    if (!name)
        name = s3_environment_get(environment, "AWS_DEFAULT_PROFILE");
    return name;
}

static int profile_fill(struct s3_profile *profile, const char *name,
                        const struct s3_environment *environment, struct err *err)
{
    name = chosen_name(name, environment);
    profile->is_named = name != NULL;
    profile->name = strdup(name ? name : "default");
    profile->credentials_path =
        s3_environment_path(environment, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    profile->config_path = s3_environment_path(environment, "AWS_CONFIG_FILE", "~/.aws/config");
    if (!profile->name || !profile->credentials_path || !profile->config_path)
        return err_no_memory(err);

    int r = read_file(profile->credentials_path, &profile->credentials,
                      profile->credentials_problem, sizeof(profile->credentials_problem), err);
    if (r < 0)
        return r;
    r = read_file(profile->config_path, &profile->config, profile->config_problem,
                  sizeof(profile->config_problem), err);
    if (r < 0)
        return r;
    profile->config_section = aws_config_section(profile->config, "profile", profile->name);
    return 0;
}

int s3_profile_read(const char *name, const struct s3_environment *environment,
                    struct s3_profile *ret_profile, struct err *err)
{
    struct s3_profile profile = {0};
    int r = profile_fill(&profile, name, environment, err);
    if (r < 0) {
        s3_profile_done(&profile);
        return r;
    }
    *ret_profile = profile;
    return 0;
}

void s3_profile_done(struct s3_profile *profile)
{
    if (!profile)
        return;
    aws_config_free(profile->credentials);
    aws_config_free(profile->config);
    free(profile->name);
    free(profile->credentials_path);
    free(profile->config_path);
    *profile = (struct s3_profile){0};
}

bool s3_profile_exists(const struct s3_profile *profile)
{
    return profile->config_section || aws_config_has(profile->credentials, profile->name);
}

static const char *unless_empty(const char *value)
{
    return value && *value ? value : NULL;
}

const char *s3_profile_get(const struct s3_profile *profile, const char *name)
{
    const char *value = aws_config_get(profile->credentials, profile->name, name);
    if (!value && profile->config_section)
        value = aws_config_get(profile->config, profile->config_section, name);
    return unless_empty(value);
}

const char *s3_profile_service_endpoint(const struct s3_profile *profile, const char *service)
{
    const char *services = s3_profile_get(profile, "services");
    if (!services)
        return NULL;
    const char *section = aws_config_section(profile->config, "services", services);
    if (!section)
        return NULL;
    return unless_empty(aws_config_get_nested(profile->config, section, service, "endpoint_url"));
}
