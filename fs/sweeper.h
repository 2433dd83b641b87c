// sweeper.h - gives memory back while the mount rests: what is remembered past its time is
// otherwise only dropped by whoever comes next, and freed memory stays with the allocator.
#pragma once

#include "base/err.h"
#include "memory.h"
#include "tree.h"
#include "virtual/virtual.h"

enum { SWEEPER_EVERY_MS = 30 * 1000 };

struct sweeper;
// A thread of its own; what it sweeps outlives it.
int sweeper_new(struct tree *tree, struct virtuals *virtuals, struct memory *memory,
                struct sweeper **ret_sweeper, struct err *err);
void sweeper_free(struct sweeper *sweeper); // accepts NULL
