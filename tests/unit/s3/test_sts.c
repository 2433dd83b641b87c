// AssumeRole: the form that is sent, the answers, and the names.

#include "s3/sts.h"

#include "base/scope.h"
#include "fixture.h"
#include "s3/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER(inside)                                                                             \
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"   \
    "<Credentials>" inside "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define KEYS                                                                                       \
    "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>"                       \
    "<SessionToken>t/+=</SessionToken>"
#define EXPIRES "<Expiration>2013-05-24T01:00:00Z</Expiration>"
#define STS_ERROR(code) "<ErrorResponse><Error><Code>" code "</Code></Error></ErrorResponse>"

static struct fixture f;
static struct s3_service sts;

static void start(const struct script_reply *replies, size_t count)
{
    fixture_start(&f, replies, count);
    struct s3_service_options options = {
        .name = "sts",
        .region = "us-east-1",
        .endpoint = script_endpoint(f.script),
        .provider = f.provider,
        .http = f.http,
        .clock = &f.clock.clock,
        .skew = &f.client->skew,
    };
    assert_int_equal(s3_service_init(&sts, &options, &f.err), 0);
}

static void stop(void)
{
    s3_service_done(&sts);
    fixture_stop(&f);
}

static int assume(struct s3_credentials **ret_credentials)
{
    struct sts_assume assume = {
        .role_arn = "arn:aws:iam:::role/R",
        .session_name = "prereleasefs-h",
        .duration_s = 43200,
        .policy = "{\"a b\":\"c+*\"}",
    };
    return sts_assume_role(&sts, &f.call, &assume, ret_credentials, &f.err);
}

static void the_form(void **state)
{
    (void)state;
    static const struct script_reply replies[] = {{200, NULL, ANSWER(KEYS EXPIRES), 0}};
    start(replies, ARRAY_SIZE(replies));
    auto_credentials struct s3_credentials *credentials = NULL;
    assert_int_equal(assume(&credentials), 0);
    const char *request = script_request(f.script, 0);
    assert_memory_equal(request, "POST / HTTP/1.1\r\n", 17);
    // %20 and never '+', which some stores take for itself
    assert_non_null(strstr(request, "\r\n\r\nAction=AssumeRole&Version=2011-06-15&"
                                    "RoleArn=arn%3Aaws%3Aiam%3A%3A%3Arole%2FR&"
                                    "RoleSessionName=prereleasefs-h&DurationSeconds=43200&"
                                    "Policy=%7B%22a%20b%22%3A%22c%2B%2A%22%7D"));
    auto_free char *authorization = script_request_header(f.script, 0, "Authorization");
    assert_non_null(strstr(authorization, "/us-east-1/sts/aws4_request, "
                                          "SignedHeaders=content-type;host;x-amz-date, "));
    assert_string_equal(s3_credentials_access_key(credentials), "ASIA");
    assert_string_equal(secret_text(s3_credentials_secret_key(credentials)), "s/+=");
    assert_string_equal(secret_text(s3_credentials_session_token(credentials)), "t/+=");
    assert_int_equal(s3_credentials_expires_ms(credentials), TEST_NOW_MS + 3600 * 1000);
    stop();
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        struct script_reply reply;
        int errnum;
    } cases[] = {
        {{200, NULL, ANSWER(KEYS), 0}, EPROTO},
        {{200, NULL, ANSWER(EXPIRES), 0}, EPROTO},
        {{200, NULL, ANSWER(KEYS "<Expiration>soon</Expiration>"), 0}, EPROTO},
        {{200, NULL, "<html><body>Welcome</body></html>", 0}, EPROTO},
        {{200, NULL, "nonsense", 0}, EPROTO},
        {{403, NULL, STS_ERROR("AccessDenied"), 0}, EACCES},
        {{403, NULL, STS_ERROR("InvalidClientTokenId"), 0}, EACCES},
        {{400, NULL, STS_ERROR("ValidationError"), 0}, EINVAL},
        {{400, NULL, STS_ERROR("PackedPolicyTooLarge"), 0}, EINVAL},
        {{400, "x-amz-request-id: 1\r\n", NULL, 0}, EINVAL},
        {{404, NULL, STS_ERROR("NoSuchEntity"), 0}, EACCES},
        {{405, "Server: nginx\r\n", "<html></html>", 0}, EPROTO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        start(&cases[i].reply, 1);
        struct s3_credentials *credentials = NULL;
        if (assume(&credentials) != -cases[i].errnum)
            fail_msg("case %zu: %d %s", i, f.err.errnum, f.err.text);
        assert_null(credentials);
        assert_int_equal(f.err.errnum, cases[i].errnum);
        assert_null(strstr(f.err.text, "s/+="));
        stop();
    }
}

static void session_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"build-1.example", "prereleasefs-build-1.example"},
        {"", "prereleasefs-"},
        {"a b/\xC3\xBC", "prereleasefs-a-b---"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "prereleasefs-012345678901234567890123456789012345678901234567890"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char name[STS_SESSION_NAME_SIZE];
        sts_session_name(names[i][0], name);
        assert_string_equal(name, names[i][1]);
    }
}

static void partitions(void **state)
{
    (void)state;
    static const struct {
        const char *arn;
        const char *partition;
    } cases[] = {
        {"arn:aws:iam::123456789012:role/R", "aws"},
        {"arn:aws-cn:iam::123456789012:role/R", "aws-cn"},
        {"arn:aws-us-gov:iam::123456789012:role/path/R", "aws-us-gov"},
        {"arn:aws:iam:::role/R", "aws"},
        {"arn::iam:::role/R", NULL},
        {"arn:aws", NULL},
        {"arn:a\"b:iam:::role/R", NULL},
        {"R", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_free char *partition = sts_arn_partition(cases[i].arn);
        if (!partition != !cases[i].partition ||
            (partition && strcmp(partition, cases[i].partition) != 0))
            fail_msg("%s is of %s", cases[i].arn, partition);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form),
        cmocka_unit_test(answers),
        cmocka_unit_test(session_names),
        cmocka_unit_test(partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
