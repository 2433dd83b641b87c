// source_container.c - credentials that ECS, EKS Pod Identity and the like give to a container.
// Spec: "Container credential provider" of the AWS SDKs and Tools Reference Guide. See provider.h.

#include "credentials_json.h"
#include "environment.h"
#include "metadata.h"

#include "base/url.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    TIMEOUT_MS = 2000, // botocore's, as are the attempts
    ATTEMPTS = 3,
    TOKEN_LIMIT = 16 * 1024, // bytes of the authorization token's file
};

#define RELATIVE_BASE "http://169.254.170.2"

// ---- where it is asked --------------------------------------------------------------------

// Plain HTTP only where nobody else listens: this machine, and the addresses of ECS and EKS. The
// answer would be signed with, and the token would be sent there.
static int check_url(const char *text, struct err *err)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    struct url url = {0};
    int r = url_parse(text, &url, err);
    if (r < 0)
        return r;
    bool is_allowed = strcmp(url.scheme, "https") == 0 || url_host_is_loopback(url.host);
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        is_allowed = is_allowed || strcmp(url.host, hosts[i]) == 0;
    if (!is_allowed)
        r = err_set(err, EACCES,
                    "%s is not asked for credentials over plain http: only loopback addresses, "
                    "169.254.170.2, 169.254.170.23 and fd00:ec2::23 are; others need https",
                    url.host);
    url_done(&url);
    return r;
}

// *ret_url malloc'ed; ENOENT where neither variable is set.
static int find_url(const struct s3_chain *chain, char **ret_url, struct err *err)
{
    const char *relative =
        s3_environment_get(chain->environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = s3_environment_get(chain->environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full)
        return -ENOENT;
    if (relative && *relative != '/')
        return err_set(err, EINVAL,
                       "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a /");
    auto_free char *url = NULL;
    if (asprintf(&url, "%s%s", relative ? RELATIVE_BASE : "", relative ? relative : full) < 0) {
        url = NULL;
        return err_no_memory(err);
    }
    int r = check_url(url, err);
    if (r < 0)
        return err_wrap(err, "AWS_CONTAINER_CREDENTIALS_%s_URI", relative ? "RELATIVE" : "FULL");
    *ret_url = TAKE(url);
    return 0;
}

// ---- the token that goes with it ----------------------------------------------------------

static int read_token(const char *path, struct secret **ret_token, struct err *err)
{
    char bytes[TOKEN_LIMIT + 1];
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    if (size < 0)
        return err_set(err, EACCES, "%s cannot be read: %s", path, strerrordesc_np(errno));
    while (size > 0 && isspace((unsigned char)bytes[size - 1]))
        size--;
    int r = 0;
    if (size == 0 || size > TOKEN_LIMIT)
        r = err_set(err, EACCES, "%s %s", path, size == 0 ? "is empty" : "is too long");
    else
        *ret_token = secret_new(bytes, (size_t)size);
    secret_wipe(bytes, sizeof(bytes));
    if (r == 0 && !*ret_token)
        r = err_no_memory(err);
    return r;
}

// *ret_token stays NULL where none is set. The file goes before the text: it is what rotates.
static int find_token(const struct s3_chain *chain, struct secret **ret_token, struct err *err)
{
    const char *file =
        s3_environment_get(chain->environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *text = s3_environment_get(chain->environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (file) {
        auto_free char *path = s3_environment_absolute(chain->environment, file);
        if (!path)
            return err_no_memory(err);
        int r = read_token(path, ret_token, err);
        return r < 0 ? err_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") : 0;
    }
    *ret_token = secret_from_text(text);
    return text && !*ret_token ? err_no_memory(err) : 0;
}

// ---- asking -------------------------------------------------------------------------------

static const char *advise(int status)
{
    if (status == 401 || status == 403)
        return "the authorization token is refused (AWS_CONTAINER_AUTHORIZATION_TOKEN, or its "
               "file)";
    return status == 404 ? "there is nothing at this path: the container or pod has no role" : NULL;
}

static int ask(const struct s3_chain *chain, const char *url, const struct secret *token,
               struct s3_credentials **ret_credentials, struct err *err)
{
    const struct http_header headers[] = {
        {"Accept", "application/json"},
        {"Authorization", secret_text(token)},
    };
    const struct metadata_question question = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .header_count = token ? 2 : 1,
        .attempts = ATTEMPTS,
        .advise = advise,
    };
    auto_metadata_http struct http_client *http = NULL;
    auto_metadata_answer struct http_response answer = {0};
    // A server elsewhere, by https, is asked as any other: with the CA bundle of the mount.
    bool is_near = strncmp(url, "http://", strlen("http://")) == 0;
    int r = is_near ? metadata_http_new(TIMEOUT_MS, &http, err) : 0;
    if (r == 0)
        r = metadata_ask(is_near ? http : chain->http, chain->call, &question, &answer, err);
    if (r == 0)
        r = s3_credentials_from_json(buf_text(&answer.body), answer.body.size, S3_JSON_METADATA,
                                     ret_credentials, err);
    return r;
}

int s3_source_container(const struct s3_chain *chain, struct s3_credentials **ret_credentials,
                        struct err *err)
{
    auto_free char *url = NULL;
    auto_secret struct secret *token = NULL;
    int r = find_url(chain, &url, err);
    if (!url && r == -ENOENT) {
        s3_chain_note(chain,
                      "there is no container's role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, "
                      "_FULL_URI)");
        return r;
    }
    if (url)
        r = find_token(chain, &token, err);
    if (url && r == 0)
        r = ask(chain, url, token, ret_credentials, err);
    return r < 0 ? err_wrap(err, "the container's credentials") : 0;
}
