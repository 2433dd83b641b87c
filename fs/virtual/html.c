#include "html.h"

#include "escape.h"

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
    if (escape_unseen(page, bytes, size, character))
        return page->is_full ? -E2BIG : 0;
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

static int append_word(struct buf *page, const char *word,
                       int (*escape)(struct buf *text, const char *word))
{
    auto_buf struct buf quoted = BUF_INIT(page->limit);

    escape(&quoted, word);
    page->is_full |= quoted.is_full; // its limit is the page's
    return html_text(page, buf_text(&quoted));
}

int html_shell_word(struct buf *page, const char *word)
{
    return append_word(page, word, escape_shell_word);
}

int html_powershell_word(struct buf *page, const char *word)
{
    return append_word(page, word, escape_powershell_word);
}
