#include "base/secret.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

// Pages of its own for each: mlock and MADV_DONTDUMP work on whole pages, so a neighbour on the
// same page that is released would unlock this one. There are few secrets at a time.
struct secret {
    size_t region_size; // bytes mapped, this head included
    size_t size;        // bytes of text, without the NUL
    char text[];
};

enum { SIZE_LIMIT = 16 * 1024 * 1024 }; // bytes; no token is near it, and no sum overflows below it

// Room for `size` bytes, zeroed.
static struct secret *secret_reserve(size_t size)
{
    if (size > SIZE_LIMIT)
        return NULL;
    size_t region_size = sizeof(struct secret) + size + 1;
    void *region =
        mmap(NULL, region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return NULL;
    // Best effort, both: RLIMIT_MEMLOCK may be 0 in a container, and that is no reason to fail.
    // Not MADV_WIPEONFORK: a mount that goes into the background forks and needs its secrets.
    (void)mlock(region, region_size);
    (void)madvise(region, region_size, MADV_DONTDUMP);
    struct secret *secret = region;
    secret->region_size = region_size;
    secret->size = size;
    return secret;
}

struct secret *secret_new(const void *bytes, size_t size)
{
    struct secret *secret = secret_reserve(size);
    if (secret && size > 0)
        memcpy(secret->text, bytes, size);
    return secret;
}

struct secret *secret_from_text(const char *text)
{
    return text ? secret_new(text, strlen(text)) : NULL;
}

struct secret *secret_copy(const struct secret *secret)
{
    return secret ? secret_new(secret->text, secret->size) : NULL;
}

struct secret *secret_join(const char *first, ...)
{
    size_t size = 0;
    va_list args;
    va_start(args, first);
    for (const char *part = first; part; part = va_arg(args, const char *)) {
        size_t part_size = strlen(part);
        size = part_size > SIZE_LIMIT || size > SIZE_LIMIT ? SIZE_MAX : size + part_size;
    }
    va_end(args);

    struct secret *secret = secret_reserve(size);
    if (!secret)
        return NULL;
    char *end = secret->text;
    va_start(args, first);
    for (const char *part = first; part; part = va_arg(args, const char *)) {
        end = stpcpy(end, part);
    }
    va_end(args);
    return secret;
}

void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    size_t region_size = secret->region_size;
    secret_wipe(secret, region_size);
    munmap(secret, region_size);
}

const char *secret_text(const struct secret *secret)
{
    return secret ? secret->text : "";
}

size_t secret_size(const struct secret *secret)
{
    return secret ? secret->size : 0;
}

void secret_wipe(void *bytes, size_t size)
{
    if (bytes && size > 0)
        explicit_bzero(bytes, size);
}
