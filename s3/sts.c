#include "sts.h"

#include "base/scope.h"
#include "base/url.h"
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// A policy of 2048 characters, each escaped, and a web identity token, which STS cuts at 20000.
enum { FORM_LIMIT = 64 * 1024 };

static void append_field(struct buf *form, const char *name, const char *value)
{
    (void)buf_printf(form, "%s%s=", form->size > 0 ? "&" : "", name);
    (void)url_encode(form, value, strlen(value), false);
}

static void build_form(const struct sts_assume *assume, struct buf *form)
{
    const struct secret *token = assume->web_identity_token;
    append_field(form, "Action", token ? "AssumeRoleWithWebIdentity" : "AssumeRole");
    append_field(form, "Version", "2011-06-15");
    append_field(form, "RoleArn", assume->role_arn);
    append_field(form, "RoleSessionName", assume->session_name);
    if (assume->duration_s > 0) {
        char duration[16];
        snprintf(duration, sizeof(duration), "%d", assume->duration_s);
        append_field(form, "DurationSeconds", duration);
    }
    if (assume->policy)
        append_field(form, "Policy", assume->policy);
    if (assume->external_id)
        append_field(form, "ExternalId", assume->external_id);
    if (token)
        append_field(form, "WebIdentityToken", secret_text(token));
}

// ---- the answer ---------------------------------------------------------------------------

struct assumed {
    char access_key[256];
    struct secret *secret_key;
    struct secret *session_token;
    int64_t expires_ms;
};

// The name of a field of the credentials, NULL for any other element.
static const char *field_of(const char *path)
{
    static const char *const roots[] = {
        "AssumeRoleResponse/AssumeRoleResult/Credentials/",
        "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
        if (strncmp(path, roots[i], strlen(roots[i])) == 0)
            return path + strlen(roots[i]);
    return NULL;
}

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    struct assumed *assumed = context;
    const char *name = field_of(path);
    if (!name)
        return 0;
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

static int send_form(struct s3_service *sts, struct call *call, const struct sts_assume *assume,
                     const struct buf *form, struct s3_reply *reply, struct err *err)
{
    struct http_header type = {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"};
    struct http_piece body = {form->bytes, form->size};
    bool has_token = assume->web_identity_token != NULL;
    struct s3_request request = {
        .action = has_token ? "sts:AssumeRoleWithWebIdentity" : "sts:AssumeRole",
        .method = "POST",
        .subject = assume->role_arn,
        .headers = &type,
        .header_count = 1,
        .body = &body,
        .body_count = 1,
        .has_body = true,
        .is_unsigned = has_token,
        .payload = S3_PAYLOAD_SIGNED,
        .body_limit = S3_ERROR_BODY_LIMIT,
    };
    int r = s3_request_send(sts, call, &request, reply, err);
    // A plain refusal that is no matter of permission: of the duration, most of the time.
    if (r < 0 && err->http_status == 400 && !err->is_retryable && err->errnum == EIO)
        err->errnum = EINVAL;
    return r < 0 ? -err->errnum : 0;
}

int sts_assume_role(struct s3_service *sts, struct call *call, const struct sts_assume *assume,
                    struct s3_credentials **ret_credentials, struct err *err)
{
    auto_buf struct buf form = BUF_INIT(FORM_LIMIT);
    if (assume->web_identity_token && secret_size(assume->web_identity_token) > FORM_LIMIT / 2)
        return err_set(err, EINVAL, "the web identity token is too long");
    build_form(assume, &form);
    auto_reply struct s3_reply reply = {0};
    int r = form.is_full ? err_set(err, EINVAL, "the role's ARN or policy is too long")
                         : send_form(sts, call, assume, &form, &reply, err);
    if (form.bytes) // a token may stand in it
        secret_wipe(form.bytes, form.capacity);
    if (r < 0)
        return r;
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
