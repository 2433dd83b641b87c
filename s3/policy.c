#include "policy.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

// One character of UTF-8; returns its size, 0 where it is none (RFC 3629).
static size_t decode_character(const char *text, uint32_t *ret_character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)*text;
    size_t size = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (size == 0 || first >= 0xF8)
        return 0;
    uint32_t character = size == 1 ? first : first & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xC0) != 0x80)
            return 0;
        character = character << 6 | (next & 0x3F);
    }
    if (character < smallest[size] || character > 0x10FFFF ||
        (character >= 0xD800 && character <= 0xDFFF))
        return 0;
    *ret_character = character;
    return size;
}

static void append_json_character(struct buf *text, uint32_t character)
{
    if (character == '"' || character == '\\')
        (void)buf_printf(text, "\\%c", (char)character);
    else if (character >= 0x20 && character < 0x7F)
        (void)buf_append_char(text, (char)character);
    else if (character < 0x10000)
        (void)buf_printf(text, "\\u%04x", (unsigned)character);
    else
        (void)buf_printf(text, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((character - 0x10000) >> 10)),
                         (unsigned)(0xDC00 + ((character - 0x10000) & 0x3FF)));
}

// A `$` is nothing by itself; it must not become one with what comes next.
static bool is_special(const char *at)
{
    return *at == '*' || *at == '?' || (*at == '$' && at[1] && strchr("{*?$", at[1]));
}

// False where the bytes are no UTF-8.
static bool append_escaped(struct buf *text, const char *bytes, bool is_pattern)
{
    for (const char *at = bytes; *at;) {
        uint32_t character;
        size_t size = decode_character(at, &character);
        if (size == 0)
            return false;
        if (is_pattern && is_special(at))
            (void)buf_printf(text, "${%c}", (char)character);
        else
            append_json_character(text, character);
        at += size;
    }
    return true;
}

static bool append_statement(struct buf *text, const struct s3_policy *policy, const char *effect,
                             const char *prefix)
{
    (void)buf_printf(
        text, "{\"Effect\":\"%s\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:%s:s3:::%s/",
        effect, policy->partition, policy->bucket);
    bool is_text = append_escaped(text, prefix, true);
    (void)buf_append_text(text, "*\"}");
    return is_text;
}

int s3_policy_write(const struct s3_policy *policy, struct buf *text, struct err *err)
{
    size_t start = text->size;
    (void)buf_append_text(text, "{\"Version\":\"2012-10-17\",\"Statement\":[");
    bool is_text = append_statement(text, policy, "Allow", policy->prefix);
    if (policy->denied_prefix) {
        (void)buf_append_char(text, ',');
        is_text = append_statement(text, policy, "Deny", policy->denied_prefix) && is_text;
    }
    if (policy->kms_key) {
        (void)buf_append_text(text,
                              ",{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"");
        is_text = append_escaped(text, policy->kms_key, false) && is_text;
        (void)buf_append_text(text, "\"}");
    }
    (void)buf_append_text(text, "]}");
    if (!is_text)
        return err_set(err, EINVAL, "the prefix is no UTF-8: no policy can name it");
    if (text->is_full || text->size - start > S3_POLICY_SIZE_MAX)
        return err_set(err, EINVAL,
                       "the prefix is too long: its session policy has more than the %d characters "
                       "that STS takes",
                       S3_POLICY_SIZE_MAX);
    return 0;
}
