// source_profile.c - what a profile of the AWS files has of its own. See profile_source.h.

#include "profile_source.h"

#include <errno.h>
#include <string.h>

// Both keys come from one file: half a pair here and half there is a mistake, not a pair.
static int keys_of(const struct aws_config *config, const char *section, const char *path,
                   struct s3_credentials **ret_credentials, struct err *err)
{
    const char *access_key = aws_config_get(config, section, "aws_access_key_id");
    if (!access_key || !*access_key)
        return -ENOENT;
    const char *secret_key_text = aws_config_get(config, section, "aws_secret_access_key");
    if (!secret_key_text || !*secret_key_text)
        return err_set(err, EACCES,
                       "%s [%s] has aws_access_key_id and no aws_secret_access_key: add it", path,
                       section);
    const char *token_text = aws_config_get(config, section, "aws_session_token");
    if (!token_text || !*token_text)
        token_text = aws_config_get(config, section, "aws_security_token");
    if (token_text && !*token_text)
        token_text = NULL;

    auto_secret struct secret *secret_key = secret_from_text(secret_key_text);
    auto_secret struct secret *token = secret_from_text(token_text);
    if (!secret_key || (token_text && !token))
        return err_no_memory(err);
    struct s3_credentials *credentials =
        s3_credentials_new(access_key, secret_key, token, INT64_MAX);
    if (!credentials)
        return err_no_memory(err);
    *ret_credentials = credentials;
    return 0;
}

// IAM Identity Center's tokens are the AWS CLI's business.
static int check_sso(const struct s3_profile *profile, struct err *err)
{
    if (!s3_profile_get(profile, "sso_session") && !s3_profile_get(profile, "sso_start_url"))
        return 0;
    return err_set(err, EACCES,
                   "profile \"%s\" logs in with IAM Identity Center (sso_...): add to it "
                   "credential_process = aws configure export-credentials --profile %s",
                   profile->name, profile->name);
}

int s3_profile_keys(const struct s3_chain *chain, const struct s3_profile *profile,
                    struct s3_credentials **ret_credentials, struct err *err)
{
    const char *process = s3_profile_get(profile, "credential_process");
    int r = process ? 0 : check_sso(profile, err);
    if (r == 0)
        r = keys_of(profile->credentials, profile->name, profile->credentials_path, ret_credentials,
                    err);
    if (r == -ENOENT && process)
        return s3_profile_process(chain, profile, process, ret_credentials, err);
    if (r == -ENOENT && profile->config_section)
        r = keys_of(profile->config, profile->config_section, profile->config_path, ret_credentials,
                    err);
    return r;
}

int s3_profile_own_credentials(const struct s3_chain *chain, const struct s3_profile *profile,
                               struct s3_credentials **ret_credentials, struct err *err)
{
    int r = s3_profile_web_identity(chain, profile, false, ret_credentials, err);
    return r == -ENOENT ? s3_profile_keys(chain, profile, ret_credentials, err) : r;
}

static void note(const struct s3_chain *chain, const struct s3_profile *profile)
{
    if (*profile->credentials_problem)
        s3_chain_note(chain, "%s", profile->credentials_problem);
    if (*profile->config_problem)
        s3_chain_note(chain, "%s", profile->config_problem);
    if (s3_profile_exists(profile))
        s3_chain_note(chain,
                      "profile \"%s\" has no aws_access_key_id, role_arn or credential_process",
                      profile->name);
}

int s3_source_profile(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                      struct err *err)
{
    struct s3_profile profile = {0};
    int r = s3_profile_read(chain->profile, chain->environment, &profile, err);
    if (r < 0)
        return r;
    r = s3_profile_keys(chain, &profile, ret_credentials, err);
    if (r == -ENOENT)
        note(chain, &profile);
    s3_profile_done(&profile);
    return r;
}
