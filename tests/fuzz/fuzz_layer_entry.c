// Entries of the layer index.

#include "fuzz.h"

#include "fs/publish/layer_entry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *key = NULL, *etag = NULL;
    struct err err = {0};
    if (layer_entry_parse((const char *)bytes, size, "team/", &key, &etag, &err) == 0) {
        free(key);
        free(etag);
    }
    return 0;
}
