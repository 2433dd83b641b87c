// Dates and waits that servers send.

#include "fuzz.h"

#include "base/call.h"
#include "base/clock.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    char again[CLOCK_RFC3339_SIZE];
    int64_t ms = 0;
    if (clock_parse_http(text, &ms) == 0)
        clock_format_rfc3339(ms, again);
    if (clock_parse_rfc3339(text, &ms) == 0)
        clock_format_rfc3339(ms, again);
    if (retry_after_parse(text, 0) < -1 || retry_after_parse_body(text) < -1)
        abort();
    free(text);
    return 0;
}
