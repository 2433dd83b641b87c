#include "supervisor.h"

#include "base/scope.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

// A path, or a name in the abstract namespace, written with an '@'.
static int address_of(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(address.sun_path))
        return -EINVAL;
    memcpy(address.sun_path, name, size);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    *ret_address = address;
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return 0;
}

int supervisor_tell(const char *state, struct err *err)
{
    const char *name = getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): nobody sets any
    if (!name || !name[0])
        return 0;
    struct sockaddr_un address;
    socklen_t size;
    if (address_of(name, &address, &size) < 0)
        return err_set(err, EINVAL, "NOTIFY_SOCKET names no socket: %.100s", name);
    auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t length = strlen(state);
    if (fd < 0 || sendto(fd, state, length, MSG_NOSIGNAL, (const struct sockaddr *)&address,
                         size) != (ssize_t)length)
        return err_set(err, errno, "%s cannot be told %s: %s", name, state, strerrordesc_np(errno));
    return 0;
}
