#include "platform.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    LEVEL_SCALE = 100, // level 8.5 is 805
    ARM64_V9 = 9 * LEVEL_SCALE,
    RANK_ANY_VARIANT = 1,
    RANK_SAME = 100 * LEVEL_SCALE,
};

enum { PART_SIZE = sizeof(((struct registry_platform *)NULL)->os) };
_Static_assert(PART_SIZE == sizeof(((struct registry_platform *)NULL)->architecture) &&
                   PART_SIZE == sizeof(((struct registry_platform *)NULL)->variant),
               "all parts of a platform have the same size");

static const struct {
    char alias[PART_SIZE];
    char architecture[PART_SIZE];
    char variant[PART_SIZE]; // "": what was given
} architectures[] = {
    {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
    {"i386", "386", ""},     {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},
};

static void normalize(const struct registry_platform *platform, struct registry_platform *ret)
{
    static const char darwin[PART_SIZE] = "darwin";
    *ret = *platform;
    for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
        if (strcmp(platform->architecture, architectures[i].alias) != 0)
            continue;
        memcpy(ret->architecture, architectures[i].architecture, PART_SIZE);
        if (architectures[i].variant[0] != '\0')
            memcpy(ret->variant, architectures[i].variant, PART_SIZE);
    }
    if (strcmp(ret->os, "macos") == 0)
        memcpy(ret->os, darwin, PART_SIZE);
}

// "v8" is 800, "v8.2" and "8.2" are 802; "" is the architecture's own default. -1: no level.
static int variant_level(const struct registry_platform *platform)
{
    const char *c = platform->variant;
    bool is_arm64 = strcmp(platform->architecture, "arm64") == 0;
    bool is_arm = strcmp(platform->architecture, "arm") == 0;
    if (!is_arm64 && !is_arm && strcmp(platform->architecture, "amd64") != 0)
        return -1;
    if (*c == '\0')
        return (is_arm64 ? 8 : is_arm ? 7 : 1) * LEVEL_SCALE;
    if (*c == 'v')
        c++;
    if (*c < '1' || *c > '9')
        return -1;
    int level = (*c++ - '0') * LEVEL_SCALE;
    if (c[0] == '.' && c[1] >= '0' && c[1] <= '9') {
        level += c[1] - '0';
        c += 2;
    }
    return *c == '\0' ? level : -1;
}

// Armv9.N has all of Armv8.(N+5), not more of Armv8.
static bool level_runs(bool is_arm64, int wanted, int offered)
{
    if (is_arm64 && wanted >= ARM64_V9 && offered < ARM64_V9)
        return offered % LEVEL_SCALE <= wanted % LEVEL_SCALE + 5;
    return offered <= wanted;
}

int registry_platform_rank(const struct registry_platform *wanted,
                           const struct registry_platform *offered)
{
    struct registry_platform w, o;
    normalize(wanted, &w);
    normalize(offered, &o);
    if (strcmp(w.os, o.os) != 0 || strcmp(w.architecture, o.architecture) != 0 ||
        registry_platform_is_unknown(&o))
        return 0;
    if (strcmp(w.variant, o.variant) == 0)
        return RANK_SAME;
    int wanted_level = variant_level(&w), offered_level = variant_level(&o);
    if (wanted_level >= 0 && offered_level >= 0) {
        if (wanted_level == offered_level)
            return RANK_SAME;
        bool is_arm64 = strcmp(w.architecture, "arm64") == 0;
        return level_runs(is_arm64, wanted_level, offered_level) ? offered_level : 0;
    }
    bool has_levels = wanted_level >= 0 || offered_level >= 0;
    return w.variant[0] == '\0' && !has_levels ? RANK_ANY_VARIANT : 0;
}

bool registry_platform_is_unknown(const struct registry_platform *platform)
{
    return strcmp(platform->os, "unknown") == 0 || strcmp(platform->architecture, "unknown") == 0;
}

// ---- text --------------------------------------------------------------------------------------

static bool take_part(const char **text, char *ret_part, size_t part_size)
{
    size_t size = strcspn(*text, "/");
    if (size == 0 || size >= part_size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = (*text)[i];
        bool is_name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("._-", c) != NULL;
        if (!is_name)
            return false;
        ret_part[i] = c;
    }
    ret_part[size] = '\0';
    *text += size;
    return true;
}

int registry_platform_parse(const char *text, struct registry_platform *ret_platform,
                            struct err *err)
{
    struct registry_platform given = {0}, platform;
    const char *rest = text;
    bool is_right = take_part(&rest, given.os, sizeof(given.os)) && *rest++ == '/' &&
                    take_part(&rest, given.architecture, sizeof(given.architecture));
    if (is_right && *rest == '/') {
        rest++;
        is_right = take_part(&rest, given.variant, sizeof(given.variant));
    }
    if (!is_right || *rest != '\0')
        return err_set(err, EINVAL,
                       "'%.100s' is no platform: write OS/ARCH or OS/ARCH/VARIANT in lower case, "
                       "such as linux/amd64 or linux/arm64/v8",
                       text);
    normalize(&given, &platform);
    *ret_platform = platform;
    return 0;
}

int registry_platforms_parse(const char *text, struct registry_platforms *ret_platforms,
                             struct err *err)
{
    struct registry_platforms platforms = {.is_all = strcmp(text, "all") == 0};
    for (const char *rest = text; !platforms.is_all && rest;) {
        char one[4 * PART_SIZE]; // longer ones are none
        const char *comma = strchrnul(rest, ',');
        if (platforms.count == REGISTRY_PLATFORMS_MAX)
            return err_set(err, EINVAL, "more than %d platforms: write all",
                           REGISTRY_PLATFORMS_MAX);
        snprintf(one, sizeof(one), "%.*s", (int)(comma - rest), rest);
        if (registry_platform_parse(one, &platforms.list[platforms.count++], err) < 0)
            return -err->errnum;
        rest = *comma ? comma + 1 : NULL;
    }
    *ret_platforms = platforms;
    return 0;
}

void registry_platform_format(const struct registry_platform *platform, char ret_text[100])
{
    snprintf(ret_text, 100, "%s/%s%s%s", platform->os, platform->architecture,
             platform->variant[0] != '\0' ? "/" : "", platform->variant);
}
