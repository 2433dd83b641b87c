#include "../base/test.h"

#include "registry.h"
#include "registry/platform.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

static void parses_and_formats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *formatted; // NULL: refused
    } cases[] = {
        {"linux/amd64", "linux/amd64"},
        {"linux/arm64/v8", "linux/arm64/v8"},
        {"linux/arm/v7", "linux/arm/v7"},
        {"linux/x86_64", "linux/amd64"},
        {"linux/aarch64", "linux/arm64"},
        {"linux/armhf", "linux/arm/v7"},
        {"linux/armel", "linux/arm/v6"},
        {"linux/i386", "linux/386"},
        {"macos/arm64", "darwin/arm64"},
        {"windows/amd64", "windows/amd64"},
        {"linux/ppc64le", "linux/ppc64le"},
        {"linux/riscv64/rva23u64", "linux/riscv64/rva23u64"},
        {"", NULL},
        {"linux", NULL},
        {"linux/", NULL},
        {"/amd64", NULL},
        {"linux//v8", NULL},
        {"linux/arm64/", NULL},
        {"linux/arm64/v8/x", NULL},
        {"Linux/amd64", NULL},
        {"linux/amd64 ", NULL},
        {"linux,amd64", NULL},
        {"linux/amd64,linux/arm64", NULL},
        {"all", NULL},
        {"linux/amd64\n", NULL},
        {"linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}, // 32 bytes
        {"linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct registry_platform platform = {.os = "untouched"};
        struct err err = {0};
        char text[100];
        int status = registry_platform_parse(cases[i].text, &platform, &err);
        if (status != (cases[i].formatted == NULL ? -EINVAL : 0))
            fail_msg("'%s': %d", cases[i].text, status);
        registry_platform_format(&platform, text);
        assert_string_equal(text, cases[i].formatted == NULL ? "untouched/" : cases[i].formatted);
    }
}

// As containerd 2's platforms.Only has it, but never another architecture.
static void ranks(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        const char *better; // ranks above `worse`
        const char *worse;  // "" for what does not serve at all
    } cases[] = {
        {"linux/amd64", "linux/amd64", ""},
        {"linux/arm64", "linux/arm64", ""},
        {"linux/arm64", "linux/arm64/v8", ""},
        {"linux/arm64/v8", "linux/arm64", ""},
        {"linux/arm64/v8", "linux/aarch64", ""},
        {"linux/arm64/v9", "linux/arm64/v9", "linux/arm64/v8"},
        {"linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64/v8"},
        {"linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"},
        {"linux/arm", "linux/arm/v7", "linux/arm/v6"},
        {"linux/arm", "linux/arm", "linux/arm/v6"},
        {"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"},
        {"linux/arm/v8", "linux/arm/v8", "linux/arm/v7"},
        {"linux/amd64/v3", "linux/amd64/v3", "linux/amd64/v2"},
        {"linux/amd64/v3", "linux/amd64/v2", "linux/amd64"},
        {"linux/riscv64", "linux/riscv64", "linux/riscv64/rva20u64"},
    };
    static const char *const strangers[][2] = {
        {"linux/amd64", "linux/386"},           {"linux/amd64", "windows/amd64"},
        {"linux/arm64", "linux/arm/v7"},        {"linux/arm64", "linux/arm64/v9"},
        {"linux/arm64/v9", "linux/arm64/v8.6"}, {"linux/arm/v6", "linux/arm/v7"},
        {"linux/amd64", "linux/amd64/v2"},      {"linux/riscv64/x", "linux/riscv64"},
        {"linux/arm64", "linux/arm64/strange"}, {"unknown/unknown", "unknown/unknown"},
    };
    struct registry_platform wanted, better, worse;
    struct err err;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(registry_platform_parse(cases[i].wanted, &wanted, &err), 0);
        assert_int_equal(registry_platform_parse(cases[i].better, &better, &err), 0);
        int better_rank = registry_platform_rank(&wanted, &better), worse_rank = 0;
        if (registry_platform_parse(cases[i].worse, &worse, &err) == 0) {
            worse_rank = registry_platform_rank(&wanted, &worse);
            assert_int_not_equal(worse_rank, 0);
        }
        if (better_rank <= worse_rank)
            fail_msg("%s: %s has %d, %s has %d", cases[i].wanted, cases[i].better, better_rank,
                     cases[i].worse, worse_rank);
    }
    for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
        assert_int_equal(registry_platform_parse(strangers[i][0], &wanted, &err), 0);
        assert_int_equal(registry_platform_parse(strangers[i][1], &better, &err), 0);
        if (registry_platform_rank(&wanted, &better) != 0)
            fail_msg("%s is served by %s", strangers[i][0], strangers[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_formats),
        cmocka_unit_test(ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
