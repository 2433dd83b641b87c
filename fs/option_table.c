#include "option_table.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MODE_BITS = 0777, // what linkmode=, fmode= and dmode= may set
    PLATFORMS_LIMIT = REGISTRY_PLATFORMS_MAX * 100,
};

static void *field_of(const struct option *option, struct options *options)
{
    return (char *)options + option->field;
}

static int refuse(const struct option *option, const char *value, const char *takes,
                  struct err *err)
{
    return err_set(err, EINVAL, "option %s%.100s: it takes %s", option->name, value, takes);
}

// ---- values ------------------------------------------------------------------------------------

static int take_flag(const struct option *option, const char *value, struct options *options,
                     struct err *err)
{
    (void)value;
    (void)err;
    *(bool *)field_of(option, options) = true;
    return 0;
}

static int take_text(const struct option *option, const char *value, struct options *options,
                     struct err *err)
{
    if (value[0] == '\0')
        return refuse(option, value, "a value", err);
    char *copy = strdup(value);
    if (!copy)
        return err_no_memory(err);
    char **field = field_of(option, options);
    free(*field);
    *field = copy;
    return 0;
}

static int take_url(const struct option *option, const char *value, struct options *options,
                    struct err *err)
{
    struct url url = {0};
    bool is_right =
        url_parse(value, &url, err) == 0 && url.query[0] == '\0' && strcmp(url.path, "/") == 0;
    url_done(&url);
    if (!is_right)
        return refuse(option, value, "a URL such as https://s3.example.org:9000", err);
    return take_text(option, value, options, err);
}

static int take_role(const struct option *option, const char *value, struct options *options,
                     struct err *err)
{
    if (strncmp(value, "arn:", 4) != 0 || !strstr(value, ":role/"))
        return refuse(option, value, "a role's ARN such as arn:aws:iam::123456789012:role/NAME",
                      err);
    return take_text(option, value, options, err);
}

static int take_key(const struct option *option, const char *value, struct options *options,
                    struct err *err)
{
    if (strncmp(value, "arn:", 4) != 0 || !strstr(value, ":kms:"))
        return refuse(option, value,
                      "a key's ARN such as arn:aws:kms:eu-west-1:123456789012:key/ID", err);
    return take_text(option, value, options, err);
}

// Digits only: strtoll would take signs and spaces too.
static bool parse_number(const char *text, const char **ret_rest, int64_t *ret_number)
{
    int64_t number = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *c - '0', &number))
            return false;
    }
    *ret_rest = c;
    *ret_number = number;
    return c != text;
}

static int refuse_number(const struct option *option, const char *value, struct err *err)
{
    return err_set(err, EINVAL, "option %s%.100s: it takes a number from %lld to %lld",
                   option->name, value, (long long)option->least, (long long)option->most);
}

static int take_int(const struct option *option, const char *value, struct options *options,
                    struct err *err)
{
    const char *rest;
    int64_t number;
    if (!parse_number(value, &rest, &number) || *rest != '\0' || number < option->least ||
        number > option->most)
        return refuse_number(option, value, err);
    *(int *)field_of(option, options) = (int)number;
    return 0;
}

_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t),
               "take_id fills in either");

static int take_id(const struct option *option, const char *value, struct options *options,
                   struct err *err)
{
    const char *rest;
    int64_t number;
    if (!parse_number(value, &rest, &number) || *rest != '\0' || number > option->most)
        return refuse_number(option, value, err);
    *(uint32_t *)field_of(option, options) = (uint32_t)number;
    return 0;
}

// Seconds with an optional fraction, kept as milliseconds.
static int take_seconds(const struct option *option, const char *value, struct options *options,
                        struct err *err)
{
    const char *rest;
    int64_t seconds;
    if (!parse_number(value, &rest, &seconds) || seconds > option->most)
        return refuse_number(option, value, err);
    int64_t ms = seconds * 1000;
    if (*rest == '.') {
        rest++;
        for (int64_t scale = 100; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            ms += (*rest - '0') * scale;
    }
    if (*rest != '\0')
        return refuse_number(option, value, err);
    *(int64_t *)field_of(option, options) = ms;
    return 0;
}

static int take_bytes(const struct option *option, const char *value, struct options *options,
                      struct err *err)
{
    const char *rest;
    int64_t number;
    bool is_right = parse_number(value, &rest, &number);
    if (is_right && *rest != '\0') {
        static const char suffixes[] = "KMGT";
        const char *suffix = strchr(suffixes, toupper((unsigned char)*rest));
        int64_t unit = suffix ? INT64_C(1) << (10 * (suffix - suffixes + 1)) : 0;
        is_right = suffix && rest[1] == '\0' && !__builtin_mul_overflow(number, unit, &number);
    }
    if (!is_right || number < (int64_t)OPTIONS_MEMORY_MIN)
        return refuse(option, value, "bytes, at least 16M, such as 134217728, 128M or 1G", err);
    *(uint64_t *)field_of(option, options) = (uint64_t)number;
    return 0;
}

static int take_mode(const struct option *option, const char *value, struct options *options,
                     struct err *err)
{
    unsigned long mode = 0;
    const char *c = value;
    for (; *c >= '0' && *c <= '7' && mode <= MODE_BITS; c++)
        mode = mode * 8 + (unsigned long)(*c - '0');
    if (*c != '\0' || c == value || mode > MODE_BITS)
        return refuse(option, value, "an octal mode from 0 to 0777, such as 0440", err);
    *(mode_t *)field_of(option, options) = (mode_t)mode;
    return 0;
}

static int take_addressing(const struct option *option, const char *value, struct options *options,
                           struct err *err)
{
    if (strcmp(value, "auto") == 0)
        options->addressing = S3_ADDRESSING_AUTO;
    else if (strcmp(value, "path") == 0)
        options->addressing = S3_ADDRESSING_PATH;
    else if (strcmp(value, "virtual") == 0)
        options->addressing = S3_ADDRESSING_VIRTUAL;
    else
        return refuse(option, value, "auto, path or virtual", err);
    return 0;
}

// Those of a list come one by one.
static int take_platform(const struct option *option, const char *value, struct options *options,
                         struct err *err)
{
    auto_buf struct buf list = BUF_INIT(PLATFORMS_LIMIT);
    if (buf_printf(&list, "%s%s%s", options->platform ? options->platform : "",
                   options->platform ? "," : "", value) < 0)
        return refuse(option, value, "fewer platforms, or all", err);
    if (registry_platforms_parse(buf_text(&list), &options->platforms, err) < 0)
        return err_wrap(err, "option %s%.100s", option->name, buf_text(&list));
    free(options->platform);
    options->platform = buf_take(&list);
    return options->platform ? 0 : err_no_memory(err);
}

static int take_format(const struct option *option, const char *value, struct options *options,
                       struct err *err)
{
    if (strcmp(value, "tar") == 0)
        options->format = ARCHIVE_FORMAT_TAR;
    else if (strcmp(value, "tar.gz") == 0)
        options->format = ARCHIVE_FORMAT_TAR_GZ;
    else
        return refuse(option, value, "tar or tar.gz", err);
    return 0;
}

static int take_signatures(const struct option *option, const char *value, struct options *options,
                           struct err *err)
{
    options->requires_signature = strcmp(value, "require") == 0;
    if (!options->requires_signature && strcmp(value, "carry") != 0)
        return refuse(option, value, "carry or require", err);
    return 0;
}

static int take_log_level(const struct option *option, const char *value, struct options *options,
                          struct err *err)
{
    if (log_level_parse(value, &options->log_level) < 0)
        return refuse(option, value, "error, warn, info or debug", err);
    return 0;
}

static bool is_host(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(".-_:[]", *c))
            return false;
    }
    return strchr(text, '.') || strchr(text, ':') || strcasecmp(text, "localhost") == 0;
}

int option_list_append(char ***list, const char *text, struct err *err)
{
    size_t count = 0;
    while (*list && (*list)[count])
        count++;
    if (count >= OPTIONS_LIST_MAX)
        return err_set(err, EINVAL, "more than %d of '%.100s' and its like", OPTIONS_LIST_MAX,
                       text);
    char *copy = strdup(text);
    char **longer = copy ? reallocarray(*list, count + 2, sizeof(*longer)) : NULL;
    if (!longer) {
        free(copy);
        return err_no_memory(err);
    }
    longer[count] = copy;
    longer[count + 1] = NULL;
    *list = longer;
    return 0;
}

// One host, or several where their commas were escaped.
static int take_host(const struct option *option, const char *value, struct options *options,
                     struct err *err)
{
    auto_free char *hosts = strdup(value);
    if (!hosts)
        return err_no_memory(err);
    for (char *c = hosts; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    char *rest = hosts;
    do {
        const char *host = strsep(&rest, ",");
        if (!is_host(host))
            return refuse(option, host, "a registry's host such as ghcr.io or 10.0.0.5:5000", err);
        if (option_list_append(field_of(option, options), host, err) < 0)
            return -err->errnum;
    } while (rest);
    return 0;
}

// ---- the options -------------------------------------------------------------------------------

#define FIELD(name) offsetof(struct options, name)

const struct option option_table[] = {
    {"region=", "REGION", "the AWS chain's, else us-east-1", "where the bucket is", take_text,
     FIELD(region), 0, 0},
    {"endpoint=", "URL", "AWS, or AWS_ENDPOINT_URL[_S3]", "an S3-compatible store", take_url,
     FIELD(endpoint), 0, 0},
    {"sts_endpoint=", "URL", "endpoint=, else AWS or AWS_ENDPOINT_URL[_STS]",
     "where roles are assumed", take_url, FIELD(sts_endpoint), 0, 0},
    {"addressing=", "auto|path|virtual", "auto",
     "where the bucket's name goes; auto: path with endpoint= or a dot in the name",
     take_addressing, 0, 0, 0},
    {"profile=", "NAME", "AWS_PROFILE, else default", "the service account's profile", take_text,
     FIELD(profile), 0, 0},
    {"presign_role=", "ARN", "none", "the read-only role whose sessions sign links", take_role,
     FIELD(presign_role), 0, 0},
    {"presign_session=", "SECONDS", "43200", "how long its sessions are asked to live", take_int,
     FIELD(presign_session_s), OPTIONS_PRESIGN_SESSION_MIN_S, OPTIONS_PRESIGN_SESSION_MAX_S},
    {"presign_profile=", "NAME", "none", "instead of a role: a read-only user's profile", take_text,
     FIELD(presign_profile), 0, 0},
    {"expires=", "SECONDS", "604800", "how long links are asked to live", take_int,
     FIELD(expires_s), 1, S3_EXPIRES_MAX_S},
    {"min_expires=", "SECONDS", "0", "hand out no link that lives shorter", take_int,
     FIELD(min_expires_s), 0, S3_EXPIRES_MAX_S},
    {"kms_key=", "ARN", "none", "the bucket's SSE-KMS key: links may use it", take_key,
     FIELD(kms_key), 0, 0},
    {"platform=", "OS/ARCH[/VARIANT][,...]|all", "linux/amd64", "which platform of an image",
     take_platform, 0, 0, 0},
    {"format=", "tar|tar.gz", "tar", "extension of names that a .ref file leaves out", take_format,
     0, 0, 0},
    {"registries=", "HOST[,HOST]", "any", "the only registries to publish from", take_host,
     FIELD(registries), 0, 0},
    {"insecure_registry=", "HOST[:PORT]", "none; loopback always may",
     "registries spoken to over plain HTTP", take_host, FIELD(insecure_registries), 0, 0},
    {"signatures=", "carry|require", "carry", "require: only images that are signed are published",
     take_signatures, 0, 0, 0},
    {"verify_key=", "FILE", "none", "only images signed by this public key (PEM) are published",
     take_text, FIELD(verify_key), 0, 0},
    {"parallel=", "N", "8", "transfers at once in each direction, over all publishes", take_int,
     FIELD(parallel), 1, OPTIONS_PARALLEL_MAX},
    {"memory=", "BYTES", "128M", "ceiling of all transfer buffers", take_bytes, FIELD(memory_bytes),
     0, 0},
    {"overwrite", "", "off", "a publish may replace a tarball (never under releases/)", take_flag,
     FIELD(may_overwrite), 0, 0},
    {"allow_delete", "", "off", "rm deletes objects", take_flag, FIELD(may_delete), 0, 0},
    {"list_ttl=", "SECONDS", "1", "how long a listing may be served from memory", take_seconds,
     FIELD(list_ttl_ms), 0, OPTIONS_LIST_TTL_MAX_S},
    {"stall_timeout=", "SECONDS", "30", "a transfer without a byte for so long is tried again",
     take_int, FIELD(stall_timeout_s), 1, OPTIONS_STALL_TIMEOUT_MAX_S},
    {"linkmode=", "MODE", "0444, 0440 with allow_other", "mode of files that hold links", take_mode,
     FIELD(link_mode), 0, 0},
    {"contact=", "TEXT", "none", "shown in report.html: whom to ask", take_text, FIELD(contact), 0,
     0},
    {"title=", "TEXT", "none", "shown in report.html: what this is", take_text, FIELD(title), 0, 0},
    {"ca_bundle=", "FILE", "the system's, or AWS_CA_BUNDLE, SSL_CERT_FILE", "CA certificates",
     take_text, FIELD(ca_bundle), 0, 0},
    {"log_level=", "error|warn|info|debug", "info", "to stderr with -f, else to syslog",
     take_log_level, 0, 0, 0},
    {"uid=", "ID", "the mounting user", "owner of everything", take_id, FIELD(uid), 0,
     UINT32_MAX - 1},
    {"gid=", "ID", "the mounting user's", "group of everything", take_id, FIELD(gid), 0,
     UINT32_MAX - 1},
    {"fmode=", "MODE", "0444, with allow_other writable by whom dmode= lets write", "mode of files",
     take_mode, FIELD(file_mode), 0, 0},
    {"dmode=", "MODE", "0755", "mode of directories", take_mode, FIELD(directory_mode), 0, 0},
    {0},
};

// What goes on to libfuse: names, and those that take a value with their '='.
static const char *const fuse_names[] = {
    "ro",           "rw",          "dev",          "nodev",
    "suid",         "nosuid",      "exec",         "noexec",
    "sync",         "async",       "dirsync",      "atime",
    "noatime",      "allow_other", "allow_root",   "default_permissions",
    "auto_unmount", "fsname=",     "subtype=",     "context=",
    "fscontext=",   "defcontext=", "rootcontext=",
};

// What mount(8), fstab and systemd say to each other.
static const char *const mount_names[] = {
    "defaults",   "auto",          "noauto",     "user",       "user=",       "nouser",
    "users",      "nousers",       "owner",      "noowner",    "group",       "nogroup",
    "_netdev",    "nofail",        "relatime",   "norelatime", "strictatime", "lazytime",
    "nolazytime", "diratime",      "nodiratime", "iversion",   "noiversion",  "mand",
    "nomand",     "silent",        "loud",       "symfollow",  "comment=",    "uhelper=",
    "helper=",    "nostrictatime",
};

// The name matches a word exactly or, where it ends in '=', the word's beginning.
static bool name_matches(const char *name, const char *word)
{
    size_t size = strlen(name);
    return name[size - 1] == '=' ? strncmp(name, word, size) == 0 : strcmp(name, word) == 0;
}

static bool is_among(const char *const *names, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (name_matches(names[i], word))
            return true;
    }
    return false;
}

const struct option *option_find(const char *word)
{
    for (const struct option *option = option_table; option->name; option++) {
        if (name_matches(option->name, word))
            return option;
    }
    return NULL;
}

bool option_is_list(const struct option *option, const char *word)
{
    return (option->take == take_host && is_host(word)) ||
           (option->take == take_platform && strchr(word, '/'));
}

bool option_is_for_fuse(const char *word)
{
    return is_among(fuse_names, ARRAY_SIZE(fuse_names), word);
}

bool option_is_for_mount(const char *word)
{
    return is_among(mount_names, ARRAY_SIZE(mount_names), word) || strncmp(word, "x-", 2) == 0 ||
           strncmp(word, "X-", 2) == 0;
}
