// source_web_identity.c - a role for an OpenID Connect token in a file. See provider.h.

#include "environment.h"
#include "profile_source.h"
#include "role.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { TOKEN_LIMIT = 20 * 1024 }; // bytes; STS takes 20000 characters

static int read_token(int fd, const char *path, struct secret **ret_token, struct err *err)
{
    char bytes[TOKEN_LIMIT + 1];
    size_t size = 0;
    ssize_t n = 1;
    while (n > 0 && size < sizeof(bytes)) {
        n = read(fd, bytes + size, sizeof(bytes) - size);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            size += (size_t)n;
    }
    int problem = n < 0 ? errno : 0;
    bool is_too_long = size > TOKEN_LIMIT;
    while (size > 0 && isspace((unsigned char)bytes[size - 1]))
        size--;
    int r = 0;
    if (problem != 0)
        r = err_set(err, EACCES, "%s cannot be read: %s", path, strerrordesc_np(problem));
    else if (is_too_long)
        r = err_set(err, EACCES, "%s holds more than %d bytes: that is no token", path,
                    TOKEN_LIMIT);
    else if (size == 0)
        r = err_set(err, EACCES, "%s is empty", path);
    if (r == 0) {
        *ret_token = secret_new(bytes, size);
        r = *ret_token ? 0 : err_no_memory(err);
    }
    secret_wipe(bytes, sizeof(bytes));
    return r;
}

static int open_token(const struct s3_chain *chain, const char *name, struct secret **ret_token,
                      struct err *err)
{
    auto_free char *path = s3_environment_absolute(chain->environment, name);
    if (!path)
        return err_no_memory(err);
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int r = fd < 0 ? err_set(err, EACCES, "%s cannot be read: %s", path, strerrordesc_np(errno))
                   : read_token(fd, path, ret_token, err);
    return r < 0 ? err_wrap(err, "the web identity token") : 0;
}

static const char *setting(const struct s3_chain *chain, const struct s3_profile *profile,
                           bool uses_environment, const char *variable, const char *property)
{
    const char *value = uses_environment ? s3_environment_get(chain->environment, variable) : NULL;
    return value ? value : s3_profile_get(profile, property);
}

int s3_profile_web_identity(const struct s3_chain *chain, const struct s3_profile *profile,
                            bool uses_environment, struct s3_credentials **ret_credentials,
                            struct err *err)
{
    const char *path = setting(chain, profile, uses_environment, "AWS_WEB_IDENTITY_TOKEN_FILE",
                               "web_identity_token_file");
    if (!path)
        return -ENOENT;
    struct sts_assume assume = {
        .role_arn = setting(chain, profile, uses_environment, "AWS_ROLE_ARN", "role_arn"),
        .session_name =
            setting(chain, profile, uses_environment, "AWS_ROLE_SESSION_NAME", "role_session_name"),
    };
    if (!assume.role_arn)
        return err_set(
            err, EACCES,
            "there is a web identity token, %s, and no role for it: set AWS_ROLE_ARN, or "
            "role_arn in profile \"%s\"",
            path, profile->name);
    auto_secret struct secret *token = NULL;
    int r = open_token(chain, path, &token, err);
    if (r < 0)
        return r;
    assume.web_identity_token = token;
    r = s3_role_assume(chain, NULL, &assume, ret_credentials, err);
    return r < 0 ? err_wrap(err, "with the web identity token %s", path) : 0;
}

int s3_source_web_identity(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                           struct err *err)
{
    struct s3_profile profile = {0};
    int r = s3_profile_read(chain->profile, chain->environment, &profile, err);
    if (r < 0)
        return r;
    r = s3_profile_web_identity(chain, &profile, !chain->profile, ret_credentials, err);
    s3_profile_done(&profile);
    if (r == -ENOENT)
        s3_chain_note(chain, "there is no web identity (AWS_WEB_IDENTITY_TOKEN_FILE)");
    return r;
}
