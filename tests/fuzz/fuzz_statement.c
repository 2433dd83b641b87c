// In-toto statements of SLSA provenance.

#include "fuzz.h"

#include "registry/provenance.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char subject[] =
        "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct registry_provenance provenance = {0};
    struct err err = {0};
    json_document_setup();
    // The corpus' accepted files begin with a line of what they say.
    const uint8_t *begin = size > 0 ? memchr(bytes, '\n', size) : NULL;
    if (begin != NULL && bytes[0] != '{') {
        size -= (size_t)(begin - bytes);
        bytes = begin;
    }
    (void)registry_statement_parse((const char *)bytes, size, subject, &provenance, &err);
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        if (provenance.facts[i] != NULL && !registry_fact_is_wellformed(provenance.facts[i]))
            abort();
    registry_provenance_done(&provenance);
    return 0;
}
