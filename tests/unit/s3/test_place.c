// Endpoints, regions and addressing.

#include "s3/place.h"

#include "base/scope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define AUTO_ S3_ADDRESSING_AUTO
#define PATH S3_ADDRESSING_PATH
#define VIRTUAL S3_ADDRESSING_VIRTUAL

static const struct {
    const char *service;
    const char *region;
    const char *endpoint;
    const char *bucket;
    enum s3_addressing addressing;
    const char *url;
    const char *base_path;
    const char *origin;
} good[] = {
    {"s3", "eu-west-1", NULL, "bkt", AUTO_, "https://bkt.s3.eu-west-1.amazonaws.com", "",
     "https://bkt.s3.eu-west-1.amazonaws.com:443"},
    {"s3", "us-east-1", NULL, "bkt", PATH, "https://s3.us-east-1.amazonaws.com", "/bkt",
     "https://s3.us-east-1.amazonaws.com:443"},
    {"s3", "cn-north-1", NULL, "bkt", AUTO_, "https://bkt.s3.cn-north-1.amazonaws.com.cn", "",
     "https://bkt.s3.cn-north-1.amazonaws.com.cn:443"},
    {"s3", "us-gov-west-1", NULL, "b-1", AUTO_, "https://b-1.s3.us-gov-west-1.amazonaws.com", "",
     "https://b-1.s3.us-gov-west-1.amazonaws.com:443"},
    // A dot, or letters that no host name has, go into the path
    {"s3", "eu-west-1", NULL, "b.kt", AUTO_, "https://s3.eu-west-1.amazonaws.com", "/b.kt",
     "https://s3.eu-west-1.amazonaws.com:443"},
    {"s3", "eu-west-1", NULL, "B_kt", AUTO_, "https://s3.eu-west-1.amazonaws.com", "/B_kt",
     "https://s3.eu-west-1.amazonaws.com:443"},
    {"s3", "eu-west-1", NULL, "b.kt", VIRTUAL, "https://b.kt.s3.eu-west-1.amazonaws.com", "",
     "https://b.kt.s3.eu-west-1.amazonaws.com:443"},
    {"s3", "r", "http://127.0.0.1:9000", "bkt", AUTO_, "http://127.0.0.1:9000", "/bkt",
     "http://127.0.0.1:9000"},
    {"s3", "r", "http://store.example/", "bkt", VIRTUAL, "http://bkt.store.example", "",
     "http://bkt.store.example:80"},
    {"s3", "r", "https://store.example:443", "bkt", AUTO_, "https://store.example", "/bkt",
     "https://store.example:443"},
    {"s3", "r", "http://store.example:443", "bkt", AUTO_, "http://store.example:443", "/bkt",
     "http://store.example:443"},
    {"s3", "r", "https://[::1]:9000", "bkt", AUTO_, "https://[::1]:9000", "/bkt",
     "https://[::1]:9000"},
    {"s3", "r", "https://gw.example/storage/v1/s3/", "bkt", AUTO_, "https://gw.example",
     "/storage/v1/s3/bkt", "https://gw.example:443"},
    {"sts", "eu-west-1", NULL, NULL, AUTO_, "https://sts.eu-west-1.amazonaws.com", "",
     "https://sts.eu-west-1.amazonaws.com:443"},
    {"sts", "cn-north-1", NULL, NULL, AUTO_, "https://sts.cn-north-1.amazonaws.com.cn", "",
     "https://sts.cn-north-1.amazonaws.com.cn:443"},
    {"sts", "r", "http://127.0.0.1:1", NULL, AUTO_, "http://127.0.0.1:1", "", "http://127.0.0.1:1"},
};

static void places(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct s3_place_options options = {good[i].service, good[i].region, good[i].endpoint,
                                           good[i].bucket, good[i].addressing};
        struct s3_place *place = NULL;
        struct err err = {0};
        if (s3_place_new(&options, &place, &err) < 0)
            fail_msg("case %zu: %s", i, err.text);
        assert_string_equal(place->url, good[i].url);
        assert_string_equal(place->host, strstr(good[i].url, "://") + 3);
        assert_string_equal(place->base_path, good[i].base_path);
        assert_string_equal(place->origin, good[i].origin);
        assert_string_equal(place->region, good[i].region);
        assert_int_equal(place->is_tls, strncmp(good[i].url, "https", 5) == 0);
        s3_place_free(place);
    }
    s3_place_free(NULL);
}

static const struct {
    const char *region;
    const char *endpoint;
    const char *bucket;
    enum s3_addressing addressing;
} bad[] = {
    {"r", "ftp://h", "bkt", AUTO_},
    {"r", "h:9000", "bkt", AUTO_},
    {"r", "", "bkt", AUTO_},
    {"r", "https://user:topsecret@h", "bkt", AUTO_},
    {"r", "https://h/?x=y", "bkt", AUTO_},
    {"r", "https://h#x", "bkt", AUTO_},
    {"r", "http://127.0.0.1:1", "bkt", VIRTUAL},
    {"r", "http://[::1]", "bkt", VIRTUAL},
    {"", NULL, "bkt", AUTO_},
    {"us east", NULL, "bkt", AUTO_},
    {"evil.example/", NULL, "bkt", AUTO_},
    {"r\r\nX: y", NULL, "bkt", AUTO_},
    {"-r", NULL, "bkt", AUTO_},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "bkt", AUTO_},
    {"r", NULL, "", AUTO_},
    {"r", NULL, "a/b", AUTO_},
    {"r", NULL, "a b", AUTO_},
    {"r", NULL, "..", AUTO_},
    {"r", NULL, "b@evil.example", AUTO_},
};

static void what_can_be_no_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct s3_place_options options = {"s3", bad[i].region, bad[i].endpoint, bad[i].bucket,
                                           bad[i].addressing};
        struct s3_place *place = NULL;
        struct err err = {0};
        if (s3_place_new(&options, &place, &err) != -EINVAL)
            fail_msg("case %zu is taken, or refused with \"%s\"", i, err.text);
        assert_null(place);
        assert_null(strstr(err.text, "topsecret"));
    }
}

static void partitions(void **state)
{
    (void)state;
    assert_string_equal(s3_region_partition("eu-west-1"), "aws");
    assert_string_equal(s3_region_partition("cn-northwest-1"), "aws-cn");
    assert_string_equal(s3_region_partition("us-gov-east-1"), "aws-us-gov");
    assert_string_equal(s3_region_partition("anything"), "aws");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(what_can_be_no_place),
        cmocka_unit_test(partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
