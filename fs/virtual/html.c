#include "html.h"

#include "../utf8.h"

#include <stdarg.h>
#include <string.h>

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return NULL;
}

static int append_character(struct buf *page, const char *bytes, size_t size, uint32_t character)
{
    if (character == UTF8_BROKEN && size == 1)
        return buf_printf(page, "[0x%02X]", (unsigned char)bytes[0]);
    if (utf8_is_control(character) || utf8_is_deceptive(character))
        return buf_printf(page, "[U+%04X]", (unsigned)character);
    if (character < 0x80 && entity(bytes[0]))
        return buf_append_text(page, entity(bytes[0]));
    return buf_append(page, bytes, size);
}

int html_bytes(struct buf *page, const char *text, size_t size)
{
    int error = 0;

    for (size_t at = 0, step; at < size && error == 0; at += step) {
        uint32_t character = utf8_decode(text + at, size - at, &step);
        error = append_character(page, text + at, step, character);
    }
    return error;
}

int html_text(struct buf *page, const char *text)
{
    return html_bytes(page, text, strlen(text));
}

int html_format(struct buf *page, const char *format, ...)
{
    va_list args;
    int error = 0;

    va_start(args, format);
    for (; *format && error == 0; format++) {
        if (*format != '%')
            error = buf_append_char(page, *format);
        else if (*++format == 's')
            error = html_text(page, va_arg(args, const char *));
        else
            error = buf_append_char(page, '%');
    }
    va_end(args);
    return error;
}

static int append_quoted(struct buf *page, const char *word, const char *quote_within)
{
    html_text(page, "'");
    while (*word) {
        size_t plain = strcspn(word, "'");
        html_bytes(page, word, plain);
        word += plain;
        if (*word) {
            html_text(page, quote_within);
            word++;
        }
    }
    return html_text(page, "'");
}

int html_shell_word(struct buf *page, const char *word)
{
    return append_quoted(page, word, "'\\''");
}

int html_powershell_word(struct buf *page, const char *word)
{
    return append_quoted(page, word, "''");
}
