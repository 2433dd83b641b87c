#include "referrer_names.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PATH_MAX_BYTES = 4096 };

const struct referrer_name referrer_names[REFERRER_NAMES_COUNT] = {
    {".sig", REGISTRY_SIGNATURE, true},
    {".att", REGISTRY_ATTESTATION, true},
    {".sbom", REGISTRY_SBOM, false},
};

void referrer_name_tag(const struct referrer_name *name, const char *digest,
                       char ret_tag[REGISTRY_REFERRER_TAG_SIZE])
{
    snprintf(ret_tag, REGISTRY_REFERRER_TAG_SIZE, "sha256-%.64s%s", digest + strlen("sha256:"),
             name != NULL ? name->ending : "");
}

// ---- kinds -------------------------------------------------------------------------------------

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

bool referrer_is_bundle(const char *artifact_type)
{
    return artifact_type != NULL &&
           begins_with(artifact_type, "application/vnd.dev.sigstore.bundle");
}

enum registry_referrer_kind referrer_kind(const char *artifact_type, const char *config_type,
                                          const char *predicate_type)
{
    static const struct {
        const char *beginning;
        enum registry_referrer_kind kind;
    } types[] = {
        {"application/vnd.dev.cosign.artifact.sig.", REGISTRY_SIGNATURE},
        {"application/vnd.cncf.notary.signature", REGISTRY_SIGNATURE},
        {"application/vnd.dev.cosign.artifact.att.", REGISTRY_ATTESTATION},
        {"application/vnd.in-toto", REGISTRY_ATTESTATION},
        {"application/vnd.dev.cosign.artifact.sbom.", REGISTRY_SBOM},
        {"application/spdx", REGISTRY_SBOM},
        {"text/spdx", REGISTRY_SBOM},
        {"application/vnd.cyclonedx", REGISTRY_SBOM},
        {"application/vnd.syft", REGISTRY_SBOM},
    };
    const char *type = artifact_type != NULL ? artifact_type : config_type;
    if (type == NULL)
        return REGISTRY_OTHER_REFERRER;
    // A bundle holds a signed statement: that the image is signed, or anything else about it.
    if (referrer_is_bundle(type))
        return predicate_type != NULL && begins_with(predicate_type, REFERRER_SIGN_PREDICATE)
                   ? REGISTRY_SIGNATURE
                   : REGISTRY_ATTESTATION;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (begins_with(type, types[i].beginning))
            return types[i].kind;
    return REGISTRY_OTHER_REFERRER;
}

// ---- pages -------------------------------------------------------------------------------------

// "<URL>; rel=next": the target begins at *text; where its parameters end is returned.
static const char *parameters_end(const char *text)
{
    bool is_quoted = false;
    for (; *text != '\0' && (is_quoted || *text != ','); text++)
        if (*text == '"')
            is_quoted = !is_quoted;
    return text;
}

static bool is_next(const char *parameters, const char *end)
{
    for (const char *c = parameters; c < end; c++) {
        if (*c != ';')
            continue;
        c += 1 + strspn(c + 1, " \t");
        if (strncasecmp(c, "rel=next", strlen("rel=next")) == 0 ||
            strncasecmp(c, "rel=\"next\"", strlen("rel=\"next\"")) == 0)
            return true;
        c--;
    }
    return false;
}

// What follows the beginning; NULL where it begins otherwise, or is NULL.
static const char *behind(const char *text, const char *beginning)
{
    return text != NULL && begins_with(text, beginning) ? text + strlen(beginning) : NULL;
}

// Whoever is asked next is the registry again, whatever host the link names.
static int take_path(const char *target, size_t size, const char *repository, char **ret_path,
                     struct err *err)
{
    auto_free char *url = size <= PATH_MAX_BYTES ? strndup(target, size) : NULL;
    if (size <= PATH_MAX_BYTES && url == NULL)
        return err_no_memory(err);
    const char *authority = url != NULL ? strstr(url, "://") : NULL;
    const char *path = authority != NULL ? strchr(authority + 3, '/') : url;
    const char *rest = behind(behind(path, "/v2/"), repository);
    bool is_right = behind(rest, "/referrers/") != NULL && strstr(path, "..") == NULL;
    for (const char *c = path; is_right && *c != '\0'; c++)
        is_right = *c > ' ' && *c <= '~' && *c != '#';
    if (!is_right)
        return err_set(err, EPROTO, "its list of referrers goes on where it cannot");
    *ret_path = strdup(rest + strlen("/"));
    return *ret_path != NULL ? 0 : err_no_memory(err);
}

int referrer_next_page(const char *link, const char *repository, char **ret_path, struct err *err)
{
    for (;;) {
        link += strspn(link, " \t,");
        const char *close = *link == '<' ? strchr(link, '>') : NULL;
        if (close == NULL)
            return 0;
        const char *end = parameters_end(close + 1);
        if (is_next(close + 1, end))
            return take_path(link + 1, (size_t)(close - link - 1), repository, ret_path, err);
        link = end;
    }
}
