// URLs, redirects, percent-encoding.

#include "fuzz.h"

#include "base/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    struct url url = {0};
    struct err err = {0};
    char *resolved = NULL;
    size_t decoded_size;
    if (url_parse(text, &url, &err) == 0) {
        (void)url_host_is_loopback(url.host);
        (void)url_host_is_link_local(url.host);
        url_done(&url);
    }
    // What it makes of a redirect must be a URL.
    if (url_resolve("https://a.b/c/d?e", text, &resolved, &err) == 0) {
        if (url_parse(resolved, &url, &err) < 0)
            abort();
        url_done(&url);
        free(resolved);
    }
    free(url_decode(text, &decoded_size));
    free(text);
    return 0;
}
