// memory.h - the ceiling of all transfer buffers, over all publishes and reads of the mount.
//
// Buffers are taken in the order in which they were asked for, so that nobody starves. A taker
// that must not block leaves a callback; one that may (a reader) waits.
#pragma once

#include "base/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;

struct memory *memory_new(uint64_t ceiling_bytes); // NULL on no memory
void memory_free(struct memory *memory);
uint64_t memory_ceiling(const struct memory *memory);

// One request for a buffer, the caller's own until it was granted or withdrawn.
struct memory_ticket {
    size_t size; // at most the ceiling
    // Called once with the granted buffer (NULL: malloc failed), maybe before memory_ask returns,
    // on any thread, no lock held.
    void (*granted)(struct memory_ticket *ticket, void *bytes);
    struct memory_ticket *next; // the queue's
};
void memory_ask(struct memory *memory, struct memory_ticket *ticket);
// true: it will not be granted any more. false: it was, or is just being.
bool memory_withdraw(struct memory *memory, struct memory_ticket *ticket);
// Blocks. NULL when the call is cancelled or malloc failed.
void *memory_wait(struct memory *memory, struct call *call, size_t size);
void memory_give_back(struct memory *memory, void *bytes, size_t size);
