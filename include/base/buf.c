#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 64 }; // bytes; below it a growing text would reallocate at every word

void buf_init(struct buf *buf, size_t limit_bytes)
{
    *buf = BUF_INIT(limit_bytes);
}

void buf_done(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->bytes);
    *buf = BUF_INIT(buf->limit);
}

// Makes room for `size` more bytes and the NUL behind them.
static int reserve(struct buf *buf, size_t size)
{
    // Once full, always full: were a later, shorter piece taken, the text would have a hole that
    // a caller who looks at the last answer alone does not notice.
    if (buf->is_full || size > buf->limit - buf->size || buf->limit == SIZE_MAX) {
        buf->is_full = true;
        return -E2BIG;
    }
    size_t wanted = buf->size + size + 1;
    if (wanted <= buf->capacity)
        return 0;

    size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
    while (capacity < wanted)
        capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
    if (capacity > buf->limit + 1)
        capacity = buf->limit + 1;
    char *bytes = realloc(buf->bytes, capacity);
    if (!bytes) {
        buf->is_full = true;
        return -ENOMEM;
    }
    buf->bytes = bytes;
    buf->capacity = capacity;
    return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t size)
{
    int r = reserve(buf, size);
    if (r < 0)
        return r;
    if (size > 0)
        memcpy(buf->bytes + buf->size, bytes, size);
    buf->size += size;
    buf->bytes[buf->size] = '\0';
    return 0;
}

int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = buf_vprintf(buf, format, args);
    va_end(args);
    return r;
}

int buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    // Most texts fit into what room there is: one pass writes and measures.
    size_t room = buf->is_full || !buf->bytes ? 0 : buf->capacity - buf->size;
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(room ? buf->bytes + buf->size : NULL, room, format, args);
    int r = -E2BIG;
    if (size < 0) // longer than INT_MAX, or a wide character that the locale lacks
        buf->is_full = true;
    else
        r = reserve(buf, (size_t)size);
    if (r < 0 && room > 0)
        buf->bytes[buf->size] = '\0';
    if (r == 0 && (size_t)size >= room)
        vsnprintf(buf->bytes + buf->size, (size_t)size + 1, format, again);
    va_end(again);
    if (r == 0)
        buf->size += (size_t)size;
    return r;
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->is_full = false;
    if (buf->bytes)
        buf->bytes[0] = '\0';
}

const char *buf_text(const struct buf *buf)
{
    return buf->bytes ? buf->bytes : "";
}

char *buf_take(struct buf *buf)
{
    if (buf->is_full)
        return NULL;
    char *bytes = buf->bytes ? buf->bytes : calloc(1, 1);
    if (bytes)
        *buf = BUF_INIT(buf->limit);
    return bytes;
}
