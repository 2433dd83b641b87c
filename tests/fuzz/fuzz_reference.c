// References to images.

#include "fuzz.h"

#include "registry.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    struct registry_reference reference = {0};
    struct registry_platforms platforms;
    struct err err = {0};
    if (registry_reference_parse(text, &reference, &err) == 0)
        registry_reference_done(&reference);
    (void)registry_platforms_parse(text, &platforms, &err);
    free(text);
    return 0;
}
