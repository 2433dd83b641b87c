// Image reference files.

#include "fuzz.h"

#include "fs/publish/reference_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct reference_defaults defaults = {
        .platforms = {.list = {{.os = "linux", .architecture = "amd64"}}, .count = 1}};
    struct reference_line *lines = NULL;
    size_t count = 0;
    struct err err = {0};
    if (reference_file_parse((const char *)bytes, size, 1, &defaults, &lines, &count, &err) == 0)
        reference_lines_free(lines, count);
    return 0;
}
