#include "intent_origin.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_SIZE = 4096, // bytes read of any file here; all are one line
    CARDS_LIMIT = 64 * 1024,
    STAT_STARTED = 22, // field of /proc/PID/stat, proc(5)
};

// machine-id(5) asks that the id itself not be shown to others: only a hash keyed by this is.
#define MACHINE_KEY "prereleasefs intent"

// The first line of a small file, without its end. False where it cannot be read or is empty.
static bool read_line(const char *path, char line[FILE_SIZE])
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, line, FILE_SIZE - 1);
    if (size <= 0)
        return false;
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return *line != '\0';
}

// ---- the machine -------------------------------------------------------------------------------

// A card's address where it is built in (addr_assign_type 0) and the card is one (it has a device;
// bridges and a container's end of a pair have none).
static bool read_card(const char *name, char line[FILE_SIZE])
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    if (access(path, F_OK) < 0)
        return false;
    snprintf(path, sizeof(path), "/sys/class/net/%s/addr_assign_type", name);
    if (!read_line(path, line) || strcmp(line, "0") != 0)
        return false;
    snprintf(path, sizeof(path), "/sys/class/net/%s/address", name);
    return read_line(path, line);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// All cards' addresses, in an order that does not depend on the cards' names.
static bool read_cards(struct buf *ret_text)
{
    struct dirent **entries;
    int count = scandir("/sys/class/net", &entries, NULL, NULL);
    if (count < 0)
        return false;
    char **addresses = calloc((size_t)count + 1, sizeof(*addresses));
    size_t address_count = 0;
    for (int i = 0; i < count; i++) {
        char line[FILE_SIZE];
        if (addresses && entries[i]->d_name[0] != '.' && read_card(entries[i]->d_name, line) &&
            (addresses[address_count] = strdup(line)))
            address_count++;
        free(entries[i]);
    }
    free(entries);
    if (address_count > 0)
        qsort(addresses, address_count, sizeof(*addresses), compare_texts);
    for (size_t i = 0; i < address_count; i++) {
        buf_printf(ret_text, " %s", addresses[i]);
        free(addresses[i]);
    }
    free(addresses);
    return address_count > 0 && !ret_text->is_full;
}

static void read_machine(char ret_machine[INTENT_MACHINE_SIZE])
{
    char id[FILE_SIZE];
    auto_buf struct buf text = BUF_INIT(CARDS_LIMIT);
    if (!read_line("/etc/machine-id", id) && !read_line("/var/lib/dbus/machine-id", id))
        return;
    buf_append_text(&text, id);
    if (!read_cards(&text))
        return;
    uint8_t mac[SHA256_SIZE];
    hmac_sha256(MACHINE_KEY, strlen(MACHINE_KEY), text.bytes, text.size, mac);
    digest_hex(mac, (INTENT_MACHINE_SIZE - 1) / 2, ret_machine);
}

// ---- the process -------------------------------------------------------------------------------

struct process_stat {
    int64_t pid;
    char state;
    uint64_t started_ticks;
};

// path: some /proc/PID/stat. The program's name, field 2, stands in parentheses and may hold
// anything; the last ')' ends it.
static bool read_stat(const char *path, struct process_stat *ret_stat)
{
    char line[FILE_SIZE];
    if (!read_line(path, line))
        return false;
    char *field = strrchr(line, ')');
    if (!field || field[1] != ' ')
        return false;
    field += 2;
    ret_stat->pid = strtoll(line, NULL, 10);
    ret_stat->state = *field;
    for (int number = 3; field && number < STAT_STARTED; number++) {
        field = strchr(field, ' ');
        field = field ? field + 1 : NULL;
    }
    char *end = field;
    ret_stat->started_ticks = field ? strtoull(field, &end, 10) : 0;
    return end != field;
}

enum intent_process intent_process_look(int64_t pid, uint64_t *ret_started_ticks)
{
    // kill first: with hidepid= /proc does not show other users' processes.
    if (pid <= 0 || pid > INT_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
        return INTENT_PROCESS_GONE;
    char path[64];
    struct process_stat stat;
    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    if (!read_stat(path, &stat))
        return INTENT_PROCESS_UNKNOWN;
    if (stat.state == 'Z' || stat.state == 'X')
        return INTENT_PROCESS_GONE;
    *ret_started_ticks = stat.started_ticks;
    return INTENT_PROCESS_RUNS;
}

int64_t intent_uptime_ms(void)
{
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (int64_t)up.tv_sec * 1000 + up.tv_nsec / 1000000;
}

void intent_origin_read(struct intent_origin *ret_origin)
{
    struct intent_origin origin = {.pid = getpid()};
    char line[FILE_SIZE];
    struct process_stat own;
    struct stat namespace;
    gethostname(origin.host, sizeof(origin.host) - 1);
    read_machine(origin.machine);
    if (read_line("/proc/sys/kernel/random/boot_id", line) && strlen(line) < sizeof(origin.boot))
        snprintf(origin.boot, sizeof(origin.boot), "%.*s", INTENT_BOOT_SIZE - 1, line);
    // A /proc that numbers processes differently (another namespace's) tells nothing.
    if (read_stat("/proc/self/stat", &own) && own.pid == origin.pid &&
        stat("/proc/self/ns/pid", &namespace) == 0) {
        origin.started_ticks = own.started_ticks;
        origin.pid_namespace = namespace.st_ino;
    }
    *ret_origin = origin;
}

// ---- judging -----------------------------------------------------------------------------------

static bool is_same_text(const char *a, const char *b)
{
    return *a && strcmp(a, b) == 0;
}

bool intent_origin_is_dead(const struct intent_origin *origin, int64_t written_ms,
                           const struct intent_witness *witness)
{
    const struct intent_origin *self = witness->self;
    if (!is_same_text(origin->host, self->host) || !*origin->boot || !*self->boot)
        return false;
    if (strcmp(origin->boot, self->boot) != 0)
        return is_same_text(origin->machine, self->machine) && written_ms < witness->booted_ms;
    if (origin->pid_namespace == 0 || origin->pid_namespace != self->pid_namespace)
        return false;
    return witness->process == INTENT_PROCESS_GONE ||
           (witness->process == INTENT_PROCESS_RUNS &&
            witness->started_ticks != origin->started_ticks);
}
