// intent_origin.h - which process of which machine began something, and whether that process can
// still be at work. Reads /proc and /sys; asks no server.
//
// A process is known by its number and the moment it began, within one namespace of process
// numbers, within one boot: number and name of a host alone are used again. What cannot be read
// is left empty, and then nobody is judged by it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    INTENT_HOST_SIZE = 256,   // bytes of a host's name, the NUL included
    INTENT_MACHINE_SIZE = 33, // 128 bits in hex
    INTENT_BOOT_SIZE = 37,    // a UUID
};

struct intent_origin {
    char host[INTENT_HOST_SIZE];
    // A hash of /etc/machine-id and the built-in addresses of the network cards: machines cloned
    // from one image often share the former. "" where either is missing, as in most containers.
    char machine[INTENT_MACHINE_SIZE];
    char boot[INTENT_BOOT_SIZE]; // the kernel's boot id, or ""
    uint64_t pid_namespace;      // its inode, unique among those of one boot; 0: unknown
    int64_t pid;
    uint64_t started_ticks; // clock ticks from boot to the process's beginning
};

// This very process.
void intent_origin_read(struct intent_origin *ret_origin);

enum intent_process {
    INTENT_PROCESS_UNKNOWN, // it exists, and more cannot be seen
    INTENT_PROCESS_GONE,    // or dead and not yet collected by its parent
    INTENT_PROCESS_RUNS,    // *ret_started_ticks tells since when
};

// The process that bears this number in one's own namespace.
enum intent_process intent_process_look(int64_t pid, uint64_t *ret_started_ticks);

// How long this machine has been up, sleep included.
int64_t intent_uptime_ms(void);

// What a judgement is made from, beside the intent.
struct intent_witness {
    const struct intent_origin *self;
    int64_t booted_ms; // when this machine booted, by the store's clock
    // The process that bears the other's number here; not looked at in another namespace.
    enum intent_process process;
    uint64_t started_ticks;
};

// Pure: whether nothing can come any more from `origin`, which the store heard of at written_ms.
//   same boot    the process is gone, or another bears its number; only in one's own namespace
//   other boot   it is this very machine, and it was written before this machine booted
// In doubt false: another host's name, another namespace of the same boot, what is not known.
bool intent_origin_is_dead(const struct intent_origin *origin, int64_t written_ms,
                           const struct intent_witness *witness);
