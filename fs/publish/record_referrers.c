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
    if (error == 0 && text->size == 0)
        return buf_append_text(text, "none");
    return error == 0 && referrers->verified_by[0] != '\0' ? buf_append_text(text, ",verified")
                                                           : error;
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

static bool is_hex(const char *text)
{
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

int record_referrers_check(const struct record_referrers *referrers, struct err *err)
{
    bool is_right = referrers->buildx <= count_max && referrers->left_out <= count_max;
    for (size_t i = 0; i < REGISTRY_REFERRER_KINDS; i++)
        is_right = is_right && referrers->statements[i] <= count_max;
    if (!is_right)
        return refuse(err, "*", "are more than any image has");
    if (referrers->of[0] != '\0' && (strncmp(referrers->of, "sha256:", strlen("sha256:")) != 0 ||
                                     !is_hex(referrers->of + strlen("sha256:"))))
        return refuse(err, "of", "is no sha256 digest");
    if (referrers->verified_by[0] != '\0' && !is_hex(referrers->verified_by))
        return refuse(err, "verified_by", "is no SHA-256 in lower-case hex");
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
    if (error == 0 && referrers->verified_by[0] != '\0')
        error = json_object_set_new(json, "verified_by", json_string(referrers->verified_by));
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

// Of a digest or a hash, which may be missing.
static int take_hex(const json_t *json, const char *name, char *ret_text, size_t size,
                    struct err *err)
{
    const json_t *member = json_object_get(json, name);
    const char *text = json_string_value(member);
    if (!member)
        return 0;
    if (!text || strlen(text) >= size)
        return refuse(err, name, "is no string, or too long");
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

int record_referrers_from_json(const json_t *json, struct record_referrers *ret_referrers,
                               struct err *err)
{
    struct record_referrers referrers = {.is_known = json};
    int error = take_hex(json, "of", referrers.of, sizeof(referrers.of), err);
    if (error == 0)
        error = take_hex(json, "verified_by", referrers.verified_by, sizeof(referrers.verified_by),
                         err);
    for (size_t i = 0; json && error == 0 && i < REGISTRY_REFERRER_KINDS; i++)
        error = take_count(json, kind_names[i], &referrers.statements[i], err);
    if (json && error == 0)
        error = take_count(json, "buildx", &referrers.buildx, err);
    if (json && error == 0)
        error = take_count(json, "left_out", &referrers.left_out, err);
    if (error < 0)
        return error;
    *ret_referrers = referrers;
    return 0;
}
