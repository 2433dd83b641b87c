#include "directory.h"

#include "../virtual/virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES_FIRST = 32 }; // room for so many at first; doubles

// ---- opening -----------------------------------------------------------------------------------

static int explain(const char *path, int error, struct err *err)
{
    return err_set(err, error, "cannot read %s/: %s", path, strerrordesc_np(error));
}

static int check_device(int root_fd, int fd, const char *path, struct err *err)
{
    struct stat root, there;
    if (fstat(root_fd, &root) < 0 || fstat(fd, &there) < 0)
        return explain(path, errno, err);
    if (root.st_dev != there.st_dev)
        return err_set(err, EXDEV, "something else is mounted on %s/: unmount it first", path);
    return 0;
}

// Component by component from fd on, which is closed; -1 with errno.
static int descend(int fd, char *path)
{
    for (char *name; fd >= 0 && (name = strsep(&path, "/"));) {
        if (*name == '\0')
            continue;
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(fd);
        fd = next;
        errno = error;
    }
    return fd;
}

int prune_directory_open(int root_fd, const char *path, struct err *err)
{
    auto_free char *copy = strdup(path);
    if (!copy)
        return err_no_memory(err);
    int fd = descend(openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), copy);
    if (fd < 0)
        return explain(path, errno, err);
    int error = check_device(root_fd, fd, path, err);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

// ---- reading -----------------------------------------------------------------------------------

static int add(struct prune_directory *directory, size_t *capacity, const struct dirent *found)
{
    if (directory->count == *capacity) {
        size_t wanted = *capacity ? *capacity * 2 : ENTRIES_FIRST;
        struct prune_entry *entries = reallocarray(directory->entries, wanted, sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        directory->entries = entries;
        *capacity = wanted;
    }
    char *name = strdup(found->d_name);
    if (!name)
        return -ENOMEM;
    directory->entries[directory->count++] = (struct prune_entry){name, found->d_type};
    directory->directory_count += found->d_type == DT_DIR;
    directory->file_count += found->d_type != DT_DIR && found->d_type != DT_LNK;
    return 0;
}

static bool is_left_out(const struct dirent *found, bool wants_generated)
{
    bool is_dots = strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0;
    return is_dots || (!wants_generated && found->d_type == DT_REG && virtual_find(found->d_name));
}

static int read_all(DIR *stream, bool wants_generated, struct prune_directory *directory)
{
    size_t capacity = 0;
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(stream); // NOLINT(concurrency-mt-unsafe): one thread
        if (!found)
            return -errno;
        if (!is_left_out(found, wants_generated) && add(directory, &capacity, found) < 0)
            return -ENOMEM;
    }
}

int prune_directory_read(int fd, bool wants_generated, struct prune_directory *ret_directory,
                         struct err *err)
{
    struct prune_directory directory = {0};
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *stream = own < 0 ? NULL : fdopendir(own);
    if (!stream) {
        int error = errno;
        if (own >= 0)
            close(own);
        return err_set(err, error, "cannot be read: %s", strerrordesc_np(error));
    }
    rewinddir(stream);
    int error = read_all(stream, wants_generated, &directory);
    closedir(stream);
    if (error < 0) {
        prune_directory_done(&directory);
        return err_set(err, -error, "cannot be read: %s", strerrordesc_np(-error));
    }
    *ret_directory = directory;
    return 0;
}

void prune_directory_done(struct prune_directory *directory)
{
    if (!directory)
        return;
    for (size_t i = 0; i < directory->count; i++)
        free(directory->entries[i].name);
    free(directory->entries);
    *directory = (struct prune_directory){0};
}
