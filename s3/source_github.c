// source_github.c - a role for the identity of a GitHub Actions job. Spec: "Security hardening your
// deployments" of the GitHub documentation: GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=..., bearer
// $ACTIONS_ID_TOKEN_REQUEST_TOKEN, answers {"value": TOKEN}. See provider.h.

#include "environment.h"
#include "metadata.h"
#include "role.h"

#include "base/json.h"
#include "base/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 5 }; // GitHub's service fails now and then

static const char *advise(int status)
{
    return status == 401 || status == 403
               ? "the job's token is refused: it lives as long as the job does"
               : NULL;
}

// AWS in China expects another audience; elsewhere it is the one that GitHub's own action asks for.
static int build_url(const char *base, const char *role_arn, char **ret_url, struct err *err)
{
    struct url url = {0};
    int r = url_parse(base, &url, err);
    if (r < 0)
        return err_wrap(err, "ACTIONS_ID_TOKEN_REQUEST_URL");
    bool is_safe = strcmp(url.scheme, "https") == 0 || url_host_is_loopback(url.host);
    bool has_query = *url.query != '\0';
    url_done(&url);
    if (!is_safe)
        return err_set(err, EACCES, "ACTIONS_ID_TOKEN_REQUEST_URL is no https URL");
    auto_free char *partition = sts_arn_partition(role_arn);
    bool is_china = partition && strcmp(partition, "aws-cn") == 0;
    if (asprintf(ret_url, "%s%saudience=sts.amazonaws.com%s", base, has_query ? "&" : "?",
                 is_china ? ".cn" : "") < 0)
        return err_no_memory(err);
    return 0;
}

static int read_answer(const struct http_response *answer, struct secret **ret_token,
                       struct err *err)
{
    json_document_setup();
    auto_json json_t *document =
        json_document_parse(buf_text(&answer->body), answer->body.size, false, "its answer", err);
    if (!document)
        return -err->errnum;
    const char *value = json_document_text(document, "value");
    if (!value || !*value)
        return err_set(err, EPROTO, "its answer holds no token");
    *ret_token = secret_from_text(value);
    return *ret_token ? 0 : err_no_memory(err);
}

static int ask(const struct s3_chain *chain, const char *url, const char *job_token,
               struct secret **ret_token, struct err *err)
{
    auto_secret struct secret *authorization = secret_join("bearer ", job_token, NULL);
    if (!authorization)
        return err_no_memory(err);
    const struct http_header headers[] = {
        {"Accept", "application/json"},
        {"Authorization", secret_text(authorization)},
    };
    const struct metadata_question question = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .header_count = ARRAY_SIZE(headers),
        .attempts = ATTEMPTS,
        .advise = advise,
    };
    auto_metadata_answer struct http_response answer = {0};
    int r = metadata_ask(chain->http, chain->call, &question, &answer, err);
    return r < 0 ? r : read_answer(&answer, ret_token, err);
}

int s3_source_github(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                     struct err *err)
{
    const struct s3_environment *environment = chain->environment;
    const char *base = s3_environment_get(environment, "ACTIONS_ID_TOKEN_REQUEST_URL");
    const char *job_token = s3_environment_get(environment, "ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    const char *role_arn = s3_environment_get(environment, "AWS_ROLE_ARN");
    if (chain->profile)
        return -ENOENT; // a profile that was asked for by name goes before it
    if (!base || !job_token || !role_arn) {
        if (base)
            s3_chain_note(chain, "AWS_ROLE_ARN is not set, which this GitHub Actions job could "
                                 "assume");
        else if (s3_environment_get(environment, "GITHUB_ACTIONS") && role_arn)
            s3_chain_note(chain, "this GitHub Actions job lacks the permission id-token: write");
        return -ENOENT;
    }
    auto_free char *url = NULL;
    auto_secret struct secret *token = NULL;
    int r = build_url(base, role_arn, &url, err);
    if (r == 0)
        r = ask(chain, url, job_token, &token, err);
    if (r < 0)
        return err_wrap(err, "this GitHub Actions job's identity token");
    struct sts_assume assume = {
        .role_arn = role_arn,
        .session_name = s3_environment_get(environment, "AWS_ROLE_SESSION_NAME"),
        .web_identity_token = token,
    };
    r = s3_role_assume(chain, NULL, &assume, ret_credentials, err);
    return r < 0 ? err_wrap(err, "with this GitHub Actions job's identity token") : 0;
}
