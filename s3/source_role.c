// source_role.c - a profile's role, assumed with what another profile or source has. See
// provider.h.

#include "profile_source.h"
#include "role.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

// Profiles on the way to the one that has credentials of its own, the newest first.
struct visit {
    const char *name;
    const struct visit *before;
};

static bool is_visited(const struct visit *visit, const char *name)
{
    while (visit && strcmp(visit->name, name) != 0)
        visit = visit->before;
    return visit != NULL;
}

// A role that web_identity_token_file goes with is source_web_identity.c's.
static bool has_role(const struct s3_profile *profile)
{
    return s3_profile_get(profile, "role_arn") &&
           !s3_profile_get(profile, "web_identity_token_file");
}

static bool has_keys(const struct s3_profile *profile)
{
    return s3_profile_get(profile, "aws_access_key_id") ||
           s3_profile_get(profile, "aws_secret_access_key");
}

static int role_of(const struct s3_chain *chain, const struct s3_profile *profile,
                   const struct visit *before, struct s3_credentials **ret_credentials,
                   struct err *err);

// ---- whose credentials assume it ----------------------------------------------------------

static int from_source(const struct s3_chain *chain, const struct s3_profile *profile,
                       const char *name, struct s3_credentials **ret_credentials, struct err *err)
{
    static const struct s3_source named[] = {
        {"Environment", s3_source_environment, true},
        {"EcsContainer", s3_source_container, false},
        {"Ec2InstanceMetadata", s3_source_instance, false},
    };
    auto_buf struct buf looked_at = BUF_INIT(ERR_TEXT_SIZE);
    struct s3_chain inner = *chain;
    inner.looked_at = &looked_at;
    for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
        if (strcmp(name, named[i].name) != 0)
            continue;
        if (i == 0)
            inner.profile = NULL; // that was asked for by name, and it names these variables
        int r = named[i].find(&inner, ret_credentials, err);
        if (r == -ENOENT)
            return err_set(err, EACCES, "credential_source = %s of profile \"%s\" gives none: %s",
                           name, profile->name, buf_text(&looked_at));
        return r;
    }
    return err_set(err, EINVAL,
                   "profile \"%s\" has credential_source = %s: it can be Environment, EcsContainer "
                   "or Ec2InstanceMetadata",
                   profile->name, name);
}

// A profile may name itself where it has keys: settings and keys in one place.
static int check_loop(const struct s3_profile *profile, const struct s3_profile *source,
                      const struct visit *visit, struct err *err)
{
    if (!is_visited(visit, source->name))
        return 0;
    if (strcmp(source->name, profile->name) == 0 && has_keys(source))
        return 0;
    return err_set(err, EINVAL,
                   "source_profile = %s of profile \"%s\" leads round in a circle: one of these "
                   "profiles needs credentials of its own",
                   source->name, profile->name);
}

static int from_profile(const struct s3_chain *chain, const struct s3_profile *profile,
                        const char *name, const struct visit *visit,
                        struct s3_credentials **ret_credentials, struct err *err)
{
    struct s3_profile source = {0};
    int r = s3_profile_read(name, chain->environment, &source, err);
    if (r < 0)
        return r;
    if (!s3_profile_exists(&source))
        r = err_set(err, EACCES,
                    "source_profile = %s of profile \"%s\" names a profile that is not in %s or %s",
                    name, profile->name, source.credentials_path, source.config_path);
    if (r == 0)
        r = check_loop(profile, &source, visit, err);
    if (r == 0 && has_role(&source) && !has_keys(&source)) {
        r = role_of(chain, &source, visit, ret_credentials, err);
    } else if (r == 0) {
        r = s3_profile_own_credentials(chain, &source, ret_credentials, err);
        if (r == -ENOENT)
            r = err_set(err, EACCES, "source_profile = %s of profile \"%s\" has no credentials",
                        name, profile->name);
    }
    s3_profile_done(&source);
    return r;
}

static int find_own(const struct s3_chain *chain, const struct s3_profile *profile,
                    const struct visit *visit, struct s3_credentials **ret_credentials,
                    struct err *err)
{
    const char *source = s3_profile_get(profile, "credential_source");
    const char *source_profile = s3_profile_get(profile, "source_profile");
    if (!source == !source_profile)
        return err_set(err, EINVAL,
                       "profile \"%s\" has role_arn and %s source_profile %s credential_source: it "
                       "needs one of them, whose credentials assume the role",
                       profile->name, source ? "both" : "neither", source ? "and" : "nor");
    if (source)
        return from_source(chain, profile, source, ret_credentials, err);
    return from_profile(chain, profile, source_profile, visit, ret_credentials, err);
}

// ---- the role -----------------------------------------------------------------------------

static int duration_of(const struct s3_profile *profile, int *ret_duration_s, struct err *err)
{
    const char *text = s3_profile_get(profile, "duration_seconds");
    char *end = NULL;
    errno = 0;
    long seconds = text ? strtol(text, &end, 10) : 0;
    if (text && (errno != 0 || *end || seconds < 1 || seconds > INT_MAX))
        return err_set(err, EINVAL, "duration_seconds = %s of profile \"%s\" is no number", text,
                       profile->name);
    *ret_duration_s = (int)seconds;
    return 0;
}

static int role_of(const struct s3_chain *chain, const struct s3_profile *profile,
                   const struct visit *before, struct s3_credentials **ret_credentials,
                   struct err *err)
{
    struct visit visit = {profile->name, before};
    struct sts_assume assume = {
        .role_arn = s3_profile_get(profile, "role_arn"),
        .session_name = s3_profile_get(profile, "role_session_name"),
        .external_id = s3_profile_get(profile, "external_id"),
    };
    if (s3_profile_get(profile, "mfa_serial"))
        return err_set(
            err, EACCES,
            "profile \"%s\" wants a code from an MFA device, and nobody can be asked for "
            "one: give it credential_process = aws configure export-credentials "
            "--profile ANOTHER, and log in there",
            profile->name);
    auto_credentials struct s3_credentials *own = NULL;
    int r = duration_of(profile, &assume.duration_s, err);
    if (r == 0)
        r = find_own(chain, profile, &visit, &own, err);
    if (r < 0)
        return r;
    r = s3_role_assume(chain, own, &assume, ret_credentials, err);
    return r < 0 ? err_wrap(err, "role_arn of profile \"%s\"", profile->name) : 0;
}

int s3_source_role(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                   struct err *err)
{
    struct s3_profile profile = {0};
    int r = s3_profile_read(chain->profile, chain->environment, &profile, err);
    if (r < 0)
        return r;
    r = has_role(&profile) ? role_of(chain, &profile, NULL, ret_credentials, err) : -ENOENT;
    s3_profile_done(&profile);
    return r;
}
