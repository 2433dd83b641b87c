// corpus.h - replays tests/corpus/PARSER/{accept,reject}/: the parser's specification by file name.
// Include after cmocka.h. TEST_CORPUS is the directory, from the build.
#pragma once

#include "base/buf.h"
#include "base/scope.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CORPUS_FILE_LIMIT = 1 << 20 };

// 0 where the parser takes the bytes. `bytes` is a heap block of exactly that size, so that
// AddressSanitizer sees a parser that reads on.
typedef int (*corpus_parse)(const char *bytes, size_t size);

static inline char *corpus_read(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *read_bytes = malloc(CORPUS_FILE_LIMIT);
    size_t size = fread(read_bytes, 1, CORPUS_FILE_LIMIT, file);
    char *bytes = malloc(size);
    if (size > 0)
        memcpy(bytes, read_bytes, size);
    free(read_bytes);
    fclose(file);
    *ret_size = size;
    return bytes;
}

// Every damaged form of the bytes must be answered, whatever the answer: one byte changed at a
// time, and cut at every length. A sample of them where the file is long.
static inline void corpus_damage(const char *bytes, size_t size, corpus_parse parse)
{
    static const char damages[] = {'\0', '\n', ' ', '"', '\\', '=', '/', '9', '\x7F', '\x80', '\xFF'};
    size_t step = size / 200 + 1;
    for (size_t at = 0; at < size; at += step) {
        auto_free char *copy = malloc(size);
        memcpy(copy, bytes, size);
        for (size_t i = 0; i < sizeof(damages); i++) {
            copy[at] = damages[i];
            parse(copy, size);
        }
        auto_free char *cut = malloc(at);
        if (at > 0)
            memcpy(cut, bytes, at);
        parse(cut, at);
    }
}

// Fails the test for each file that is answered otherwise than its directory's name says.
static inline void corpus_replay(const char *parser, corpus_parse parse)
{
    for (int accepted = 0; accepted <= 1; accepted++) {
        char directory[512];
        size_t count = 0;
        snprintf(directory, sizeof(directory), "%s/%s/%s", TEST_CORPUS, parser,
                 accepted ? "accept" : "reject");
        DIR *entries = opendir(directory);
        assert_non_null(entries);
        for (struct dirent *entry; (entry = readdir(entries));) {
            char path[1024];
            size_t size;
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
            auto_free char *bytes = corpus_read(path, &size);
            if ((parse(bytes, size) == 0) != accepted)
                fail_msg("%s was %s", path, accepted ? "refused" : "taken");
            corpus_damage(bytes, size, parse);
            count++;
        }
        closedir(entries);
        assert_true(count > 0);
    }
}
