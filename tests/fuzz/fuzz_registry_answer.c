// Refusals of registries and their token servers: the sentence.

#include "fuzz.h"

#include "registry/answer.h"

#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct http_response response = {.status = 300 + (size > 0 ? bytes[0] : 0)};
    struct err err = {0};
    json_document_setup();
    if (size > 0)
        response.body = (struct buf){.bytes = fuzz_text(bytes + 1, size - 1), .size = size - 1};
    if (registry_answer_err(&response, "ghcr.io", NULL, 0, &err) >= 0 || !*err.text)
        abort();
    free(response.body.bytes);
    return 0;
}
