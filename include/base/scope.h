// scope.h - clean-up that happens by itself at the end of a scope.
//
// `auto_free` frees a malloc'ed pointer, `auto_fd` closes a descriptor. Each room adds the
// like for its own types with DEFINE_SCOPE_CLEANUP. TAKE(p) moves ownership out of such a
// variable: it yields the pointer and leaves NULL behind, so that nothing is freed.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(function) __attribute__((cleanup(function)))

// Makes `static inline void NAME_scope(TYPE **p)` that calls FREE(*p); FREE must accept NULL.
#define DEFINE_SCOPE_CLEANUP(name, type, free_function)                                            \
    static inline void name##_scope(type **p) /* NOLINT(bugprone-macro-parentheses): a type */     \
    {                                                                                              \
        free_function(*p);                                                                         \
    }

#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

static inline void scope_free(void *p)
{
    free(*(void **)p);
}

static inline void scope_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define auto_free AUTO(scope_free)
#define auto_fd AUTO(scope_close)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

// The struct that holds `member`, from a pointer to that member.
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
