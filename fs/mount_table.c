#include "mount_table.h"

#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    FIELDS_BEFORE_OPTIONAL = 6, // ID PARENT MAJOR:MINOR ROOT PATH OPTIONS
    PATH_FIELD = 4,
    FIELDS_BEHIND_OPTIONAL = 2, // TYPE SOURCE; super options may be empty
};

void mounted_done(struct mounted *mounted)
{
    if (!mounted)
        return;
    free(mounted->path);
    free(mounted->type);
    free(mounted->source);
    *mounted = (struct mounted){0};
}

// Space, tab, newline and backslash stand there as "\040" and so on.
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        int byte = 0;
        bool is_escape = from[0] == '\\';
        for (int i = 1; i <= 3 && is_escape; i++) {
            is_escape = from[i] >= '0' && from[i] <= '7';
            byte = byte * 8 + (from[i] - '0');
        }
        *to = is_escape ? (char)byte : *from;
        from += is_escape ? 4 : 1;
    }
    *to = '\0';
}

static int take_fields(char *const *fields, const char *type, const char *source,
                       struct mounted *ret_mounted)
{
    char *end;
    errno = 0;
    long id = strtol(fields[0], &end, 10);
    if (errno || end == fields[0] || *end != '\0' || id < 0 || id > INT32_MAX)
        return -EINVAL;
    struct mounted mounted = {
        .id = (int)id,
        .path = strdup(fields[PATH_FIELD]),
        .type = strdup(type),
        .source = strdup(source),
    };
    if (!mounted.path || !mounted.type || !mounted.source) {
        mounted_done(&mounted);
        return -ENOMEM;
    }
    unescape(mounted.path);
    unescape(mounted.type);
    unescape(mounted.source);
    *ret_mounted = mounted;
    return 0;
}

int mount_table_parse(const char *line, struct mounted *ret_mounted)
{
    auto_free char *copy = strdup(line);
    if (!copy)
        return -ENOMEM;
    copy[strcspn(copy, "\n")] = '\0';
    char *rest = copy;
    char *fields[FIELDS_BEFORE_OPTIONAL] = {0};
    for (int i = 0; i < FIELDS_BEFORE_OPTIONAL; i++)
        if (!(fields[i] = strsep(&rest, " ")) || fields[i][0] == '\0')
            return -EINVAL;
    const char *field;
    while ((field = strsep(&rest, " ")) && strcmp(field, "-") != 0)
        ; // any number of optional fields
    char *behind[FIELDS_BEHIND_OPTIONAL] = {0};
    for (int i = 0; i < FIELDS_BEHIND_OPTIONAL; i++)
        if (!(behind[i] = strsep(&rest, " ")))
            return -EINVAL;
    return behind[0][0] ? take_fields(fields, behind[0], behind[1], ret_mounted) : -EINVAL;
}

// ---- the mount of a descriptor -----------------------------------------------------------------

static int mount_id(int fd)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    int id = -1;
    char line[200];
    while (file && id < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "mnt_id:", strlen("mnt_id:")) == 0)
            id = (int)strtol(line + strlen("mnt_id:"), NULL, 10);
    if (file)
        fclose(file);
    return id;
}

int mount_table_find(int fd, struct mounted *ret_mounted)
{
    int id = mount_id(fd);
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return -errno;
    int error = -ENOENT;
    auto_free char *line = NULL;
    for (size_t room = 0; error == -ENOENT && getline(&line, &room, file) > 0;) {
        struct mounted mounted = {0};
        if (mount_table_parse(line, &mounted) == 0 && mounted.id == id) {
            *ret_mounted = mounted;
            error = 0;
        } else {
            mounted_done(&mounted);
        }
    }
    fclose(file);
    return error;
}
