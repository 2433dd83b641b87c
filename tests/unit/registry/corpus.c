#include "corpus.h"

#include "../base/test.h"

#include "base/scope.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size = getdelim(&text, &capacity, -1, file); // no byte is -1: all of it
    fclose(file);
    if (size < 0) { // an empty file
        free(text);
        text = calloc(1, 1);
        size = 0;
    }
    *ret_size = (size_t)size;
    return text;
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void corpus_replay(const char *folder, void (*check)(const char *name, char *text, size_t size))
{
    auto_free char *directory = NULL;
    struct dirent **entries;
    assert_true(asprintf(&directory, "%s/%s", CORPUS_DIR, folder) > 0);
    int count = scandir(directory, &entries, is_file, alphasort);
    if (count <= 0)
        fail_msg("%s holds no cases", directory);
    for (int i = 0; i < count; i++) {
        auto_free char *path = NULL;
        size_t size;
        assert_true(asprintf(&path, "%s/%s", directory, entries[i]->d_name) > 0);
        auto_free char *text = read_file(path, &size);
        check(entries[i]->d_name, text, size);
        free(entries[i]);
    }
    free(entries);
}

char *corpus_line(char **text)
{
    return **text == '\0' ? NULL : strsep(text, "\n");
}
