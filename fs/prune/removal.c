#include "removal.h"

#include "../progress/watch_file.h"
#include "base/scope.h"
#include "directory.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// ---- the last look -----------------------------------------------------------------------------

// 0 where nothing is being published there.
static int check_status(int fd, struct err *err)
{
    struct watch watch;
    watch_init(&watch);
    int error = watch_file_read(&watch, fd, "status.tsv", err);
    bool is_running = error == 0 && watch_is_running(&watch);
    watch_done(&watch);
    if (is_running)
        return err_set(err, EBUSY, "it is being published into");
    // EINVAL: an object of that name, which shows where this mount has published nothing.
    return error == -ENOENT || error == -EINVAL ? 0 : error;
}

static int check_unchanged(const struct survey_mount *mount, const struct survey_build *build,
                           struct err *err)
{
    struct survey_build now = {0};
    int error = survey_build(mount, build->path, &now, err);
    bool is_same = error == 0 && now.newest_ms == build->newest_ms &&
                   now.file_count == build->file_count && now.size_bytes == build->size_bytes;
    survey_build_done(&now);
    if (error == 0 && !is_same)
        return err_set(err, EBUSY, "it has changed since it was looked at");
    return error;
}

// UNSURE, KEPT, or DONE: no link leads there.
static enum removal_outcome check_links(const struct survey_mount *mount,
                                        const struct survey *survey,
                                        const struct survey_build *build, struct err *err)
{
    struct survey again = {0};
    if (survey_look_again(mount, survey, &again, err) < 0)
        return REMOVAL_UNSURE;
    const struct survey_link *link = plan_link_to(&again, build);
    if (link)
        err_set(err, EBUSY, "%s leads to it by now", link->path);
    survey_done(&again);
    return link ? REMOVAL_KEPT : REMOVAL_DONE;
}

// ---- removing ----------------------------------------------------------------------------------

static int remove_files(int fd, bool wants_generated, struct err *err)
{
    auto_directory struct prune_directory directory = {0};
    if (prune_directory_read(fd, wants_generated, &directory, err) < 0)
        return -err->errnum;
    for (size_t i = 0; i < directory.count; i++) {
        const char *name = directory.entries[i].name;
        if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
            return err_set(err, errno, "cannot remove %s: %s", name, strerrordesc_np(errno));
    }
    return 0;
}

static int remove_directory(const struct survey_mount *mount, int fd,
                            const struct survey_build *build, struct err *err)
{
    auto_free char *branch = strndup(build->path, build->branch_size);
    const char *name = build->path + build->branch_size + 1;
    if (!branch)
        return err_no_memory(err);
    auto_fd int branch_fd = prune_directory_open(mount->fd, branch, err);
    if (branch_fd < 0)
        return branch_fd;
    if (unlinkat(branch_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    // An object under a generated file's name shows when nothing else is there.
    if (errno == ENOTEMPTY && remove_files(fd, true, err) < 0)
        return -err->errnum;
    if (unlinkat(branch_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return err_set(err, errno, "its files are removed, and the directory cannot be: %s",
                   strerrordesc_np(errno));
}

enum removal_outcome removal_run(const struct survey_mount *mount, const struct survey *survey,
                                 const struct survey_build *build, bool is_dry, struct err *err)
{
    auto_fd int fd = prune_directory_open(mount->fd, build->path, err);
    if (fd < 0)
        return REMOVAL_FAILED;
    enum removal_outcome links = check_links(mount, survey, build, err);
    if (links != REMOVAL_DONE)
        return links;
    if (check_unchanged(mount, build, err) < 0 || check_status(fd, err) < 0)
        return REMOVAL_KEPT;
    if (is_dry)
        return REMOVAL_DONE;
    bool is_removed =
        remove_files(fd, false, err) == 0 && remove_directory(mount, fd, build, err) == 0;
    return is_removed ? REMOVAL_DONE : REMOVAL_FAILED;
}
