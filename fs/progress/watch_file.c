#include "watch_file.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { TABLE_MAX = 4 << 20 }; // bytes of a status.tsv: 1000 rows and their sentences

static int read_all(int fd, struct buf *ret_text)
{
    char piece[16 * 1024];
    for (;;) {
        ssize_t size = read(fd, piece, sizeof(piece));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? -errno : 0;
        if (buf_append(ret_text, piece, (size_t)size) < 0)
            return -EFBIG;
    }
}

int watch_file_read(struct watch *watch, int at_fd, const char *path, struct err *err)
{
    auto_fd int fd = openat(at_fd, path, O_RDONLY | O_CLOEXEC);
    auto_buf struct buf text = BUF_INIT(TABLE_MAX);
    int error = fd < 0 ? errno : -read_all(fd, &text);
    if (error)
        return err_set(err, error, "cannot read %s: %s%s", path, strerrordesc_np(error),
                       error == ENOTCONN ? ": its mount has died; mount it again" : "");
    if (watch_read(watch, buf_text(&text), text.size, clock_monotonic_ms(clock_system()), err) < 0)
        return err_wrap(err, "%s", path);
    return 0;
}
