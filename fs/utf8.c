#include "utf8.h"

#include <string.h>

#include "base/scope.h"

uint32_t utf8_decode(const char *bytes, size_t size, size_t *ret_size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    size_t following;
    uint32_t character;

    *ret_size = 1;
    if (b[0] < 0x80)
        return b[0];
    if ((b[0] & 0xE0) == 0xC0) {
        following = 1;
        character = b[0] & 0x1F;
    } else if ((b[0] & 0xF0) == 0xE0) {
        following = 2;
        character = b[0] & 0x0F;
    } else if ((b[0] & 0xF8) == 0xF0) {
        following = 3;
        character = b[0] & 0x07;
    } else {
        return UTF8_BROKEN;
    }
    if (following >= size)
        return UTF8_BROKEN;
    for (size_t i = 1; i <= following; i++) {
        if ((b[i] & 0xC0) != 0x80)
            return UTF8_BROKEN;
        character = character << 6 | (b[i] & 0x3F);
    }
    if (character < smallest[following] || character > 0x10FFFF ||
        (character >= 0xD800 && character <= 0xDFFF))
        return UTF8_BROKEN;
    *ret_size = following + 1;
    return character;
}

bool utf8_is_valid(const char *bytes, size_t size)
{
    for (size_t at = 0, step; at < size; at += step) {
        uint32_t character = utf8_decode(bytes + at, size - at, &step);
        // U+FFFD itself takes three bytes.
        if (character == UTF8_BROKEN && step == 1)
            return false;
    }
    return true;
}

bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character <= 0x9F);
}

bool utf8_is_deceptive(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00AD, 0x00AD},   // soft hyphen
        {0x034F, 0x034F},   // combining grapheme joiner
        {0x061C, 0x061C},   // Arabic letter mark
        {0x115F, 0x1160},   // Hangul fillers
        {0x17B4, 0x17B5},   // Khmer inherent vowels
        {0x180B, 0x180F},   // Mongolian selectors
        {0x200B, 0x200F},   // zero width, left-to-right and right-to-left marks
        {0x2028, 0x202E},   // line and paragraph separators, bidirectional overrides
        {0x2060, 0x206F},   // word joiner, bidirectional isolates
        {0x3164, 0x3164},   // Hangul filler
        {0xFE00, 0xFE0F},   // variation selectors
        {0xFEFF, 0xFEFF},   // byte order mark
        {0xFFA0, 0xFFA0},   // half-width Hangul filler
        {0xFFF0, 0xFFFB},   // interlinear annotation
        {0xE0000, 0xE0FFF}, // tags, more variation selectors
    };

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}

size_t utf8_fit(const char *text, size_t size_max)
{
    size_t size = strlen(text), at = 0;
    while (at < size) {
        size_t step;
        utf8_decode(text + at, size - at, &step);
        if (at + step > size_max)
            break;
        at += step;
    }
    return at;
}

bool utf8_is_line(const char *bytes, size_t size)
{
    for (size_t at = 0, step; at < size; at += step) {
        uint32_t character = utf8_decode(bytes + at, size - at, &step);
        if (utf8_is_control(character) || (character == UTF8_BROKEN && step == 1))
            return false;
    }
    return true;
}
