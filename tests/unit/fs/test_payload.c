// Which NAMEs publish an artifact's file as it is.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/publish/payload.h"

#include <errno.h>
#include <string.h>

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *artifact_type, *extension, *name;
        size_t layer_count;
        uint64_t size_bytes;
        int errnum;
        const char *says;
    } cases[] = {
        {"helm", ".tgz", "chart-1.2.3.tgz", 1, 10, 0, ""},
        {"oras", ".json", "a:1.JSON", 1, 10, 0, ""},
        {NULL, "", "runtime.tgz", 1, 10, EINVAL, "ends neither in .tar nor in .tar.gz"},
        {"helm", ".tgz", "chart.zip", 1, 10, EINVAL, "end it in .tgz for the file itself"},
        {"helm", ".tgz", ".tgz", 1, 10, EINVAL, "end it in .tgz"},
        {"oras", "", "a.json", 1, 10, EINVAL, "does not say what its file's name ends in"},
        {"oras", ".json", "a.json", 2, 10, EPROTONOSUPPORT, "artifact of 2 files"},
        {"oras", ".json", "a.json", 0, 10, EPROTONOSUPPORT, "artifact of 0 files"},
        {"oras", ".json", "a.json", 1, 0, EPROTONOSUPPORT, "is empty"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct registry_descriptor layers[2] = {{.size_bytes = cases[i].size_bytes}};
        const struct registry_image image = {.artifact_type = (char *)cases[i].artifact_type,
                                             .layers = layers,
                                             .layer_count = cases[i].layer_count};
        struct err err = {0};
        strcpy(layers[0].extension, cases[i].extension);
        assert_int_equal(payload_check(&image, cases[i].name, &err), -cases[i].errnum);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].name, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
