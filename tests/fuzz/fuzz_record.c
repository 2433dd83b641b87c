// Records, alone and in bundles. What is read can be written, and read again.

#include "fuzz.h"

#include "fs/publish/record_bundle.h"

#include <errno.h>
#include <stdlib.h>

static void drop(void *context, struct record *record)
{
    (void)context;
    record_free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct record *record = NULL, *again = NULL;
    struct err err = {0};
    (void)bundle_read((const char *)bytes, size, drop, NULL);
    if (record_parse((const char *)bytes, size, &record, &err) < 0)
        return 0;
    struct buf json = BUF_INIT(1 << 20);
    int r = record_format(record, &json, &err);
    if (r < 0 && r != -E2BIG && r != -EFBIG)
        abort();
    if (r == 0 && record_parse(buf_text(&json), json.size, &again, &err) < 0)
        abort();
    record_free(again);
    record_free(record);
    buf_done(&json);
    return 0;
}
