// corpus.h - the files of tests/corpus, one by one.
#pragma once

#include "base/buf.h"

// Calls check for each file of CORPUS/folder whose name ends in `ending` (CORPUS is a variable
// of the environment); fails the test where there is none.
void corpus_for_each(const char *folder, const char *ending,
                     void (*check)(const char *path, const struct buf *bytes));
// Reads a file whole; fails the test where that cannot be done.
void corpus_read(const char *path, struct buf *bytes);
// path with its ending replaced: "a/b.xml" and ".leaves" give "a/b.leaves". malloc'ed.
char *corpus_sibling(const char *path, const char *ending);
