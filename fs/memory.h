// memory.h - the ceiling of all transfer buffers, over all publishes and reads of the mount.
//
// Of those who wait the one that asks for least is served first: a small publish does not queue
// up behind all large ones. So that nobody starves, what passes the oldest by is together no
// larger than what that one and the last to pass it ask for; then it is next. A taker that must
// not block leaves a callback; one that may waits; one that can do without tries.
#pragma once

#include "base/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;

struct memory *memory_new(uint64_t ceiling_bytes); // NULL on no memory
void memory_free(struct memory *memory);
uint64_t memory_ceiling(const struct memory *memory);
// Whoever holds what it can do without is told each time somebody begins to wait: on the thread
// that asks, no lock held. Before anybody asks; NULL: nobody is told any more.
void memory_on_shortage(struct memory *memory, void (*shortage)(void *context), void *context);
// What the one who waits for most has asked for; 0 where nobody waits.
size_t memory_wanted(struct memory *memory);

// Pure. What `memory=` leaves for these buffers: each of `parallel` transfers needs some memory of
// its own besides (connections, libcurl's buffers), of which at most a quarter is taken off ...
uint64_t memory_for_buffers(uint64_t memory_bytes, unsigned parallel);
// ... and the least `memory=` that leaves this much.
uint64_t memory_with_buffers(uint64_t buffer_bytes, unsigned parallel);

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
// Never blocks, and passes by those who wait: for who bounds what he holds. NULL where it does not
// fit or malloc failed.
void *memory_try(struct memory *memory, size_t size);
// Blocks. NULL when the call is cancelled or malloc failed.
void *memory_wait(struct memory *memory, struct call *call, size_t size);
void memory_give_back(struct memory *memory, void *bytes, size_t size);
// Frees what is kept to be used again, if nothing was asked for since the last time; how much is
// kept afterwards, in bytes.
uint64_t memory_sweep(struct memory *memory);
