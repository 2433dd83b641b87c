// WWW-Authenticate.

#include "fuzz.h"

#include "registry/challenge.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    struct challenges challenges = {0};
    if (registry_challenges_parse(text, &challenges) == 0)
        registry_challenges_done(&challenges);
    free(text);
    return 0;
}
