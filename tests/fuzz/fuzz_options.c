// The command line: what stands behind -o, and the bucket.

#include "fuzz.h"

#include "fs/options.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    // "OPTIONS\nBUCKET\nMOUNTPOINT"
    char *text = fuzz_text(bytes, size);
    char *rest = text;
    char program[] = "prereleasefs", flag[] = "-o", slash[] = "/";
    char *given = strsep(&rest, "\n");
    char *bucket = strsep(&rest, "\n");
    char *arguments[] = {program, flag, given, bucket ? bucket : slash, rest ? rest : slash, NULL};
    struct options options;
    struct err err = {0};
    if (options_parse(5, arguments, &options, &err) == 0)
        options_done(&options);
    free(text);
    return 0;
}
