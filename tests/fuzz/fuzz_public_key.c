// The file of verify_key=.

#include "fuzz.h"

#include "base/public_key.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct public_key *key = NULL;
    struct err err = {0};
    if (public_key_parse((const char *)bytes, size, &key, &err) < 0)
        return 0;
    // Nothing that is in the key itself is a signature by it.
    if (public_key_verify(key, bytes, size, bytes, size < 64 ? size : 64))
        abort();
    public_key_free(key);
    return 0;
}
