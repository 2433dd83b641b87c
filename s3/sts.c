#include "sts.h"

#include "base/url.h"
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FORM_LIMIT = 32 * 1024 }; // a policy of 2048 characters, each escaped, and a little more

static void append_field(struct buf *form, const char *name, const char *value)
{
    (void)buf_printf(form, "%s%s=", form->size > 0 ? "&" : "", name);
    (void)url_encode(form, value, strlen(value), false);
}

static int build_form(const struct sts_assume *assume, struct buf *form, struct err *err)
{
    char duration[16];
    snprintf(duration, sizeof(duration), "%d", assume->duration_s);
    append_field(form, "Action", "AssumeRole");
    append_field(form, "Version", "2011-06-15");
    append_field(form, "RoleArn", assume->role_arn);
    append_field(form, "RoleSessionName", assume->session_name);
    append_field(form, "DurationSeconds", duration);
    if (assume->policy)
        append_field(form, "Policy", assume->policy);
    return form->is_full ? err_set(err, EINVAL, "the role's ARN or policy is too long") : 0;
}

// ---- the answer ---------------------------------------------------------------------------

struct assumed {
    char access_key[256];
    struct secret *secret_key;
    struct secret *session_token;
    int64_t expires_ms;
};

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    static const char root[] = "AssumeRoleResponse/AssumeRoleResult/Credentials/";
    struct assumed *assumed = context;
    if (strncmp(path, root, strlen(root)) != 0)
        return 0;
    const char *name = path + strlen(root);
    if (strcmp(name, "AccessKeyId") == 0) {
        snprintf(assumed->access_key, sizeof(assumed->access_key), "%s", text);
    } else if (strcmp(name, "SecretAccessKey") == 0) {
        secret_free(assumed->secret_key);
        assumed->secret_key = secret_from_text(text);
    } else if (strcmp(name, "SessionToken") == 0) {
        secret_free(assumed->session_token);
        assumed->session_token = secret_from_text(text);
    } else if (strcmp(name, "Expiration") == 0 &&
               clock_parse_rfc3339(text, &assumed->expires_ms) < 0) {
        return err_set(err, EPROTO, "STS says that the session ends at \"%s\"", text);
    }
    return 0;
}

static int read_answer(struct s3_reply *reply, struct s3_credentials **ret_credentials,
                       struct err *err)
{
    struct assumed assumed = {0};
    int r = s3_reply_read(reply, on_element, &assumed, err);
    if (r == 0 && (!*assumed.access_key || !assumed.secret_key || !assumed.session_token ||
                   assumed.expires_ms == 0))
        r = err_set(err, EPROTO, "STS answers without a whole set of credentials");
    if (r == 0) {
        struct s3_credentials *credentials = s3_credentials_new(
            assumed.access_key, assumed.secret_key, assumed.session_token, assumed.expires_ms);
        if (credentials)
            *ret_credentials = credentials;
        else
            r = err_no_memory(err);
    }
    secret_free(assumed.secret_key);
    secret_free(assumed.session_token);
    return r;
}

int sts_assume_role(struct s3_service *sts, struct call *call, const struct sts_assume *assume,
                    struct s3_credentials **ret_credentials, struct err *err)
{
    auto_buf struct buf form = BUF_INIT(FORM_LIMIT);
    int r = build_form(assume, &form, err);
    if (r < 0)
        return r;
    struct http_header type = {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"};
    struct http_piece body = {form.bytes, form.size};
    struct s3_request request = {
        .action = "sts:AssumeRole",
        .method = "POST",
        .subject = assume->role_arn,
        .headers = &type,
        .header_count = 1,
        .body = &body,
        .body_count = 1,
        .has_body = true,
        .payload = S3_PAYLOAD_SIGNED,
        .body_limit = S3_ERROR_BODY_LIMIT,
    };
    auto_reply struct s3_reply reply;
    r = s3_request_send(sts, call, &request, &reply, err);
    // A plain refusal that is no matter of permission: of the duration, most of the time.
    if (r < 0 && err->http_status == 400 && !err->is_retryable && err->errnum == EIO)
        err->errnum = EINVAL;
    if (r < 0)
        return -err->errnum;
    r = read_answer(&reply, ret_credentials, err);
    return r < 0 ? err_wrap(err, "assuming %s", assume->role_arn) : 0;
}

// ---- names --------------------------------------------------------------------------------

void sts_session_name(const char *host, char ret_name[STS_SESSION_NAME_SIZE])
{
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_=,.@-";
    snprintf(ret_name, STS_SESSION_NAME_SIZE, "prereleasefs-%s", host);
    for (char *c = ret_name; *c; c++)
        if (!strchr(taken, *c))
            *c = '-';
}

char *sts_arn_partition(const char *arn)
{
    if (strncmp(arn, "arn:", 4) != 0)
        return NULL;
    const char *start = arn + 4;
    size_t size = strcspn(start, ":");
    bool is_arn =
        size > 0 && start[size] == ':' && strspn(start, "abcdefghijklmnopqrstuvwxyz-") >= size;
    return is_arn ? strndup(start, size) : NULL;
}
