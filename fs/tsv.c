#include "tsv.h"

#include <string.h>

int tsv_field(struct buf *text, const char *field)
{
    int error = 0;

    if (!field || !*field)
        return buf_append_char(text, '-');
    while (*field && error == 0) {
        size_t plain = strcspn(field, "\t\n\\");
        error = buf_append(text, field, plain);
        field += plain;
        if (*field && error == 0) {
            const char *escape = *field == '\t' ? "\\t" : *field == '\n' ? "\\n" : "\\\\";
            error = buf_append_text(text, escape);
            field++;
        }
    }
    return error;
}
