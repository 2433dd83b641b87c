// Documents of S3 and STS, the second reading with masked characters included.

#include "fuzz.h"

#include "s3/xml.h"

#include <stdlib.h>
#include <string.h>

static int on_element(void *context, const char *path, const char *text, struct err *err)
{
    (void)err;
    *(size_t *)context += strlen(path) + strlen(text);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err err = {0};
    size_t total = 0;
    char *copy = fuzz_text(bytes, size);
    (void)xml_read(copy, size, on_element, &total, &err);
    xml_mask(copy, size);
    (void)xml_read(copy, size, on_element, &total, &err);
    free(copy);
    return 0;
}
