#include "corpus.h"

#include "base/scope.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PATH_SIZE = 4096 };

void corpus_read(const char *path, struct buf *bytes)
{
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s cannot be opened", path);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        assert_int_equal(buf_append(bytes, chunk, n), 0);
    fclose(file);
}

char *corpus_sibling(const char *path, const char *ending)
{
    const char *dot = strrchr(path, '.');
    char *sibling = NULL;
    assert_non_null(dot);
    assert_true(asprintf(&sibling, "%.*s%s", (int)(dot - path), path, ending) > 0);
    return sibling;
}

void corpus_for_each(const char *folder, const char *ending,
                     void (*check)(const char *path, const struct buf *bytes))
{
    char directory[PATH_SIZE];
    snprintf(directory, sizeof(directory), "%s/%s", getenv("CORPUS"), folder);
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, NULL, alphasort);
    int checked = 0;
    for (int i = 0; i < count; i++) {
        char path[2 * PATH_SIZE];
        size_t size = (size_t)snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && strcmp(path + size - strlen(ending), ending) == 0) {
            auto_buf struct buf bytes = BUF_INIT(SIZE_MAX - 1);
            corpus_read(path, &bytes);
            check(path, &bytes);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    if (checked == 0)
        fail_msg("there is nothing in %s", directory);
}
