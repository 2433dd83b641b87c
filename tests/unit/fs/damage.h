// damage.h - a case of a corpus and all that comes of it when it is damaged. Include after
// cmocka.h.
#pragma once

#include <stdlib.h>
#include <string.h>

enum { DAMAGE_PLACES = 60 }; // of one case that are damaged at most, evenly spread

// 0 where the parser takes the bytes.
typedef int (*damage_parse)(const char *bytes, size_t size);

// From a heap block of exactly that size, so that AddressSanitizer sees a parser that reads on.
static inline int parse_exactly(const char *bytes, size_t size, damage_parse parse)
{
    char *copy = calloc(1, size);
    if (size > 0)
        memcpy(copy, bytes, size);
    int error = parse(copy, size);
    free(copy);
    return error;
}

// Every damaged form must be answered, whatever the answer: a byte changed, the end cut off.
static inline void parse_damaged(const char *bytes, size_t size, damage_parse parse)
{
    static const char damages[] = {'\0', '\n', ' ',    '"',    '\\',  '=',
                                   '/',  '9',  '\x7F', '\x80', '\xFF'};
    char *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    for (size_t at = 0; at < size; at += size / DAMAGE_PLACES + 1) {
        for (size_t i = 0; i < sizeof(damages); i++) {
            copy[at] = damages[i];
            parse_exactly(copy, size, parse);
        }
        copy[at] = bytes[at];
        parse_exactly(copy, at, parse);
    }
    free(copy);
}

// Fails the test unless the parser takes the case; then damages it.
static inline void check_taken(const char *name, const char *text, size_t size, damage_parse parse)
{
    if (parse_exactly(text, size, parse) < 0)
        fail_msg("%s was refused", name);
    parse_damaged(text, size, parse);
}

// Fails the test if the parser takes the case.
static inline void check_refused(const char *name, const char *text, size_t size,
                                 damage_parse parse)
{
    if (parse_exactly(text, size, parse) == 0)
        fail_msg("%s was taken", name);
}
