#include "record_referrers.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

// So that a page or a table cannot be flooded with digits.
static const uint64_t count_max = 1000 * 1000;

static const char *const kind_names[REGISTRY_REFERRER_KINDS] = {
    [REGISTRY_SIGNATURE] = "signatures",
    [REGISTRY_ATTESTATION] = "attestations",
    [REGISTRY_SBOM] = "sboms",
    [REGISTRY_OTHER_REFERRER] = "others",
};

static int append(struct buf *text, const char *name, uint64_t count)
{
    if (count == 0)
        return 0;
    return buf_printf(text, "%s%s=%" PRIu64, text->size > 0 ? "," : "", name, count);
}

int record_referrers_text(const struct record_referrers *referrers, struct buf *text)
{
    int error = 0;
    if (!referrers->is_known)
        return 0;
    for (size_t i = 0; error == 0 && i < REGISTRY_REFERRER_KINDS; i++)
        error = append(text, kind_names[i], referrers->statements[i]);
    if (error == 0)
        error = append(text, "buildx", referrers->buildx);
    if (error == 0)
        error = append(text, "left_out", referrers->left_out);
    return error == 0 && text->size == 0 ? buf_append_text(text, "none") : error;
}

bool record_referrers_are_carried(const struct record_referrers *referrers)
{
    for (size_t i = 0; i < REGISTRY_REFERRER_KINDS; i++)
        if (referrers->statements[i] > 0)
            return true;
    return false;
}

static int refuse(struct err *err, const char *member, const char *reason)
{
    return err_set(err, EBADMSG, "\"signatures.%s\" %s", member, reason);
}

int record_referrers_check(const struct record_referrers *referrers, struct err *err)
{
    bool is_right = referrers->buildx <= count_max && referrers->left_out <= count_max;
    for (size_t i = 0; i < REGISTRY_REFERRER_KINDS; i++)
        is_right = is_right && referrers->statements[i] <= count_max;
    if (!is_right)
        return refuse(err, "*", "are more than any image has");
    const char *hex = referrers->of + strlen("sha256:");
    if (referrers->of[0] != '\0' && (strncmp(referrers->of, "sha256:", strlen("sha256:")) != 0 ||
                                     strspn(hex, "0123456789abcdef") != 64 || strlen(hex) != 64))
        return refuse(err, "of", "is no sha256 digest");
    return 0;
}

static int set_count(json_t *json, const char *name, uint64_t count)
{
    return json_object_set_new(json, name, json_integer((json_int_t)count));
}

json_t *record_referrers_to_json(const struct record_referrers *referrers)
{
    json_t *json = json_object();
    int error = json ? 0 : -1;
    for (size_t i = 0; error == 0 && i < REGISTRY_REFERRER_KINDS; i++)
        error = set_count(json, kind_names[i], referrers->statements[i]);
    if (error == 0)
        error = set_count(json, "buildx", referrers->buildx);
    if (error == 0)
        error = set_count(json, "left_out", referrers->left_out);
    if (error == 0 && referrers->of[0] != '\0')
        error = json_object_set_new(json, "of", json_string(referrers->of));
    if (error == 0)
        return json;
    json_decref(json);
    return NULL;
}

static int take_count(const json_t *json, const char *name, uint64_t *ret_count, struct err *err)
{
    const json_t *number = json_object_get(json, name);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return refuse(err, name, "is missing or no whole number");
    *ret_count = (uint64_t)json_integer_value(number);
    return 0;
}

int record_referrers_from_json(const json_t *json, struct record_referrers *ret_referrers,
                               struct err *err)
{
    struct record_referrers referrers = {.is_known = json};
    const char *of = json_string_value(json_object_get(json, "of"));
    int error = 0;
    for (size_t i = 0; json && error == 0 && i < REGISTRY_REFERRER_KINDS; i++)
        error = take_count(json, kind_names[i], &referrers.statements[i], err);
    if (json && error == 0)
        error = take_count(json, "buildx", &referrers.buildx, err);
    if (json && error == 0)
        error = take_count(json, "left_out", &referrers.left_out, err);
    if (error < 0)
        return error;
    if (of && strlen(of) >= sizeof(referrers.of))
        return refuse(err, "of", "is no sha256 digest");
    if (of)
        memcpy(referrers.of, of, strlen(of) + 1);
    *ret_referrers = referrers;
    return 0;
}
