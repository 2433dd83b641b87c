#include "html.h"

#include "../utf8.h"

#include <errno.h>
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

// How many bytes stand at the beginning that go into the page as they are.
static size_t plain_run(const char *text, size_t size)
{
    size_t run = 0;

    while (run < size && text[run] >= ' ' && text[run] < '\x7F' && !entity(text[run]))
        run++;
    return run;
}

int html_bytes(struct buf *page, const char *text, size_t size)
{
    int error = 0;

    for (size_t at = 0, step; at < size && error == 0; at += step) {
        step = plain_run(text + at, size - at);
        if (step > 0) {
            error = buf_append(page, text + at, step);
            continue;
        }
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

    va_start(args, format);
    while (*format && !page->is_full) {
        size_t markup = strcspn(format, "%");
        buf_append(page, format, markup);
        format += markup;
        if (strncmp(format, "%s", 2) == 0)
            // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang 14 forgets va_start above
            html_text(page, va_arg(args, const char *));
        else if (*format)
            buf_append_char(page, '%');
        format += *format ? 2 : 0;
    }
    va_end(args);
    return page->is_full ? -E2BIG : 0;
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
