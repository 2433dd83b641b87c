// corpus.h - replays a folder of tests/corpus: each file is one case, its name says what of.
#pragma once

#include <stddef.h>

// Calls `check` for every file of tests/corpus/FOLDER, in the order of names; text is the whole
// file with a NUL behind, which `check` may change. Fails the test where there is no file.
void corpus_replay(const char *folder, void (*check)(const char *name, char *text, size_t size));

// Cuts off and answers the first line of *text; NULL where nothing is left.
char *corpus_line(char **text);
