// secret.h - bytes that must not leak: wiped when released, never printed.
//
// There is no function that formats a secret; whoever needs its bytes names them with
// secret_text, so that a search for that name finds every place where one is used.
// The memory is locked and left out of core dumps where the kernel allows it.
// One owner; reading from several threads is fine.
#pragma once

#include <stddef.h>

struct secret; // opaque

// Copies `size` bytes. NULL when memory is out.
struct secret *secret_new(const void *bytes, size_t size);
struct secret *secret_from_text(const char *text);
struct secret *secret_copy(const struct secret *secret); // NULL yields NULL
// Joined, printf-like, of strings only: secret_join("Bearer ", token, NULL).
struct secret *secret_join(const char *first, ...) __attribute__((sentinel));
void secret_free(struct secret *secret); // accepts NULL

const char *secret_text(const struct secret *secret); // NUL-terminated; "" for NULL
size_t secret_size(const struct secret *secret);      // without the NUL; 0 for NULL

// Overwrites memory in a way that the compiler keeps.
void secret_wipe(void *bytes, size_t size);

static inline void secret_scope(struct secret **secret)
{
    secret_free(*secret);
}
#define auto_secret __attribute__((cleanup(secret_scope)))
