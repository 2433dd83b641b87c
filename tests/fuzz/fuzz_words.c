// Command lines of credential_process.

#include "fuzz.h"

#include "base/child.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    char **words = NULL;
    struct err err = {0};
    size_t total = 0;
    if (child_split(text, &words, &err) == 0) {
        for (char **word = words; *word; word++)
            total += strlen(*word);
        free(words);
    }
    if (total > size) // words are pieces of the line
        abort();
    free(text);
    return 0;
}
