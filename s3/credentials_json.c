#include "credentials_json.h"

#include "base/json.h"

#include <errno.h>
#include <string.h>

static const char *text_of(const json_t *document, const char *key)
{
    const char *text = json_document_text(document, key);
    return text && *text ? text : NULL;
}

static int check_version(const json_t *document, struct err *err)
{
    const json_t *version = json_object_get(document, "Version");
    if (json_number_value(version) == 1) // 0 where it is no number
        return 0;
    return err_set(err, EPROTO, "its answer %s: \"Version\": 1 is what is understood",
                   version ? "is of another version" : "has no version");
}

// "Code": "AssumeRoleUnauthorizedAccess", where the role does not trust the service.
static int check_code(const json_t *document, struct err *err)
{
    const char *code = json_document_text(document, "Code");
    const char *message = json_document_text(document, "Message");
    if (!code || strcmp(code, "Success") == 0 || text_of(document, "AccessKeyId"))
        return 0;
    return err_set(err, EACCES, "it has none: %.100s%s%.200s", code, message ? ": " : "",
                   message ? message : "");
}

static int make(const json_t *document, const char *token_key,
                struct s3_credentials **ret_credentials, struct err *err)
{
    const char *access_key = text_of(document, "AccessKeyId");
    const char *secret_key_text = text_of(document, "SecretAccessKey");
    const char *token_text = text_of(document, token_key);
    const char *expiration = text_of(document, "Expiration");
    int64_t expires_ms = INT64_MAX;
    if (!access_key || !secret_key_text)
        return err_set(err, EPROTO, "its answer has no %s",
                       access_key ? "SecretAccessKey" : "AccessKeyId");
    if (expiration && clock_parse_rfc3339(expiration, &expires_ms) < 0)
        return err_set(err, EPROTO, "its answer's Expiration is no time: \"%.40s\"", expiration);
    auto_secret struct secret *secret_key = secret_from_text(secret_key_text);
    auto_secret struct secret *token = secret_from_text(token_text);
    if (!secret_key || (token_text && !token))
        return err_no_memory(err);
    struct s3_credentials *credentials =
        s3_credentials_new(access_key, secret_key, token, expires_ms);
    if (!credentials)
        return err_no_memory(err);
    *ret_credentials = credentials;
    return 0;
}

int s3_credentials_from_json(const char *bytes, size_t size, enum s3_json_kind kind,
                             struct s3_credentials **ret_credentials, struct err *err)
{
    json_document_setup();
    auto_json json_t *document = json_document_parse(bytes, size, false, "its answer", err);
    if (!document)
        return -err->errnum;
    bool is_process = kind == S3_JSON_PROCESS;
    int r = is_process ? check_version(document, err) : check_code(document, err);
    return r < 0 ? r : make(document, is_process ? "SessionToken" : "Token", ret_credentials, err);
}
