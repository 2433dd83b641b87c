// source_instance.c - the role of an EC2 instance, from its metadata service. Spec: "Use the
// Instance Metadata Service" of the EC2 User Guide. See provider.h.
//
// Version 2 asks for a token first, by PUT. The answer to that may travel so many hops and no
// further: one, by default, so that a container behind a bridge waits for it in vain, and asks as
// version 1 did, where the instance and AWS_EC2_METADATA_V1_DISABLED allow that.

#include "credentials_json.h"
#include "environment.h"
#include "metadata.h"
#include "profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    TIMEOUT_S = 1, // AWS_METADATA_SERVICE_TIMEOUT: elsewhere nothing ever answers
    TIMEOUT_MAX_S = 60,
    ATTEMPTS = 1, // AWS_METADATA_SERVICE_NUM_ATTEMPTS
    ATTEMPTS_MAX = 5,
    ROLE_SIZE = 256,
    URL_SIZE = 512,
};

#define ROLES "latest/meta-data/iam/security-credentials/"
#define HOP_LIMIT                                                                                  \
    "; a container needs a hop limit of 2 there: aws ec2 modify-instance-metadata-options "        \
    "--http-put-response-hop-limit 2"

struct instance {
    const struct s3_chain *chain;
    struct http_client *http;
    char base[URL_SIZE]; // "http://169.254.169.254/"
    int timeout_ms;
    int attempts;
    bool refuses_v1;
    struct secret *token; // NULL: version 1
};

// ---- settings -----------------------------------------------------------------------------

static const char *setting(const struct s3_chain *chain, const struct s3_profile *profile,
                           const char *variable, const char *property)
{
    const char *value = s3_environment_get(chain->environment, variable);
    return value ? value : s3_profile_get(profile, property);
}

static int number(const char *text, int otherwise, int max)
{
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : 0;
    if (!text || *end || value < 1)
        return otherwise;
    return value > max ? max : (int)value;
}

static bool is_true(const char *text)
{
    return text && strcasecmp(text, "true") == 0;
}

static void read_settings(struct instance *instance, const struct s3_profile *profile)
{
    const struct s3_chain *chain = instance->chain;
    const char *endpoint = setting(chain, profile, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                   "ec2_metadata_service_endpoint");
    const char *mode = setting(chain, profile, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                               "ec2_metadata_service_endpoint_mode");
    if (!endpoint)
        endpoint = mode && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
                                                         : "http://169.254.169.254";
    size_t size = strlen(endpoint);
    snprintf(instance->base, sizeof(instance->base), "%s%s", endpoint,
             size > 0 && endpoint[size - 1] == '/' ? "" : "/");
    instance->timeout_ms = 1000 * number(setting(chain, profile, "AWS_METADATA_SERVICE_TIMEOUT",
                                                 "metadata_service_timeout"),
                                         TIMEOUT_S, TIMEOUT_MAX_S);
    instance->attempts = number(setting(chain, profile, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                                        "metadata_service_num_attempts"),
                                ATTEMPTS, ATTEMPTS_MAX);
    instance->refuses_v1 = is_true(
        setting(chain, profile, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled"));
}

// ---- asking -------------------------------------------------------------------------------

static const char *advise_get(int status)
{
    if (status == 401)
        return "it wants a token, and gives none here" HOP_LIMIT;
    return status == 404 ? "the instance has no role" : NULL;
}

static int ask(const struct instance *instance, const char *path, const char *tail,
               struct http_response *ret_answer, struct err *err)
{
    char url[URL_SIZE + sizeof(ROLES) + ROLE_SIZE];
    snprintf(url, sizeof(url), "%s%s%s", instance->base, path, tail);
    const struct http_header header = {"x-aws-ec2-metadata-token", secret_text(instance->token)};
    const struct metadata_question question = {
        .method = "GET",
        .url = url,
        .headers = &header,
        .header_count = instance->token ? 1 : 0,
        .attempts = instance->attempts,
        .advise = advise_get,
    };
    return metadata_ask(instance->http, instance->chain->call, &question, ret_answer, err);
}

// 0 also where there is none to be had and version 1 may be tried.
static int ask_token(struct instance *instance, struct err *err)
{
    char url[URL_SIZE + 32];
    snprintf(url, sizeof(url), "%slatest/api/token", instance->base);
    const struct http_header header = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
    const struct metadata_question question = {
        .method = "PUT",
        .url = url,
        .headers = &header,
        .header_count = 1,
        .attempts = instance->attempts,
    };
    auto_metadata_answer struct http_response answer = {0};
    int r = metadata_ask(instance->http, instance->chain->call, &question, &answer, err);
    if (r == 0) {
        instance->token = secret_new(buf_text(&answer.body), answer.body.size);
        return instance->token ? 0 : err_no_memory(err);
    }
    bool is_old = err->http_status == 403 || err->http_status == 404 || err->http_status == 405;
    if (r != -ETIMEDOUT && !is_old)
        return r;
    if (instance->refuses_v1)
        return err_wrap(err, "no token for version 2, and AWS_EC2_METADATA_V1_DISABLED is true%s",
                        r == -ETIMEDOUT ? HOP_LIMIT : "");
    *err = (struct err){0};
    return 0;
}

// A list, a line each, of one role.
static int ask_role(const struct instance *instance, char ret_role[ROLE_SIZE], struct err *err)
{
    auto_metadata_answer struct http_response answer = {0};
    int r = ask(instance, ROLES, "", &answer, err);
    if (r < 0)
        return r;
    const char *text = buf_text(&answer.body);
    size_t size = strcspn(text, "\r\n");
    // It goes into a URL.
    if (size == 0 || size >= ROLE_SIZE || strcspn(text, " /?#%\"<>\\^`{|}\t") < size)
        return err_set(err, EPROTO, "%s%s does not name a role", instance->base, ROLES);
    snprintf(ret_role, ROLE_SIZE, "%.*s", (int)size, text);
    return 0;
}

static int ask_all(struct instance *instance, struct s3_credentials **ret_credentials,
                   struct err *err)
{
    char role[ROLE_SIZE];
    auto_metadata_answer struct http_response answer = {0};
    int r = metadata_http_new(instance->timeout_ms, &instance->http, err);
    if (r == 0)
        r = ask_token(instance, err);
    if (r == 0)
        r = ask_role(instance, role, err);
    if (r == 0)
        r = ask(instance, ROLES, role, &answer, err);
    if (r == 0) {
        r = s3_credentials_from_json(buf_text(&answer.body), answer.body.size, S3_JSON_METADATA,
                                     ret_credentials, err);
        if (r < 0)
            err_wrap(err, "role %s", role);
    }
    return r < 0 ? -err->errnum : 0;
}

// Nobody answers on most machines, and an instance may have no role: that is no error, but where
// the search ends.
int s3_source_instance(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                       struct err *err)
{
    if (is_true(s3_environment_get(chain->environment, "AWS_EC2_METADATA_DISABLED"))) {
        s3_chain_note(chain, "AWS_EC2_METADATA_DISABLED is true");
        return -ENOENT;
    }
    struct s3_profile profile = {0};
    int r = s3_profile_read(chain->profile, chain->environment, &profile, err);
    if (r < 0)
        return r;
    struct instance instance = {.chain = chain};
    read_settings(&instance, &profile);
    s3_profile_done(&profile);
    r = ask_all(&instance, ret_credentials, err);
    secret_free(instance.token);
    http_client_free(instance.http);
    if (r == 0 || r == -EINTR || r == -ENOMEM)
        return r;
    s3_chain_note(chain, "no EC2 instance's role: %s", err->text);
    *err = (struct err){0};
    return -ENOENT;
}
