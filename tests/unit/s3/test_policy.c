// The session policy's text, to the byte.

#include "s3/policy.h"

#include "base/scope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BEGIN "{\"Version\":\"2012-10-17\",\"Statement\":["
#define GET(effect, resource)                                                                      \
    "{\"Effect\":\"" effect "\",\"Action\":\"s3:GetObject\",\"Resource\":\"" resource "\"}"
#define END "]}"

static const struct {
    struct s3_policy policy;
    const char *text;
} good[] = {
    {{"aws", "bkt", "", NULL, NULL}, BEGIN GET("Allow", "arn:aws:s3:::bkt/*") END},
    {{"aws-cn", "bkt", "jps/", "jps/.prereleasefs/", NULL},
     BEGIN GET("Allow", "arn:aws-cn:s3:::bkt/jps/*") "," GET(
         "Deny", "arn:aws-cn:s3:::bkt/jps/.prereleasefs/*") END},
    {{"aws", "bkt", "", ".prereleasefs/", "arn:aws:kms:eu-west-1:1:key/k"},
     BEGIN GET("Allow", "arn:aws:s3:::bkt/*") "," GET(
         "Deny", "arn:aws:s3:::bkt/.prereleasefs/*") ",{\"Effect\":\"Allow\",\"Action\":\"kms:"
                                                     "Decrypt\",\"Resource\":"
                                                     "\"arn:aws:kms:eu-west-1:1:key/k\"}" END},
    {{"aws", "bkt", "a*b?c$d${e}/", NULL, NULL},
     BEGIN GET("Allow", "arn:aws:s3:::bkt/a${*}b${?}c$d${$}{e}/*") END},
    {{"aws", "bkt", "$$/$*$?$/", NULL, NULL},
     BEGIN GET("Allow", "arn:aws:s3:::bkt/${$}$/${$}${*}${$}${?}$/*") END},
    {{"aws", "bkt", "q\"\\ \n\x7F/", NULL, NULL},
     BEGIN GET("Allow", "arn:aws:s3:::bkt/q\\\"\\\\ \\u000a\\u007f/*") END},
    {{"aws", "bkt", "\xC3\xBC\xE6\x97\xA5\xF0\x9F\x98\x80/", NULL, NULL},
     BEGIN GET("Allow", "arn:aws:s3:::bkt/\\u00fc\\u65e5\\ud83d\\ude00/*") END},
};

static void texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        auto_buf struct buf text = BUF_INIT(2 * S3_POLICY_SIZE_MAX);
        struct err err = {0};
        assert_int_equal(s3_policy_write(&good[i].policy, &text, &err), 0);
        assert_string_equal(buf_text(&text), good[i].text);
    }
}

static void prefixes_that_no_policy_can_name(void **state)
{
    (void)state;
    static const char *const prefixes[] = {
        "\xFF/", "a\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        struct s3_policy policy = {"aws", "bkt", prefixes[i], NULL, NULL};
        auto_buf struct buf text = BUF_INIT(2 * S3_POLICY_SIZE_MAX);
        struct err err = {0};
        assert_int_equal(s3_policy_write(&policy, &text, &err), -EINVAL);
    }
}

static void no_longer_than_sts_takes(void **state)
{
    (void)state;
    char prefix[S3_POLICY_SIZE_MAX];
    size_t frame = strlen(BEGIN GET("Allow", "arn:aws:s3:::bkt/*") END);
    for (int more = 0; more < 2; more++) {
        size_t size = S3_POLICY_SIZE_MAX - frame + (size_t)more;
        memset(prefix, 'p', size);
        prefix[size] = '\0';
        struct s3_policy policy = {"aws", "bkt", prefix, NULL, NULL};
        auto_buf struct buf text = BUF_INIT(2 * S3_POLICY_SIZE_MAX);
        struct err err = {0};
        assert_int_equal(s3_policy_write(&policy, &text, &err), more ? -EINVAL : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(prefixes_that_no_policy_can_name),
        cmocka_unit_test(no_longer_than_sts_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
