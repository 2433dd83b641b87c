#include "environment.h"

#include "base/scope.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

static const char *process_get(void *context, const char *name)
{
    (void)context;
    // Nobody in this program calls setenv once its threads run.
    return getenv(name); // NOLINT(concurrency-mt-unsafe)
}

const struct s3_environment s3_environment_process = {process_get, NULL, NULL};

const char *s3_environment_get(const struct s3_environment *environment, const char *name)
{
    const char *value = environment->get(environment->context, name);
    return value && *value ? value : NULL;
}

// malloc'ed, NULL where nobody knows.
static char *home(const struct s3_environment *environment)
{
    const char *value = s3_environment_get(environment, "HOME");
    if (value)
        return strdup(value);
    struct passwd user;
    struct passwd *found = NULL;
    char buffer[4096];
    if (getpwuid_r(getuid(), &user, buffer, sizeof(buffer), &found) != 0 || !found)
        return NULL;
    return strdup(user.pw_dir);
}

char *s3_environment_path(const struct s3_environment *environment, const char *name,
                          const char *fallback)
{
    const char *value = s3_environment_get(environment, name);
    if (!value)
        value = fallback;
    auto_free char *directory = strncmp(value, "~/", 2) == 0 ? home(environment) : NULL;
    char *path = NULL;
    if (!directory)
        return s3_environment_absolute(environment, value);
    return asprintf(&path, "%s%s", directory, value + 1) < 0 ? NULL : path;
}

char *s3_environment_absolute(const struct s3_environment *environment, const char *path)
{
    char *absolute = NULL;
    if (*path == '/' || !environment->directory)
        return strdup(path);
    return asprintf(&absolute, "%s/%s", environment->directory, path) < 0 ? NULL : absolute;
}
