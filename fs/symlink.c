#include "symlink.h"

#include <errno.h>
#include <string.h>

bool symlink_is_object_name(const char *name)
{
    size_t size = strlen(name), suffix = strlen(SYMLINK_SUFFIX);
    return size > suffix && strcmp(name + size - suffix, SYMLINK_SUFFIX) == 0;
}

size_t symlink_name_size(const char *object_name, uint64_t size_bytes)
{
    if (size_bytes == 0 || size_bytes > SYMLINK_TARGET_MAX || !symlink_is_object_name(object_name))
        return 0;
    return strlen(object_name) - strlen(SYMLINK_SUFFIX);
}

static size_t depth_of(const char *directory)
{
    size_t depth = directory[0] != '\0';
    for (; *directory; directory++)
        depth += *directory == '/';
    return depth;
}

int symlink_check_target(const char *directory, const char *target, struct err *err)
{
    size_t depth = depth_of(directory), up = 0;
    bool has_name = false;

    if (target[0] == '/')
        return err_set(
            err, EXDEV,
            "a link to %s would lead out of the mount, or elsewhere on another host: give "
            "the way there from the link's own directory (ln -sr finds it)",
            target);
    while (*target) {
        size_t size = strcspn(target, "/");
        bool is_up = size == 2 && memcmp(target, "..", 2) == 0;
        if (is_up && has_name)
            return err_set(err, EXDEV,
                           "in a link's target \"..\" may stand at its beginning alone: behind the "
                           "name of another link it could lead out of the mount");
        up += is_up;
        has_name = has_name || (size > 0 && !is_up && !(size == 1 && target[0] == '.'));
        target += size;
        target += strspn(target, "/");
    }
    return up <= depth ? 0
                       : err_set(err, EXDEV,
                                 "the link's target lies outside the mount: write the way to it "
                                 "from the link's own directory (ln -sr finds it)");
}
