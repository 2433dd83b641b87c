#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// The bytes of the UTF-8 character that text begins with (RFC 3629: no overlong forms, no
// surrogates, nothing past U+10FFFF) and its code point, or 0 where there is no valid one.
// Stops at the NUL by itself, because a NUL is no continuation byte.
static size_t utf8_decode(const unsigned char *text, uint32_t *ret_code_point)
{
    if (text[0] < 0x80) {
        *ret_code_point = text[0];
        return 1;
    }
    size_t size;
    uint32_t smallest;
    uint32_t code_point;
    if ((text[0] & 0xE0) == 0xC0) {
        size = 2;
        smallest = 0x80;
        code_point = text[0] & 0x1F;
    } else if ((text[0] & 0xF0) == 0xE0) {
        size = 3;
        smallest = 0x800;
        code_point = text[0] & 0x0F;
    } else if ((text[0] & 0xF8) == 0xF0) {
        size = 4;
        smallest = 0x10000;
        code_point = text[0] & 0x07;
    } else {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        code_point = code_point << 6 | (text[i] & 0x3F);
    }
    if (code_point < smallest || code_point > 0x10FFFF ||
        (code_point >= 0xD800 && code_point <= 0xDFFF))
        return 0;
    *ret_code_point = code_point;
    return size;
}

// Besides the control characters (C0, DEL, C1): the separators that end a line for some viewers,
// and the direction marks that let a name show as another.
static bool is_printable(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c < 0xA0))
        return false;
    return c != 0x061C && c != 0x200E && c != 0x200F && !(c >= 0x2028 && c <= 0x202E) &&
           !(c >= 0x2066 && c <= 0x2069) && c != 0xFEFF;
}

// In place; the text only ever gets shorter. One '?' for each unprintable character and for each
// byte that belongs to none.
static void make_printable(char *text)
{
    const unsigned char *in = (const unsigned char *)text;
    char *out = text;
    while (*in) {
        uint32_t code_point = 0;
        size_t size = utf8_decode(in, &code_point);
        if (size == 0 || !is_printable(code_point)) {
            *out++ = '?';
            in += size == 0 ? 1 : size;
            continue;
        }
        memmove(out, in, size);
        out += size;
        in += size;
    }
    *out = '\0';
}

// Takes away the beginning of a character that a cut left at the end; otherwise it would show
// as question marks that nobody sent.
static void drop_cut_character(char *text)
{
    size_t size = strlen(text);
    size_t tail = 0;
    while (tail < size && tail < 3 && ((unsigned char)text[size - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (tail == size)
        return;
    unsigned char lead = (unsigned char)text[size - 1 - tail];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (lead >= 0xC0 && tail + 1 < wanted)
        text[size - 1 - tail] = '\0';
}

static void format_text(char ret_text[ERR_TEXT_SIZE], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void format_text(char ret_text[ERR_TEXT_SIZE], const char *format, va_list args)
{
    int size = vsnprintf(ret_text, ERR_TEXT_SIZE, format, args);
    if (size < 0)
        snprintf(ret_text, ERR_TEXT_SIZE, "(a sentence that cannot be formatted)");
    else if (size >= ERR_TEXT_SIZE)
        drop_cut_character(ret_text);
    make_printable(ret_text);
}

int err_set(struct err *err, int errnum, const char *format, ...)
{
    // Formatted before *err is touched: the arguments may point into err->text.
    char text[ERR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    format_text(text, format, args);
    va_end(args);

    if (errnum < 0)
        errnum = -errnum;
    *err = (struct err){
        // A failure without a number would return 0 and be taken for a success.
        .errnum = errnum == 0 ? EIO : errnum,
        .retry_after_ms = -1,
    };
    memcpy(err->text, text, strlen(text) + 1);
    return -err->errnum;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char context[ERR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    format_text(context, format, args);
    va_end(args);

    char text[2 * ERR_TEXT_SIZE + 2];
    int size = snprintf(text, sizeof(text), "%s: %s", context, err->text);
    if (size >= ERR_TEXT_SIZE) {
        text[ERR_TEXT_SIZE - 1] = '\0';
        drop_cut_character(text);
    }
    memcpy(err->text, text, strlen(text) + 1);
    return -err->errnum;
}

int err_no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "out of memory");
}
