// side_by_side.h - the same blocking question about several things, asked at once.
#pragma once

#include <stddef.h>

// Calls run(context, 0) ... run(context, count - 1), each once, on up to `thread_count` threads of
// which the caller's is one; returns when all have returned. Where threads cannot be had, fewer.
// Signals stay with the threads that wait for them.
void side_by_side(size_t count, size_t thread_count, void (*run)(void *context, size_t index),
                  void *context);
