// The Link header of a list of referrers.

#include "fuzz.h"

#include "registry/referrer_names.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *link = fuzz_text(bytes, size);
    char *path = NULL;
    struct err err = {0};
    if (referrer_next_page(link, "a/b", &path, &err) == 0 && path &&
        (strncmp(path, "referrers/", strlen("referrers/")) != 0 || strstr(path, "..")))
        abort();
    free(path);
    free(link);
    return 0;
}
