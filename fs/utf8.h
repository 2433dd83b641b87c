// utf8.h - text that others wrote: is it UTF-8, and what is the next character of it? Pure, total.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_BROKEN = 0xFFFD }; // what stands for a byte that belongs to no character

// The character at `bytes` (size > 0) and, in *ret_size, the bytes it takes. Overlong forms,
// surrogates, values past U+10FFFF and cut sequences are UTF8_BROKEN of one byte.
uint32_t utf8_decode(const char *bytes, size_t size, size_t *ret_size);
// How many bytes of whole characters at the text's beginning are at most size_max.
size_t utf8_fit(const char *text, size_t size_max);
bool utf8_is_valid(const char *bytes, size_t size);

// C0 and C1 controls and DEL; line breaks and tabs are among them.
bool utf8_is_control(uint32_t character);
// Characters that take no room of their own or turn the order of what stands around them: with
// them "gpj.exe" can be shown as "exe.jpg". (Unicode's Cf, Zl, Zp, as far as text renders them.)
bool utf8_is_deceptive(uint32_t character);
// Valid UTF-8 without control characters: fit to be shown in one line.
bool utf8_is_line(const char *bytes, size_t size);
