// The command line: what is taken, what is refused and with which words, what mount(8) passes.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/options.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 };

// Arguments behind the program's name, closed by NULL.
static int parse(const char *const *arguments, struct options *ret_options, struct err *err)
{
    char program[] = "prereleasefs";
    char *argv[ARGUMENTS_MAX + 1] = {program};
    int argc = 1;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    return options_parse(argc, argv, ret_options, err);
}

#define PARSE(options, err, ...) parse((const char *const[]){__VA_ARGS__, NULL}, (options), (err))

static struct options taken(const char *text)
{
    struct options options = {0};
    struct err err = {0};
    if (PARSE(&options, &err, "-o", text, "bucket", "/mnt") < 0)
        fail_msg("-o %s: %s", text, err.text);
    return options;
}

static void assert_refused(const char *text, const char *word)
{
    struct options options = {0};
    struct err err = {0};
    assert_int_equal(PARSE(&options, &err, "-o", text, "bucket", "/mnt"), -EINVAL);
    if (!strstr(err.text, word))
        fail_msg("-o %s: \"%s\" does not say %s", text, err.text, word);
}

static void test_defaults(void **state)
{
    (void)state;
    struct options options = {0};
    struct err err = {0};
    assert_int_equal(PARSE(&options, &err, "prerelease-bucket", "/mnt/x"), 0);
    assert_string_equal(options.bucket, "prerelease-bucket");
    assert_string_equal(options.prefix, "");
    assert_string_equal(options.mountpoint, "/mnt/x");
    assert_false(options.is_foreground);
    assert_null(options.region);
    assert_null(options.endpoint);
    assert_int_equal(options.addressing, S3_ADDRESSING_AUTO);
    assert_int_equal(options.presign_session_s, 43200);
    assert_int_equal(options.expires_s, 604800);
    assert_int_equal(options.min_expires_s, 0);
    assert_string_equal(options.platforms.list[0].os, "linux");
    assert_string_equal(options.platforms.list[0].architecture, "amd64");
    assert_int_equal(options.format, ARCHIVE_FORMAT_TAR);
    assert_null(options.registries);
    assert_int_equal(options.parallel, 8);
    assert_int_equal(options.stall_timeout_s, 30);
    assert_int_equal(options.memory_bytes, 128 << 20);
    assert_false(options.may_overwrite);
    assert_false(options.may_delete);
    assert_int_equal(options.list_ttl_ms, 1000);
    assert_int_equal(options.link_mode, 0444);
    assert_int_equal(options.file_mode, 0444);
    assert_int_equal(options.directory_mode, 0755);
    assert_int_equal(options.uid, getuid());
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
    assert_null(options.fuse_options);
    options_done(&options);
    options_done(&options); // and once more does no harm
    options_done(NULL);
}

static void test_values(void **state)
{
    (void)state;
    struct options options = taken(
        "region=eu-west-1,endpoint=http://127.0.0.1:9000,sts_endpoint=https://sts.example.org,"
        "addressing=path,profile=ci,presign_role=arn:aws:iam::123456789012:role/R,"
        "presign_session=900,expires=2,min_expires=1,kms_key=arn:aws:kms:eu:1:key/2,"
        "platform=linux/"
        "arm64,format=tar.gz,parallel=128,stall_timeout=3600,memory=32M,overwrite,allow_delete,"
        "list_ttl=0.25,linkmode=0440,contact=Jane\\, ext. 5,title=a\\\\b,log_level=debug,"
        "uid=1000,gid=1001,fmode=0400,dmode=700");
    assert_string_equal(options.region, "eu-west-1");
    assert_string_equal(options.endpoint, "http://127.0.0.1:9000");
    assert_string_equal(options.sts_endpoint, "https://sts.example.org");
    assert_int_equal(options.addressing, S3_ADDRESSING_PATH);
    assert_string_equal(options.profile, "ci");
    assert_string_equal(options.presign_role, "arn:aws:iam::123456789012:role/R");
    assert_int_equal(options.presign_session_s, 900);
    assert_int_equal(options.expires_s, 2);
    assert_int_equal(options.min_expires_s, 1);
    assert_string_equal(options.kms_key, "arn:aws:kms:eu:1:key/2");
    assert_string_equal(options.platforms.list[0].architecture, "arm64");
    assert_int_equal(options.format, ARCHIVE_FORMAT_TAR_GZ);
    assert_int_equal(options.parallel, 128);
    assert_int_equal(options.stall_timeout_s, 3600);
    assert_int_equal(options.memory_bytes, 32 << 20);
    assert_true(options.may_overwrite);
    assert_true(options.may_delete);
    assert_int_equal(options.list_ttl_ms, 250);
    assert_int_equal(options.link_mode, 0440);
    assert_string_equal(options.contact, "Jane, ext. 5");
    assert_string_equal(options.title, "a\\b");
    assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(options.uid, 1000);
    assert_int_equal(options.gid, 1001);
    assert_int_equal(options.file_mode, 0400);
    assert_int_equal(options.directory_mode, 0700);
    options_done(&options);
}

static void test_the_last_one_wins(void **state)
{
    (void)state;
    struct options options = taken("region=a,list_ttl=0,region=b,list_ttl=86400");
    assert_string_equal(options.region, "b");
    assert_int_equal(options.list_ttl_ms, 86400 * 1000);
    options_done(&options);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        {"memory=16777216", UINT64_C(16) << 20}, {"memory=16384K", UINT64_C(16) << 20},
        {"memory=16m", UINT64_C(16) << 20},      {"memory=2G", UINT64_C(2) << 30},
        {"memory=1T", UINT64_C(1) << 40},
    };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct options options = taken(sizes[i].text);
        assert_int_equal(options.memory_bytes, sizes[i].bytes);
        options_done(&options);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *word;
    } refused[] = {
        {"stall_timeout=0", "from 1 to 3600"},
        {"parallel=0", "from 1 to 128"},
        {"parallel=129", "from 1 to 128"},
        {"parallel=+8", "from 1 to 128"},
        {"parallel= 8", "from 1 to 128"},
        {"parallel=8x", "from 1 to 128"},
        {"parallel=99999999999999999999", "from 1 to 128"},
        {"parallel=", "from 1 to 128"},
        {"parallel", "needs a value: parallel=N"},
        {"overwrite=yes", "takes no value"},
        {"memory=15M", "at least 16M"},
        {"memory=128MB", "at least 16M"},
        {"memory=9999999999T", "at least 16M"},
        {"memory=-1", "at least 16M"},
        {"expires=0", "from 1 to 604800"},
        {"expires=604801", "from 1 to 604800"},
        {"presign_session=899", "from 900 to 43200"},
        {"presign_session=43201", "from 900 to 43200"},
        {"list_ttl=1.x", "from 0 to 86400"},
        {"list_ttl=.5", "from 0 to 86400"},
        {"list_ttl=-1", "from 0 to 86400"},
        {"linkmode=0999", "octal"},
        {"linkmode=", "octal"},
        {"linkmode=01777", "octal"},
        {"endpoint=s3.example.org", "a URL"},
        {"endpoint=ftp://s3.example.org", "a URL"},
        {"endpoint=https://user:pw@s3.example.org", "a URL"},
        {"endpoint=https://s3.example.org/path", "a URL"},
        {"addressing=dns", "auto, path or virtual"},
        {"format=zip", "tar or tar.gz"},
        {"log_level=loud", "error, warn, info or debug"},
        {"platform=linux", "OS/ARCH"},
        {"presign_role=S3PresignedURLRole", "ARN"},
        {"kms_key=alias/x", "ARN"},
        {"region=", "a value"},
        {"registries=", "host"},
        {"registries=bad host", "host"},
        {"uid=root", "number"},
        {"uid=4294967295", "number"},
        {"access_key=AKIA", "unknown option 'access_key'"},
        {"ghcr.io", "unknown option 'ghcr.io'"},
        {"presign_role=arn:aws:iam::1:role/R,presign_profile=x", "exclude each other"},
        {"expires=10,min_expires=11", "longer than expires"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_refused(refused[i].text, refused[i].word);
}

static void test_lists(void **state)
{
    (void)state;
    // Commas separate options, and hosts too.
    struct options options = taken("registries=GHCR.io,quay.io,10.0.0.5:5000,localhost,parallel=4,"
                                   "registries=[::1]:5000,insecure_registry=reg.local");
    assert_string_equal(options.registries[0], "ghcr.io");
    assert_string_equal(options.registries[1], "quay.io");
    assert_string_equal(options.registries[2], "10.0.0.5:5000");
    assert_string_equal(options.registries[3], "localhost");
    assert_string_equal(options.registries[4], "[::1]:5000");
    assert_null(options.registries[5]);
    assert_string_equal(options.insecure_registries[0], "reg.local");
    assert_null(options.insecure_registries[1]);
    assert_int_equal(options.parallel, 4);
    options_done(&options);
    options = taken("registries=ghcr.io\\,quay.io");
    assert_string_equal(options.registries[1], "quay.io");
    assert_null(options.registries[2]);
    options_done(&options);
    assert_refused("registries=ghcr.io\\,", "host");
    assert_refused("registries=ghcr.io,paralel=4", "unknown option 'paralel'");
    assert_refused("registries=ghcr.io,overwrit", "unknown option 'overwrit'");
    assert_refused("registries=ghcr.io,parallel=4,quay.io", "unknown option 'quay.io'");
}

static void test_what_mount_passes(void **state)
{
    (void)state;
    struct options options = {0};
    struct err err = {0};
    assert_int_equal(PARSE(&options, &err, "bucket/pre/fix", "/mnt/x", "-o",
                           "rw,noauto,_netdev,user=jane,x-systemd.automount,nofail,dev,suid,"
                           "allow_other,region=eu-west-1,defaults"),
                     0);
    assert_string_equal(options.prefix, "pre/fix/");
    assert_true(options.is_allow_other);
    assert_false(options.is_read_only);
    assert_int_equal(options.link_mode, 0440);
    assert_int_equal(options.file_mode, 0644);
    const char *const wanted[] = {"rw", "dev", "suid", "allow_other", "default_permissions"};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        assert_string_equal(options.fuse_options[i], wanted[i]);
    assert_null(options.fuse_options[ARRAY_SIZE(wanted)]);
    options_done(&options);

    options = taken("rw,ro,allow_other,linkmode=0404,subtype=x,fsname=y");
    assert_true(options.is_read_only);
    assert_int_equal(options.link_mode, 0404);
    options_done(&options);

    // Order does not matter, and what is said counts.
    options = taken("allow_other,dmode=0575");
    assert_int_equal(options.file_mode, 0464);
    options_done(&options);
    options = taken("fmode=0440,allow_other,dmode=0777");
    assert_int_equal(options.file_mode, 0440);
    options_done(&options);
}

static void test_buckets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bucket; // NULL: refused
        const char *prefix;
    } buckets[] = {
        {"bucket", "bucket", ""},
        {"bucket/", "bucket", ""},
        {"bucket/a", "bucket", "a/"},
        {"bucket//a//b/", "bucket", "a/b/"},
        {"s3://my.bucket-1/a", "my.bucket-1", "a/"},
        {"ab", NULL, NULL},
        {"", NULL, NULL},
        {"-bucket", NULL, NULL},
        {"buck et", NULL, NULL},
        {"bucket/../x", NULL, NULL},
        {"bucket/.prereleasefs", NULL, NULL},
        {"bucket/a/.prereleasefs/b", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(buckets); i++) {
        struct options options = {0};
        struct err err = {0};
        int error = PARSE(&options, &err, "--", buckets[i].text, "/mnt");
        if (!buckets[i].bucket) {
            assert_int_equal(error, -EINVAL);
            continue;
        }
        assert_int_equal(error, 0);
        assert_string_equal(options.bucket, buckets[i].bucket);
        assert_string_equal(options.prefix, buckets[i].prefix);
        options_done(&options);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    struct options options = {0};
    struct err err = {0};
    assert_int_equal(PARSE(&options, &err, "-fd", "bucket", "-oro,overwrite", "/mnt"), 0);
    assert_true(options.is_foreground);
    assert_true(options.is_fuse_debug);
    assert_true(options.is_read_only);
    assert_true(options.may_overwrite);
    options_done(&options);
    assert_int_equal(PARSE(&options, &err, "-h"), 0);
    assert_true(options.wants_help);
    options_done(&options);
    assert_int_equal(PARSE(&options, &err, "--version"), 0);
    assert_true(options.wants_version);
    options_done(&options);

    assert_int_equal(PARSE(&options, &err, "bucket"), -EINVAL);
    assert_non_null(strstr(err.text, "mount where?"));
    assert_int_equal(PARSE(&options, &err, "-f"), -EINVAL);
    assert_non_null(strstr(err.text, "which bucket?"));
    assert_int_equal(PARSE(&options, &err, "bucket", "/mnt", "more"), -EINVAL);
    assert_non_null(strstr(err.text, "3 arguments are given"));
    assert_int_equal(PARSE(&options, &err, "bucket", "/mnt", "-x"), -EINVAL);
    assert_non_null(strstr(err.text, "-x"));
    assert_int_equal(PARSE(&options, &err, "bucket", "/mnt", "-o"), -EINVAL);
    assert_int_equal(PARSE(&options, &err, "bucket", ""), -EINVAL);
    assert_int_equal(PARSE(&options, &err, "--wrong"), -EINVAL);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct options options = {0};
        struct err err = {0};
        memory_fail_at(nth);
        int error = PARSE(&options, &err, "-o",
                          "region=x,registries=ghcr.io,quay.io,endpoint=https://a.b,ro,contact=c",
                          "bucket/prefix", "/mnt");
        has_failed = memory_has_failed();
        memory_fail_at(0);
        assert_true(error == 0 || has_failed);
        if (error == 0)
            options_done(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),          cmocka_unit_test(test_values),
        cmocka_unit_test(test_the_last_one_wins), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_lists),
        cmocka_unit_test(test_what_mount_passes), cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_arguments),         cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
