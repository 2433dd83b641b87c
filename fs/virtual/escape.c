#include "escape.h"

#include "../utf8.h"

#include <errno.h>
#include <string.h>

bool escape_unseen(struct buf *text, const char *bytes, size_t size, uint32_t character)
{
    if (character == UTF8_BROKEN && size == 1)
        buf_printf(text, "[0x%02X]", (unsigned char)bytes[0]);
    else if (utf8_is_control(character) || utf8_is_deceptive(character))
        buf_printf(text, "[U+%04X]", (unsigned)character);
    else
        return false;
    return true;
}

// Writes one character that can be seen.
typedef int (*write_seen)(struct buf *text, const char *bytes, size_t size, uint32_t character);

static int append(struct buf *text, const char *from, write_seen write)
{
    size_t size = strlen(from);

    for (size_t at = 0, step; at < size && !text->is_full; at += step) {
        uint32_t character = utf8_decode(from + at, size - at, &step);
        if (!escape_unseen(text, from + at, step, character))
            write(text, from + at, step, character);
    }
    return text->is_full ? -E2BIG : 0;
}

static int write_itself(struct buf *text, const char *bytes, size_t size, uint32_t character)
{
    (void)character;
    return buf_append(text, bytes, size);
}

int escape_text(struct buf *text, const char *from)
{
    return append(text, from, write_itself);
}

static int write_in_shell(struct buf *text, const char *bytes, size_t size, uint32_t character)
{
    return character == '\'' ? buf_append_text(text, "'\\''") : buf_append(text, bytes, size);
}

int escape_shell_word(struct buf *text, const char *word)
{
    buf_append_char(text, '\'');
    append(text, word, write_in_shell);
    return buf_append_char(text, '\'');
}

// PowerShell's tokenizer takes U+2018 to U+201B for a ' too.
static int write_in_powershell(struct buf *text, const char *bytes, size_t size, uint32_t character)
{
    if (character == '\'' || (character >= 0x2018 && character <= 0x201B))
        buf_append(text, bytes, size);
    return buf_append(text, bytes, size);
}

int escape_powershell_word(struct buf *text, const char *word)
{
    buf_append_char(text, '\'');
    append(text, word, write_in_powershell);
    return buf_append_char(text, '\'');
}

static int write_in_markdown(struct buf *text, const char *bytes, size_t size, uint32_t character)
{
    bool is_plain = character >= 0x80 || (character >= 'a' && character <= 'z') ||
                    (character >= 'A' && character <= 'Z') ||
                    (character >= '0' && character <= '9') || character == ' ';

    return is_plain ? buf_append(text, bytes, size)
                    : buf_printf(text, "&#%u;", (unsigned)character);
}

int escape_markdown(struct buf *text, const char *from)
{
    return append(text, from, write_in_markdown);
}
