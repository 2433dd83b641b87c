// buf.h - a byte buffer that grows up to a limit given at birth.
//
// bytes[size] is always NUL once anything was appended, so text can be used in place. Appending
// past the limit, or running out of memory, leaves the buffer as it was, marks it `is_full`,
// and answers -E2BIG or -ENOMEM. A full buffer refuses every further append (-E2BIG) until it is
// cleared: a long chain of appends may check once, at its end.
// One owner, no locking.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *bytes; // NULL while nothing was appended
    size_t size;
    size_t capacity;
    size_t limit;
    bool is_full;
};

#define BUF_INIT(limit_bytes) ((struct buf){.limit = (limit_bytes)})

void buf_init(struct buf *buf, size_t limit_bytes);
void buf_done(struct buf *buf); // accepts NULL; the buffer is empty and usable again afterwards
static inline void buf_scope(struct buf *buf)
{
    buf_done(buf);
}
#define auto_buf __attribute__((cleanup(buf_scope)))

int buf_append(struct buf *buf, const void *bytes, size_t size);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_char(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void buf_clear(struct buf *buf); // size 0, memory and limit kept

// The text, "" where nothing was appended. Valid until the next append.
const char *buf_text(const struct buf *buf);

// Moves the bytes to the caller (free()); the buffer is empty afterwards. "" becomes a
// malloc'ed empty string. NULL when the buffer is_full or memory is out.
char *buf_take(struct buf *buf);
