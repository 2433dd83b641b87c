// Notes on uploads under way. What is read can be written.

#include "fuzz.h"

#include "fs/publish/intent.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct intent *intent = NULL;
    struct err err = {0};
    if (intent_parse((const char *)bytes, size, &intent, &err) < 0)
        return 0;
    struct buf json = BUF_INIT(1 << 20);
    if (intent_format(intent, &json, &err) == -EBADMSG)
        abort();
    intent_free(intent);
    buf_done(&json);
    return 0;
}
