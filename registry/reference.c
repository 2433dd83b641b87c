// The parser of image references. It goes from left to right over spans of the text, never
// allocates before it knows the whole to be right, and refuses what docker would complete
// (a missing host, a missing tag, "library/"): a typo must not ship a stranger's image.
#include "reference.h"

#include "registry.h"

#include "base/scope.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DIGEST_NAME_HEX = 12 }; // hex digits of a digest that stand in a made-up tag

struct span {
    const char *start;
    size_t size;
};

struct parts {
    struct span host;
    struct span repository;
    struct span tag;    // size 0 where there is none
    struct span digest; // size 0 where there is none
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_lower_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.start, text, span.size) == 0;
}

static const char *span_find(struct span span, char c)
{
    return span.size == 0 ? NULL : memchr(span.start, c, span.size);
}

static char *span_copy(struct span span)
{
    return strndup(span.start, span.size);
}

// ---- digests -----------------------------------------------------------------------------------

bool registry_digest_is_sha256(const char *text)
{
    if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != REGISTRY_DIGEST_SIZE - 1)
        return false;
    for (const char *c = text + 7; *c != '\0'; c++)
        if (!is_lower_hex(*c))
            return false;
    return true;
}

bool registry_digest_is_wellformed(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || !is_lower_alnum(text[0]) || strlen(text) > REFERENCE_TEXT_MAX)
        return false;
    for (const char *c = text; c < colon; c++)
        if (!is_lower_alnum(*c) && strchr("+._-", *c) == NULL)
            return false;
    if (!is_lower_alnum(colon[-1]) || colon[1] == '\0')
        return false;
    for (const char *c = colon + 1; *c != '\0'; c++)
        if (!is_alnum(*c) && strchr("=_-", *c) == NULL)
            return false;
    return true;
}

// ---- the parts of a name -----------------------------------------------------------------------

static bool is_port(struct span port)
{
    if (port.size < 1 || port.size > 5)
        return false;
    unsigned number = 0;
    for (size_t i = 0; i < port.size; i++) {
        if (!is_digit(port.start[i]))
            return false;
        number = number * 10 + (unsigned)(port.start[i] - '0');
    }
    return number >= 1 && number <= 65535;
}

// "[2001:db8::1]" or "[::1]:5000"
static bool is_ipv6_host(struct span host)
{
    const char *end = span_find(host, ']');
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    if (end == NULL || (size_t)(end - host.start) > sizeof(address))
        return false;
    size_t size = (size_t)(end - host.start) - 1;
    memcpy(address, host.start + 1, size);
    address[size] = '\0';
    if (strlen(address) != size || inet_pton(AF_INET6, address, &parsed) != 1)
        return false;
    struct span rest = {end + 1, host.size - size - 2};
    return rest.size == 0 ||
           (rest.start[0] == ':' && is_port((struct span){rest.start + 1, rest.size - 1}));
}

// Labels of letters, digits and inner hyphens, with dots between them.
static bool is_domain(struct span domain)
{
    char before = '.';
    for (size_t i = 0; i < domain.size; i++) {
        char c = domain.start[i];
        if (c == '.' || c == '-') {
            if (before == '.' || (c == '.' && before == '-'))
                return false;
        } else if (!is_alnum(c)) {
            return false;
        }
        before = c;
    }
    return domain.size > 0 && before != '.' && before != '-';
}

static bool is_host(struct span host)
{
    if (host.size == 0 || host.size > REFERENCE_HOST_MAX)
        return false;
    if (host.start[0] == '[')
        return is_ipv6_host(host);
    const char *colon = span_find(host, ':');
    if (colon == NULL)
        return is_domain(host);
    size_t size = (size_t)(colon - host.start);
    return is_domain((struct span){host.start, size}) &&
           is_port((struct span){colon + 1, host.size - size - 1});
}

// Whether docker, too, would take the first component for a host and not for a directory.
static bool is_told_from_a_path(struct span host)
{
    return span_find(host, '.') != NULL || span_find(host, ':') != NULL ||
           span_is(host, "localhost");
}

// [a-z0-9]+ ((. | _ | __ | -+) [a-z0-9]+)*, joined by '/'
static bool is_repository(struct span repository)
{
    if (repository.size == 0 || repository.size > REFERENCE_REPOSITORY_MAX)
        return false;
    size_t i = 0;
    bool needs_alnum = true;
    while (i < repository.size) {
        char c = repository.start[i];
        if (is_lower_alnum(c)) {
            needs_alnum = false;
            i++;
            continue;
        }
        if (needs_alnum)
            return false;
        needs_alnum = true;
        i++;
        if (c == '_' && i < repository.size && repository.start[i] == '_')
            i++;
        else if (c == '-')
            while (i < repository.size && repository.start[i] == '-')
                i++;
        else if (c != '/' && c != '.' && c != '_')
            return false;
    }
    return !needs_alnum;
}

static bool is_tag(struct span tag)
{
    if (tag.size == 0 || tag.size > REFERENCE_TAG_MAX || tag.start[0] == '.' || tag.start[0] == '-')
        return false;
    for (size_t i = 0; i < tag.size; i++)
        if (!is_alnum(tag.start[i]) && strchr("._-", tag.start[i]) == NULL)
            return false;
    return true;
}

static bool has_upper(struct span span)
{
    for (size_t i = 0; i < span.size; i++)
        if (span.start[i] >= 'A' && span.start[i] <= 'Z')
            return true;
    return false;
}

static bool is_docker_hub(struct span host)
{
    return span_is(host, "docker.io") || span_is(host, "index.docker.io") ||
           span_is(host, "registry-1.docker.io");
}

// ---- references --------------------------------------------------------------------------------

// Cuts `text` (without its digest) at the last place where a tag may begin.
static void split_tag(struct span name, struct span *ret_repository, struct span *ret_tag,
                      bool *ret_has_colon)
{
    const char *slash = memrchr(name.start, '/', name.size);
    const char *last = slash == NULL ? name.start : slash + 1;
    const char *end = name.start + name.size;
    const char *colon = memchr(last, ':', (size_t)(end - last));
    *ret_has_colon = colon != NULL;
    *ret_repository =
        (struct span){name.start, (size_t)((colon != NULL ? colon : end) - name.start)};
    *ret_tag =
        colon == NULL ? (struct span){end, 0} : (struct span){colon + 1, (size_t)(end - colon) - 1};
}

// NULL when it is right, otherwise what is wrong with it.
static const char *split(const char *text, struct parts *ret_parts)
{
    struct parts parts;
    const char *at = strchr(text, '@');
    struct span name = {text, at == NULL ? strlen(text) : (size_t)(at - text)};
    const char *slash = span_find(name, '/');
    if (slash == NULL)
        return "the registry's host is missing";
    parts.host = (struct span){text, (size_t)(slash - text)};
    struct span path = {slash + 1, name.size - parts.host.size - 1};
    bool has_colon;
    split_tag(path, &parts.repository, &parts.tag, &has_colon);
    parts.digest = at == NULL ? (struct span){name.start + name.size, 0}
                              : (struct span){at + 1, strlen(at + 1)};

    if (!is_host(parts.host))
        return "what stands before the first '/' is no host";
    if (!is_told_from_a_path(parts.host))
        return "it does not begin with a registry's host";
    if (has_upper(parts.repository))
        return "the repository has upper-case letters";
    if (!is_repository(parts.repository))
        return "the repository is not well-formed";
    if (is_docker_hub(parts.host) && span_find(parts.repository, '/') == NULL)
        return "Docker Hub's official images are written docker.io/library/NAME:TAG";
    if (has_colon && !is_tag(parts.tag))
        return "the tag is not well-formed";
    if (at != NULL && !registry_digest_is_sha256(at + 1))
        return "the digest is not 'sha256:' and 64 lower-case hex digits";
    if (!has_colon && at == NULL)
        return "it has neither tag nor digest";
    *ret_parts = parts;
    return NULL;
}

static const char *reason_against(const char *text, struct parts *ret_parts)
{
    if (text[0] == '\0')
        return "it is empty";
    if (strlen(text) > REFERENCE_TEXT_MAX)
        return "it is too long";
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return "it holds a space or a byte that is no printable ASCII";
    return split(text, ret_parts);
}

int registry_reference_parse(const char *text, struct registry_reference *ret_reference,
                             struct err *err)
{
    static const char right_one[] =
        "write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:..., all of it, such as "
        "ghcr.io/owner/image:1.2.3";
    struct parts parts;
    // A pasted URL may hold a password: it is not repeated.
    if (strstr(text, "://") != NULL)
        return err_set(err, EINVAL, "an image reference has no 'https://' before it: %s",
                       right_one);
    const char *at = strchr(text, '@');
    if (at != NULL && strchr(at, '/') != NULL)
        return err_set(err, EINVAL,
                       "an image reference holds no user or password: log in with docker login; %s",
                       right_one);
    const char *reason = reason_against(text, &parts);
    if (reason != NULL)
        return err_set(err, EINVAL, "'%.200s' is no full image reference: %s; %s", text, reason,
                       right_one);

    struct registry_reference reference = {
        .host = span_copy(parts.host),
        .repository = span_copy(parts.repository),
        .tag = parts.tag.size > 0 ? span_copy(parts.tag) : NULL,
        .digest = parts.digest.size > 0 ? span_copy(parts.digest) : NULL,
        .text = strdup(text),
    };
    if (reference.host == NULL || reference.repository == NULL || reference.text == NULL ||
        (parts.tag.size > 0 && reference.tag == NULL) ||
        (parts.digest.size > 0 && reference.digest == NULL)) {
        registry_reference_done(&reference);
        return err_no_memory(err);
    }
    for (char *c = reference.host; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    *ret_reference = reference;
    return 0;
}

static bool copy_text(const char *from, char **ret_to)
{
    if (from != NULL)
        *ret_to = strdup(from);
    return from == NULL || *ret_to != NULL;
}

int registry_reference_copy(const struct registry_reference *from,
                            struct registry_reference *ret_to)
{
    struct registry_reference to = {0};
    if (!copy_text(from->host, &to.host) || !copy_text(from->repository, &to.repository) ||
        !copy_text(from->tag, &to.tag) || !copy_text(from->digest, &to.digest) ||
        !copy_text(from->text, &to.text)) {
        registry_reference_done(&to);
        return -ENOMEM;
    }
    *ret_to = to;
    return 0;
}

void registry_reference_done(struct registry_reference *reference)
{
    if (reference == NULL)
        return;
    free(reference->host);
    free(reference->repository);
    free(reference->tag);
    free(reference->digest);
    free(reference->text);
    *reference = (struct registry_reference){0};
}

// ---- names made from a reference ---------------------------------------------------------------

static const char *reason_against_tag(const char *text)
{
    struct span repository, tag;
    bool has_colon;
    if (strlen(text) > REFERENCE_TEXT_MAX)
        return "it is too long";
    if (strchr(text, '@') != NULL)
        return "a digest cannot be a name";
    split_tag((struct span){text, strlen(text)}, &repository, &tag, &has_colon);
    if (!has_colon)
        return "it has no tag";
    const char *slash = span_find(repository, '/');
    struct span host = {text, slash == NULL ? 0 : (size_t)(slash - text)};
    if (slash != NULL && is_told_from_a_path(host)) {
        if (!is_host(host))
            return "what stands before the first '/' is no host";
        repository = (struct span){slash + 1, repository.size - host.size - 1};
    }
    if (has_upper(repository))
        return "the repository has upper-case letters";
    if (!is_repository(repository))
        return "the repository is not well-formed";
    return is_tag(tag) ? NULL : "the tag is not well-formed";
}

int registry_tag_check(const char *text, struct err *err)
{
    const char *reason = reason_against_tag(text);
    if (reason == NULL)
        return 0;
    return err_set(
        err, EINVAL,
        "'%.200s' is no name for an image: %s; write REPOSITORY:TAG, such as runtime:1.2.3", text,
        reason);
}

static char *name_with_tag(const struct registry_reference *reference, const char *host,
                           const char *separator, const char *repository)
{
    char *name = NULL;
    int size = reference->tag != NULL
                   ? asprintf(&name, "%s%s%s:%s", host, separator, repository, reference->tag)
                   : asprintf(&name, "%s%s%s:sha256-%.*s", host, separator, repository,
                              DIGEST_NAME_HEX, reference->digest + strlen("sha256:"));
    return size < 0 ? NULL : name;
}

char *registry_reference_default_tag(const struct registry_reference *reference)
{
    return name_with_tag(reference, reference->host, "/", reference->repository);
}

char *registry_reference_default_name(const struct registry_reference *reference)
{
    const char *slash = strrchr(reference->repository, '/');
    return name_with_tag(reference, "", "", slash == NULL ? reference->repository : slash + 1);
}
