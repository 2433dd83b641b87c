// option_table.h - the options behind -o: their names, what they take, how -h shows them; pure.
//
// A row for each; whoever adds an option adds a row here and a field to struct options.
#pragma once

#include "base/err.h"
#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_LIST_MAX = 256 }; // words of one list

struct option {
    const char *name;    // "region=" takes a value, "overwrite" none
    const char *value;   // how -h shows the value
    const char *initial; // how -h shows the default
    const char *help;
    // Checks the value and keeps it. EINVAL with a sentence.
    int (*take)(const struct option *option, const char *value, struct options *options,
                struct err *err);
    size_t field;  // offset in struct options
    int64_t least; // of a number
    int64_t most;
};
extern const struct option option_table[]; // closed by a row without name

// The option that a word such as "parallel=4" gives, or NULL.
const struct option *option_find(const char *word);
// Whether the option is a list that this word can continue ("registries=ghcr.io,quay.io").
bool option_is_list(const struct option *option, const char *word);
// What goes on to libfuse as it is; what mount(8), fstab and systemd say to each other.
bool option_is_for_fuse(const char *word);
bool option_is_for_mount(const char *word);

// A NULL-terminated list grows by a copy of the text.
int option_list_append(char ***list, const char *text, struct err *err);
