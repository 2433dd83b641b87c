// Feeds a target every file below the folders that are given; at least one, or it fails.

#include "fuzz.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int fed;

static int feed(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)where;
    if (kind != FTW_F)
        return 0;
    size_t size = (size_t)status->st_size;
    uint8_t *bytes = malloc(size + 1);
    FILE *file = fopen(path, "re");
    if (!bytes || !file || fread(bytes, 1, size + 1, file) != size) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    // Of its exact size, so that the sanitizer sees every step past it.
    uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
    LLVMFuzzerTestOneInput(exact ? exact : bytes, size);
    free(exact ? exact : bytes);
    fed++;
    return 0;
}

int main(int argument_count, char **arguments)
{
    for (int i = 1; i < argument_count; i++)
        if (nftw(arguments[i], feed, 16, FTW_PHYS) != 0)
            fprintf(stderr, "%s cannot be walked\n", arguments[i]);
    printf("%d inputs\n", fed);
    return fed > 0 ? 0 : 1;
}
