// source_process.c - a profile's credential_process. See profile_source.h.

#include "credentials_json.h"
#include "profile_source.h"

#include "base/child.h"

#include <errno.h>

static int read_answer(const struct child_result *result, struct s3_credentials **ret_credentials,
                       struct err *err)
{
    if (result->exit_status != 0)
        return err_set(err, EACCES,
                       "it failed with status %d (log_level=debug shows what it wrote to its "
                       "standard error)",
                       result->exit_status);
    return s3_credentials_from_json(result->output, result->output_size, S3_JSON_PROCESS,
                                    ret_credentials, err);
}

int s3_profile_process(const struct s3_chain *chain, const struct s3_profile *profile,
                       const char *command, struct s3_credentials **ret_credentials,
                       struct err *err)
{
    auto_free char **words = NULL;
    auto_child_result struct child_result result = {0};
    int r = child_split(command, &words, err);
    if (r == 0) {
        struct child child = {
            .arguments = (const char *const *)words,
            .directory = chain->environment->directory,
            .timeout_ms = CREDENTIAL_PROCESS_TIMEOUT_MS,
        };
        r = child_run(&child, chain->call, &result, err);
        // A program that is not there must not look like a source that says nothing.
        if (r < 0 && r != -EINTR && r != -ENOMEM)
            err->errnum = EACCES;
    }
    if (r == 0)
        r = read_answer(&result, ret_credentials, err);
    return r < 0 ? err_wrap(err, "credential_process of profile \"%s\"", profile->name) : 0;
}
