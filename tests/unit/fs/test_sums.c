// SHA256SUMS, to the byte, and through sha256sum itself.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/sums.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <errno.h>

static void test_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    fixture_init(&fixture);
    assert_int_equal(sums_render(&fixture.snapshot, &text, &err), 0);
    assert_string_equal(buf_text(&text),
                        "# notes____plans_.pdf: its sha256 is not known\n" FIXTURE_HEX
                        "  runtime-api_latest.tar.gz\n" FIXTURE_HEX "  runtime_main.tar\n");
    fixture_done(&fixture);
}

// sha256sum takes the file: comments are passed over, names are found.
static void test_sha256sum_takes_it(void **state)
{
    (void)state;
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(1 << 20);
    struct err err = {0};
    char directory[] = "/tmp/test-sums-XXXXXX";
    char path[100];
    char command[300];
    fixture_init(&fixture);
    sha256_hex_of("hello", 5, fixture.records[0]->sha256);
    sha256_hex_of("world", 5, fixture.records[1]->sha256);
    assert_int_equal(sums_render(&fixture.snapshot, &text, &err), 0);
    assert_non_null(mkdtemp(directory));
    const char *const files[][2] = {{"SHA256SUMS", buf_text(&text)},
                                    {"runtime-api_latest.tar.gz", "hello"},
                                    {"runtime_main.tar", "world"}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, files[i][0]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(files[i][1], file);
        fclose(file);
    }
    snprintf(command, sizeof(command),
             "cd %s && sha256sum --strict --quiet -c SHA256SUMS && echo x >runtime_main.tar && "
             "! sha256sum --status -c SHA256SUMS; code=$?; rm -r %s; exit $code",
             directory, directory);
    assert_int_equal(system(command), 0);
    fixture_done(&fixture);
}

static void test_limit(void **state)
{
    (void)state;
    check_limit(sums_render, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_sha256sum_takes_it),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
