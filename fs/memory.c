#include "memory.h"

#include "base/scope.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    SPARES_MAX = 64,
    SPARE_SIZE_MIN = 64 * 1024,
    HUGE_PAGE = 2 << 20, // elsewhere than on x86-64 and aarch64 they are larger: that costs nothing
    // A transfer's two connections, one each way: up to 256 KiB of libcurl's each, TLS, stacks.
    TRANSFER_BYTES = 1 << 20,
};

// A buffer that was given back and is kept for the next taker of the same size: a fresh one of
// some megabytes would have to be faulted in page by page.
struct spare {
    void *bytes;
    size_t size;
};

struct memory {
    uint64_t ceiling;
    pthread_mutex_t lock; // guards what follows
    uint64_t used;        // handed out
    uint64_t spare_bytes; // used + spare_bytes <= ceiling
    struct spare spares[SPARES_MAX];
    size_t spare_count;
    struct memory_ticket *first; // waiting, oldest first
    struct memory_ticket **last_next;
    bool was_asked;     // since the last memory_sweep
    uint64_t passed_by; // bytes granted to others since `first` is the oldest
    void (*shortage)(void *context);
    void *context;
};

struct memory *memory_new(uint64_t ceiling_bytes)
{
    struct memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return NULL;
    memory->ceiling = ceiling_bytes;
    memory->last_next = &memory->first;
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

static void drop_spare_locked(struct memory *memory, size_t index)
{
    free(memory->spares[index].bytes);
    memory->spare_bytes -= memory->spares[index].size;
    memory->spares[index] = memory->spares[--memory->spare_count];
}

static void drop_spares_locked(struct memory *memory)
{
    while (memory->spare_count)
        drop_spare_locked(memory, 0);
}

void memory_free(struct memory *memory)
{
    if (!memory)
        return;
    drop_spares_locked(memory);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

uint64_t memory_ceiling(const struct memory *memory)
{
    return memory->ceiling;
}

void memory_on_shortage(struct memory *memory, void (*shortage)(void *context), void *context)
{
    pthread_mutex_lock(&memory->lock);
    memory->shortage = shortage;
    memory->context = context;
    pthread_mutex_unlock(&memory->lock);
}

size_t memory_wanted(struct memory *memory)
{
    size_t most = 0;
    pthread_mutex_lock(&memory->lock);
    for (const struct memory_ticket *ticket = memory->first; ticket; ticket = ticket->next)
        most = ticket->size > most ? ticket->size : most;
    pthread_mutex_unlock(&memory->lock);
    return most;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t memory_for_buffers(uint64_t memory_bytes, unsigned parallel)
{
    return memory_bytes - smaller((uint64_t)parallel * TRANSFER_BYTES, memory_bytes / 4);
}

uint64_t memory_with_buffers(uint64_t buffer_bytes, unsigned parallel)
{
    return buffer_bytes + smaller((uint64_t)parallel * TRANSFER_BYTES, (buffer_bytes + 2) / 3);
}

static void *take_spare_locked(struct memory *memory, size_t size)
{
    for (size_t i = 0; i < memory->spare_count; i++) {
        if (memory->spares[i].size != size)
            continue;
        void *bytes = memory->spares[i].bytes;
        memory->spare_bytes -= size;
        memory->spares[i] = memory->spares[--memory->spare_count];
        return bytes;
    }
    return NULL;
}

// Counts `size` as used if it fits, spares making room; *ret_spare is a buffer ready to use or
// NULL.
static bool reserve_locked(struct memory *memory, size_t size, void **ret_spare)
{
    memory->was_asked = true;
    if (memory->used + size > memory->ceiling)
        return false;
    *ret_spare = take_spare_locked(memory, size);
    while (memory->used + memory->spare_bytes + size > memory->ceiling)
        drop_spare_locked(memory, 0);
    memory->used += size;
    return true;
}

// Where the ticket stands that is next: the smallest, unless enough has passed the oldest by.
static struct memory_ticket **next_locked(struct memory *memory)
{
    struct memory_ticket **next = &memory->first;
    if (!*next || memory->passed_by >= (*next)->size)
        return next;
    for (struct memory_ticket **at = next; *at; at = &(*at)->next) {
        if ((*at)->size < (*next)->size)
            next = at;
    }
    return next;
}

static void unlink_locked(struct memory *memory, struct memory_ticket **at)
{
    if (at == &memory->first)
        memory->passed_by = 0;
    *at = (*at)->next;
    if (!*at)
        memory->last_next = at;
}

// Takes the next ticket out of the queue if it fits; NULL where there is none that does.
static struct memory_ticket *take_next_locked(struct memory *memory, void **ret_spare)
{
    struct memory_ticket **at = next_locked(memory);
    struct memory_ticket *ticket = *at;
    if (!ticket || !reserve_locked(memory, ticket->size, ret_spare))
        return NULL;
    memory->passed_by += ticket->size;
    unlink_locked(memory, at);
    return ticket;
}

// In huge pages, where the system has them for the asking and they fit: a fresh buffer is faulted
// in page by page, and the kernel looks up each page that it copies out of.
static void *fresh(size_t size)
{
    if (size % HUGE_PAGE != 0)
        return malloc(size);
    void *bytes = aligned_alloc(HUGE_PAGE, size);
    if (bytes)
        (void)madvise(bytes, size, MADV_HUGEPAGE); // without them it works as well
    return bytes;
}

// `spare`, or fresh memory for what was counted as used; NULL when there is none.
static void *provide(struct memory *memory, void *spare, size_t size)
{
    void *bytes = spare ? spare : fresh(size);
    if (bytes)
        return bytes;
    pthread_mutex_lock(&memory->lock);
    memory->used -= size;
    pthread_mutex_unlock(&memory->lock);
    return NULL;
}

static void grant(struct memory *memory)
{
    for (;;) {
        void *spare = NULL;
        pthread_mutex_lock(&memory->lock);
        struct memory_ticket *ticket = take_next_locked(memory, &spare);
        pthread_mutex_unlock(&memory->lock);
        if (!ticket)
            return;
        ticket->granted(ticket, provide(memory, spare, ticket->size));
    }
}

void memory_ask(struct memory *memory, struct memory_ticket *ticket)
{
    ticket->next = NULL;
    pthread_mutex_lock(&memory->lock);
    *memory->last_next = ticket;
    memory->last_next = &ticket->next;
    pthread_mutex_unlock(&memory->lock);
    grant(memory);

    pthread_mutex_lock(&memory->lock);
    void (*shortage)(void *context) = memory->first ? memory->shortage : NULL;
    void *context = memory->context;
    pthread_mutex_unlock(&memory->lock);
    if (shortage)
        shortage(context);
}

void *memory_try(struct memory *memory, size_t size)
{
    void *spare = NULL;
    pthread_mutex_lock(&memory->lock);
    bool is_there = reserve_locked(memory, size, &spare);
    pthread_mutex_unlock(&memory->lock);
    return is_there ? provide(memory, spare, size) : NULL;
}

bool memory_withdraw(struct memory *memory, struct memory_ticket *ticket)
{
    bool was_waiting = false;
    pthread_mutex_lock(&memory->lock);
    for (struct memory_ticket **at = &memory->first; *at; at = &(*at)->next) {
        if (*at != ticket)
            continue;
        unlink_locked(memory, at);
        was_waiting = true;
        break;
    }
    pthread_mutex_unlock(&memory->lock);
    if (was_waiting)
        grant(memory); // it may have stood before one that fits
    return was_waiting;
}

struct waiter {
    struct memory_ticket ticket;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t changed;
    bool is_granted;
    void *bytes;
};

static void waiter_granted(struct memory_ticket *ticket, void *bytes)
{
    struct waiter *waiter = CONTAINER_OF(ticket, struct waiter, ticket);
    pthread_mutex_lock(&waiter->lock);
    waiter->bytes = bytes;
    waiter->is_granted = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

void *memory_wait(struct memory *memory, struct call *call, size_t size)
{
    struct waiter waiter = {.ticket = {.size = size, .granted = waiter_granted}};
    pthread_mutex_init(&waiter.lock, NULL);
    call_wait_init(&waiter.changed);
    memory_ask(memory, &waiter.ticket);

    pthread_mutex_lock(&waiter.lock);
    while (!waiter.is_granted && call_wait(call, &waiter.changed, &waiter.lock))
        ;
    bool is_granted = waiter.is_granted;
    pthread_mutex_unlock(&waiter.lock);
    if (!is_granted && !memory_withdraw(memory, &waiter.ticket)) { // it is being granted just now
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.is_granted)
            pthread_cond_wait(&waiter.changed, &waiter.lock);
        pthread_mutex_unlock(&waiter.lock);
    }
    pthread_cond_destroy(&waiter.changed);
    pthread_mutex_destroy(&waiter.lock);
    return waiter.bytes;
}

void memory_give_back(struct memory *memory, void *bytes, size_t size)
{
    if (!bytes)
        return;
    pthread_mutex_lock(&memory->lock);
    if (memory->spare_count < SPARES_MAX && size >= SPARE_SIZE_MIN) {
        memory->spares[memory->spare_count++] = (struct spare){bytes, size};
        memory->spare_bytes += size;
    } else {
        free(bytes); // while it still counts
    }
    memory->used -= size;
    pthread_mutex_unlock(&memory->lock);
    grant(memory);
}

uint64_t memory_sweep(struct memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    if (!memory->was_asked)
        drop_spares_locked(memory);
    memory->was_asked = false;
    uint64_t kept_bytes = memory->spare_bytes;
    pthread_mutex_unlock(&memory->lock);
    return kept_bytes;
}
