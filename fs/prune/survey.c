#include "survey.h"

#include "../path.h"
#include "../publish/reference_file.h"
#include "../virtual/newest.h"
#include "base/scope.h"
#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 512 }; // a key of 1,024 bytes has no more components

struct walk {
    const struct survey_mount *mount;
    const char *below;
    struct survey survey;
};

void survey_build_done(struct survey_build *build)
{
    if (!build)
        return;
    for (size_t i = 0; i < build->image_count; i++)
        free((char *)build->images[i].name);
    free(build->images);
    free((char *)build->path);
    *build = (struct survey_build){0};
}

void survey_done(struct survey *survey)
{
    if (!survey)
        return;
    for (size_t i = 0; i < survey->build_count; i++)
        survey_build_done(&survey->builds[i]);
    for (size_t i = 0; i < survey->link_count; i++) {
        free((char *)survey->links[i].path);
        free((char *)survey->links[i].target);
    }
    free(survey->builds);
    free(survey->links);
    *survey = (struct survey){0};
}

// ---- builds ------------------------------------------------------------------------------------

// "jps/fix-login/abc1234": how long "jps/fix-login" is; 0 for what is no place of a build.
static size_t branch_size(const char *path)
{
    const char *name = path_last(path);
    bool is_named_so = name != path && path_is_commit(name, strlen(name));
    return is_named_so && !path_is_under_releases(path) ? (size_t)(name - path) - 1 : 0;
}

static int add_image(struct survey_build *build, const char *name, int64_t modified_ms)
{
    enum archive_format format;
    if (!reference_name_format(name, &format))
        return 0;
    struct survey_image *images =
        reallocarray(build->images, build->image_count + 1, sizeof(*images));
    if (!images)
        return -ENOMEM;
    build->images = images;
    char *image = strndup(name, newest_image_size(name));
    if (!image)
        return -ENOMEM;
    images[build->image_count++] = (struct survey_image){image, modified_ms};
    return 0;
}

static int add_file(struct survey_build *build, int fd, const struct prune_entry *entry,
                    struct err *err)
{
    const char *name = entry->name;
    struct stat attributes;
    if (fstatat(fd, name, &attributes, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : err_set(err, errno, "cannot look at %s/%s: %s", build->path, name,
                                         strerrordesc_np(errno));
    int64_t modified_ms =
        (int64_t)attributes.st_mtim.tv_sec * 1000 + attributes.st_mtim.tv_nsec / 1000000;
    build->file_count++;
    build->size_bytes += (uint64_t)attributes.st_size;
    if (entry->type == DT_LNK) // an alias makes an old build no newer
        return 0;
    if (modified_ms > build->newest_ms)
        build->newest_ms = modified_ms;
    return add_image(build, name, modified_ms) < 0 ? err_no_memory(err) : 0;
}

static int look_at_build(int fd, const char *path, const struct prune_directory *directory,
                         struct survey_build *ret_build, struct err *err)
{
    struct survey_build build = {.path = strdup(path), .branch_size = branch_size(path)};
    int error = build.path ? 0 : err_no_memory(err);
    for (size_t i = 0; error == 0 && i < directory->count; i++)
        error = add_file(&build, fd, &directory->entries[i], err);
    if (error < 0) {
        survey_build_done(&build);
        return error;
    }
    *ret_build = build;
    return 0;
}

static bool is_build(const char *path, const struct prune_directory *directory)
{
    return branch_size(path) > 0 && directory->file_count > 0 && directory->directory_count == 0;
}

int survey_build(const struct survey_mount *mount, const char *path, struct survey_build *ret_build,
                 struct err *err)
{
    auto_directory struct prune_directory directory = {0};
    auto_fd int fd = prune_directory_open(mount->fd, path, err);
    if (fd < 0)
        return fd;
    if (prune_directory_read(fd, false, &directory, err) < 0)
        return err_wrap(err, "%s/", path);
    if (!is_build(path, &directory))
        return err_set(err, ENOENT, "%s/ is no build any more", path);
    return look_at_build(fd, path, &directory, ret_build, err);
}

// ---- links -------------------------------------------------------------------------------------

// Where the link leads in the end, from the mount's root; NULL: nowhere.
static int resolve(const struct survey_mount *mount, const char *path, const char **ret_target,
                   struct err *err)
{
    auto_free char *whole = path_join(mount->path, path);
    if (!whole)
        return err_no_memory(err);
    auto_free char *there = realpath(whole, NULL);
    size_t size = strlen(mount->path);
    if (!there && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        *ret_target = NULL;
        return 0;
    }
    if (!there)
        return err_set(err, errno, "where the link %s leads cannot be told: %s", path,
                       strerrordesc_np(errno));
    if (strncmp(there, mount->path, size) != 0 || (there[size] != '/' && there[size] != '\0'))
        return err_set(err, EXDEV, "the link %s leads out of the mount, to %s", path, there);
    *ret_target = strdup(there + size + (there[size] == '/'));
    return *ret_target ? 0 : err_no_memory(err);
}

static int add_link(struct walk *walk, const char *directory, const char *name, struct err *err)
{
    struct survey *survey = &walk->survey;
    struct survey_link *links = reallocarray(survey->links, survey->link_count + 1, sizeof(*links));
    if (!links)
        return err_no_memory(err);
    survey->links = links;
    struct survey_link link = {.path = path_join(directory, name)};
    if (!link.path)
        return err_no_memory(err);
    if (resolve(walk->mount, link.path, &link.target, err) < 0) {
        free((char *)link.path);
        return -err->errnum;
    }
    links[survey->link_count++] = link;
    return 0;
}

static int add_links(struct walk *walk, const char *path, const struct prune_directory *directory,
                     struct err *err)
{
    for (size_t i = 0; i < directory->count; i++) {
        if (directory->entries[i].type == DT_LNK &&
            add_link(walk, path, directory->entries[i].name, err) < 0)
            return -err->errnum;
    }
    return 0;
}

static bool is_in_same_directory(const struct survey_link *a, const struct survey_link *b)
{
    size_t size = (size_t)(path_last(a->path) - a->path);
    return size == (size_t)(path_last(b->path) - b->path) && memcmp(a->path, b->path, size) == 0;
}

static int look_again_at(struct walk *walk, const char *path, struct err *err)
{
    auto_directory struct prune_directory directory = {0};
    struct err missing = {0};
    auto_fd int fd = prune_directory_open(walk->mount->fd, path, &missing);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0) {
        *err = missing;
        return fd;
    }
    if (prune_directory_read(fd, false, &directory, err) < 0)
        return err_wrap(err, "%s/", path);
    return add_links(walk, path, &directory, err);
}

int survey_look_again(const struct survey_mount *mount, const struct survey *survey,
                      struct survey *ret_links, struct err *err)
{
    struct walk walk = {.mount = mount};
    int error = 0;
    // Those of one directory stand together.
    for (size_t i = 0; error == 0 && i < survey->link_count; i++) {
        if (i > 0 && is_in_same_directory(&survey->links[i - 1], &survey->links[i]))
            continue;
        auto_free char *directory = path_parent(survey->links[i].path);
        error = directory ? look_again_at(&walk, directory, err) : err_no_memory(err);
    }
    if (error < 0) {
        survey_done(&walk.survey);
        return error;
    }
    *ret_links = walk.survey;
    return 0;
}

// ---- the walk ----------------------------------------------------------------------------------

static bool is_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    return size == 0 || (strncmp(path, directory, size) == 0 && path[size] == '/');
}

static int add_build(struct walk *walk, int fd, const char *path,
                     const struct prune_directory *directory, struct err *err)
{
    struct survey *survey = &walk->survey;
    if (!is_below(path, walk->below) || !is_build(path, directory))
        return 0;
    struct survey_build *builds =
        reallocarray(survey->builds, survey->build_count + 1, sizeof(*builds));
    if (!builds)
        return err_no_memory(err);
    survey->builds = builds;
    int error = look_at_build(fd, path, directory, &builds[survey->build_count], err);
    survey->build_count += error == 0;
    return error;
}

static int walk_directory(struct walk *walk, const char *path, int depth, struct err *err)
{
    auto_directory struct prune_directory directory = {0};
    struct err missing = {0};
    auto_fd int fd = prune_directory_open(walk->mount->fd, path, &missing);
    if (fd == -ENOENT && depth > 0)
        return 0; // removed meanwhile
    if (fd < 0) {
        *err = missing;
        return fd;
    }
    if (depth > DEPTH_MAX)
        return err_set(err, ELOOP, "%s/ lies too deep", path);
    if (prune_directory_read(fd, false, &directory, err) < 0)
        return err_wrap(err, "%s/", path);
    int error = add_links(walk, path, &directory, err);
    if (error == 0)
        error = add_build(walk, fd, path, &directory, err);
    for (size_t i = 0; error == 0 && i < directory.count; i++) {
        if (directory.entries[i].type != DT_DIR)
            continue;
        auto_free char *below = path_join(path, directory.entries[i].name);
        error = below ? walk_directory(walk, below, depth + 1, err) : err_no_memory(err);
    }
    return error;
}

int survey_walk(const struct survey_mount *mount, const char *below, struct survey *ret_survey,
                struct err *err)
{
    struct walk walk = {.mount = mount, .below = below};
    int error = walk_directory(&walk, "", 0, err);
    if (error < 0) {
        survey_done(&walk.survey);
        return error;
    }
    *ret_survey = walk.survey;
    return 0;
}
