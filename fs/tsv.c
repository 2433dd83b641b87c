#include "tsv.h"

#include "utf8.h"

#include <stdbool.h>
#include <string.h>

static int add_escaped(struct buf *text, const char *bytes, size_t size)
{
    if (*bytes == '\t' || *bytes == '\n' || *bytes == '\\')
        return buf_append_text(text, *bytes == '\t' ? "\\t" : *bytes == '\n' ? "\\n" : "\\\\");
    int error = 0;
    for (size_t i = 0; i < size && error == 0; i++)
        error = buf_printf(text, "\\x%02x", (unsigned char)bytes[i]);
    return error;
}

static size_t plain_size(const char *text)
{
    size_t size = 0;
    while (text[size] >= ' ' && text[size] <= '~' && text[size] != '\\')
        size++;
    return size;
}

int tsv_field(struct buf *text, const char *field)
{
    int error = 0;
    size_t left = field ? strlen(field) : 0;

    if (left == 0)
        return buf_append_char(text, '-');
    while (left > 0 && error == 0) {
        size_t size = plain_size(field);
        if (size > 0) { // all of a link
            error = buf_append(text, field, size);
            field += size;
            left -= size;
            continue;
        }
        uint32_t character = utf8_decode(field, left, &size);
        bool is_plain = character != '\\' && !(character == UTF8_BROKEN && size == 1) &&
                        !utf8_is_control(character) && !utf8_is_deceptive(character);
        error = is_plain ? buf_append(text, field, size) : add_escaped(text, field, size);
        field += size;
        left -= size;
    }
    return error;
}
