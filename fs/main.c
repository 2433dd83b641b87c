// main.c - the program's beginning: reads the command line, keeps secrets out of core dumps,
// mounts.
#include "mount.h"
#include "options.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

// Credentials are in this process's memory: no core dump, and no other process of the same user
// may look into it. Root can have it dumped all the same (gcore): then without its memory's
// contents, since copies of secrets are in buffers of libraries as well.
static void keep_memory_private(void)
{
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    int filter = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC); // core(5)
    if (filter >= 0) {
        (void)!write(filter, "0", 1); // best effort: no dump is written anyway
        close(filter);
    }
    prctl(PR_SET_DUMPABLE, 0);
}

// Whoever starts this with a capability, to mount without fusermount3, means this program and not
// the credential helpers that it starts.
static void keep_capabilities_private(void)
{
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

// Transfer buffers of some megabytes come and go on many threads: each is to be a mapping of its
// own that goes back to the kernel, and small allocations are to share a few arenas.
static void keep_memory_small(void)
{
    // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread yet
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 2);
    // NOLINTEND(concurrency-mt-unsafe)
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct err err = {0};
    keep_memory_private();
    keep_capabilities_private();
    keep_memory_small();
    if (options_parse(argc, argv, &options, &err) < 0) {
        fprintf(stderr, "prereleasefs: %s (prereleasefs -h tells more)\n", err.text);
        return EXIT_FAILURE;
    }
    int status = EXIT_SUCCESS;
    if (options.wants_help)
        options_print_help();
    else if (options.wants_version)
        printf("prereleasefs %s\n", PRERELEASEFS_VERSION);
    else
        status = mount_run(&options);
    options_done(&options);
    return status;
}
