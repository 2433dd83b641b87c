// Two readings of a status.tsv that others wrote, one after the other, and what a terminal gets.

#include "fuzz.h"

#include "base/buf.h"
#include "fs/progress/show.h"
#include "fs/progress/watch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct show how = {.width = 60, .name_width = 12};
    const char *text = (const char *)bytes;
    struct watch watch;
    struct err err = {0};
    watch_init(&watch);
    watch_read(&watch, text, size / 2, 0, &err);
    watch_read(&watch, text, size, 1000, &err);
    for (size_t i = 0; i < watch.count; i++) {
        struct buf shown = BUF_INIT(1 << 20);
        show_bar(&shown, &watch.rows[i], &how);
        if (shown.size > 60)
            abort();
        show_line(&shown, &watch.rows[i], &how);
        show_end(&shown, &watch.rows[i], &how);
        for (const char *c = buf_text(&shown); *c; c++)
            if (*c < ' ' || *c == 0x7F) // without a locale all else is '?'
                abort();
        buf_done(&shown);
    }
    watch_is_running(&watch);
    watch_is_well(&watch);
    watch_done(&watch);
    return 0;
}
