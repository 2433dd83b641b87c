#include "fault_memory.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);

// Of the thread that asked: a server that runs beside the code under test is left in peace.
static _Thread_local int left; // allocations until the one that fails; 0 when none is to fail
static _Thread_local bool has_failed;

void memory_fail_at(int nth)
{
    has_failed = false;
    left = nth;
}

bool memory_has_failed(void)
{
    return has_failed;
}

static bool is_this_one(void)
{
    if (left == 0 || --left > 0)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return is_this_one() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_this_one() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_this_one() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return is_this_one() ? NULL : __real_strdup(text);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return is_this_one() ? MAP_FAILED : __real_mmap64(address, size, protection, flags, fd, offset);
}
