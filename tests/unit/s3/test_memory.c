// Every allocation of this room fails once: the answer is an error with a sentence, nothing is
// leaked (the sanitizer watches), and what was to be filled is untouched.

#include "../base/fault_memory.h"
#include "base/scope.h"
#include "fixture.h"
#include "s3/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ALLOCATIONS_MAX = 2000 };

#define ID "x-amz-request-id: 1\r\nETag: \"e\"\r\n"
#define PAGE                                                                                       \
    "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t"                    \
    "</NextContinuationToken><Contents><Key>k</Key><Size>1</Size></Contents>"                      \
    "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>"
#define MODIFIED "Last-Modified: Fri, 24 May 2013 00:00:01 GMT\r\nx-amz-meta-a: b\r\n"
#define SESSION                                                                                    \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>"              \
    "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>"               \
    "2013-05-24T12:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"

#define WEB_SESSION                                                                                \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"            \
    "<AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t"              \
    "</SessionToken><Expiration>2013-05-24T12:00:00Z</Expiration></Credentials>"                   \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"

static struct fixture f;

// Runs one of the following with its nth allocation failing, for every n. Each fills f.err.
static void fail_each(const char *name, const struct script_reply *reply, int (*run)(void))
{
    for (int nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        fixture_start(&f, reply, reply ? 1 : 0);
        atomic_store(&f.call.retries_left, 0);
        memory_fail_at(nth);
        int r = run();
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (r < 0 && (f.err.errnum != -r || !*f.err.text))
            fail_msg("%s, allocation %d: %d without a sentence", name, nth, r);
        fixture_stop(&f);
        if (!has_failed) {
            print_message("%s: %d allocations\n", name, nth - 1);
            assert_int_equal(r, 0);
            return;
        }
    }
    fail_msg("%s never ends", name);
}

// ---- what is run --------------------------------------------------------------------------------

static char *config;
static char *credentials;

static struct s3_environment files(void)
{
    static struct test_variable variables[3];
    variables[0] = (struct test_variable){"AWS_CONFIG_FILE", config};
    variables[1] = (struct test_variable){"AWS_SHARED_CREDENTIALS_FILE", credentials};
    return test_environment(variables);
}

static int run_settings(void)
{
    struct s3_environment environment = files();
    struct s3_settings settings = {0};
    int r = s3_settings_read(NULL, &environment, &settings, &f.err);
    if (r < 0)
        assert_null(settings.region);
    s3_settings_done(&settings);
    return r;
}

static int run_provider(void)
{
    struct s3_environment environment = files();
    struct s3_provider_options options = {
        .profile = "default", .environment = &environment, .clock = &f.clock.clock};
    struct s3_provider *provider = NULL;
    int r = s3_provider_new(&options, &f.call, &provider, &f.err);
    assert_int_equal(r < 0, provider == NULL);
    s3_provider_free(provider);
    return r;
}

static int open_with(struct s3_environment environment, const char *profile)
{
    struct s3_provider_options options = {
        .profile = profile,
        .sts_endpoint = script_endpoint(f.script),
        .environment = &environment,
        .clock = &f.clock.clock,
        .http = f.http,
    };
    struct s3_provider *provider = NULL;
    int r = s3_provider_new(&options, &f.call, &provider, &f.err);
    assert_int_equal(r < 0, provider == NULL);
    s3_provider_free(provider);
    return r;
}

static int run_role(void)
{
    return open_with(files(), "role");
}

static int run_web_identity(void)
{
    return open_with(files(), "web");
}

static int run_container(void)
{
    static char url[100];
    static struct test_variable variables[3];
    snprintf(url, sizeof(url), "%s/role", script_endpoint(f.script));
    variables[0] = (struct test_variable){"AWS_CONTAINER_CREDENTIALS_FULL_URI", url};
    variables[1] = (struct test_variable){"HOME", "/nonexistent"};
    return open_with(test_environment(variables), NULL);
}

static int run_process(void)
{
    return open_with(files(), "process");
}

static int run_client(void)
{
    struct s3_options options = {
        .bucket = "bkt",
        .region = "us-east-1",
        .provider = f.provider,
        .http = f.http,
        .clock = &f.clock.clock,
    };
    struct s3_client *client = NULL;
    int r = s3_client_new(&options, &client, &f.err);
    assert_int_equal(r < 0, client == NULL);
    s3_client_free(client);
    return r;
}

static int run_policy(void)
{
    struct s3_policy policy = {"aws", "bkt", "a*/", "a*/.prereleasefs/", "arn:k"};
    auto_buf struct buf text = BUF_INIT(S3_POLICY_SIZE_MAX);
    return s3_policy_write(&policy, &text, &f.err);
}

static int run_list(void)
{
    struct s3_page page = {0};
    int r = s3_list_page(f.client, &f.call, "p", "/", NULL, NULL, 10, &page, &f.err);
    if (r < 0)
        assert_null(page.objects);
    s3_page_done(&page);
    return r;
}

static int run_head(void)
{
    struct s3_head head = {0};
    int r = s3_object_head(f.client, &f.call, "k", &head, &f.err);
    if (r < 0)
        assert_null(head.metadata);
    s3_head_done(&head);
    return r;
}

static int run_get(void)
{
    struct buf bytes = {0};
    int r = s3_object_get(f.client, &f.call, "k", 1000, &bytes, NULL, &f.err);
    if (r < 0)
        assert_null(bytes.bytes);
    buf_done(&bytes);
    return r;
}

static int take(void *context, const void *bytes, size_t size)
{
    (void)context, (void)bytes, (void)size;
    return 0;
}

static int run_read(void)
{
    return s3_object_read(f.client, &f.call, "k", NULL, 0, 4, take, NULL, &f.err);
}

static int run_put(void)
{
    struct http_piece body = {"body", 4};
    struct s3_metadata metadata = {"a", "b"};
    struct s3_put put = {"k", &body, 1, "text/plain", &metadata, 1, S3_CONDITION_NONE};
    return s3_object_put(f.client, &f.call, &put, NULL, &f.err);
}

static const struct s3_upload upload = {"k", "id"};

static int run_create(void)
{
    struct s3_put put = {.key = "k", .content_type = "text/plain"};
    struct s3_upload made = {0};
    int r = s3_multipart_create(f.client, &f.call, &put, &made, &f.err);
    if (r < 0)
        assert_string_equal(made.id, "");
    return r;
}

static int run_upload_part(void)
{
    struct http_piece body = {"body", 4};
    struct s3_part part = {0};
    return s3_multipart_upload_part(f.client, &f.call, &upload, 1, &body, 1, &part, &f.err);
}

static int run_copy_part(void)
{
    struct s3_part part = {0};
    return s3_multipart_copy_part(f.client, &f.call, &upload, 1, "s", "\"e\"", 0, 9, &part, &f.err);
}

static int run_complete(void)
{
    struct s3_part part = {1, "\"e\""};
    return s3_multipart_complete(f.client, &f.call, &upload, &part, 1, S3_CONDITION_NONE, 4, NULL,
                                 NULL, &f.err);
}

static int count(void *context, const struct s3_upload *one, int64_t initiated_ms)
{
    (void)context, (void)one, (void)initiated_ms;
    return 0;
}

static int run_uploads(void)
{
    return s3_multipart_list(f.client, &f.call, "", count, NULL, &f.err);
}

static int run_presign(void)
{
    struct s3_presigner_options options = {
        .role_arn = "arn:aws:iam:::role/R",
        .provider = f.provider,
        .sts_endpoint = script_endpoint(f.script),
        .region = "us-east-1",
        .session_s = 43200,
        .prefix = "",
        .http = f.http,
        .clock = &f.clock.clock,
    };
    struct s3_presigner *presigner = NULL;
    struct s3_session *session = NULL;
    auto_buf struct buf url = BUF_INIT(0);
    int64_t expires_ms = 0;
    int r = s3_presigner_new(&options, f.client, &f.call, &presigner, &f.err);
    assert_int_equal(r < 0, presigner == NULL);
    if (r == 0)
        r = s3_presigner_session(presigner, &f.call, &session, &f.err);
    if (r == 0)
        r = s3_presign_get(session, "k", "n", 60, &url, &expires_ms, &f.err);
    s3_session_unref(session);
    s3_presigner_free(presigner);
    return r;
}

static void every_allocation(void **state)
{
    (void)state;
    static const struct script_reply empty = {200, ID, NULL, 0};
    static const struct script_reply page = {200, ID, PAGE, 0};
    static const struct script_reply head = {200, ID MODIFIED, "body", 4};
    static const struct script_reply range = {206, ID "Content-Range: bytes 0-3/4\r\n", "body", 0};
    static const struct script_reply created = {
        200, ID,
        "<InitiateMultipartUploadResult><UploadId>2</UploadId></InitiateMultipartUploadResult>", 0};
    static const struct script_reply copied = {
        200, ID, "<CopyPartResult><ETag>c</ETag></CopyPartResult>", 0};
    static const struct script_reply completed = {
        200, ID, "<CompleteMultipartUploadResult><ETag>c</ETag></CompleteMultipartUploadResult>",
        0};
    static const struct script_reply uploads = {
        200, ID,
        "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>",
        0};
    static const struct script_reply session = {200, ID, SESSION, 0};
    static const struct script_reply web_session = {200, ID, WEB_SESSION, 0};
    static const struct script_reply keys = {
        200, NULL, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}", 0};
    static const struct {
        const char *name;
        const struct script_reply *reply;
        int (*run)(void);
    } runs[] = {
        {"settings", NULL, run_settings},
        {"provider", NULL, run_provider},
        {"role", &session, run_role},
        {"web identity", &web_session, run_web_identity},
        {"container", &keys, run_container},
        {"process", &keys, run_process},
        {"client", NULL, run_client},
        {"policy", NULL, run_policy},
        {"list", &page, run_list},
        {"head", &head, run_head},
        {"get", &empty, run_get},
        {"read", &range, run_read},
        {"put", &empty, run_put},
        {"create", &created, run_create},
        {"upload part", &empty, run_upload_part},
        {"copy part", &copied, run_copy_part},
        {"complete", &completed, run_complete},
        {"uploads", &uploads, run_uploads},
        {"presign", &session, run_presign},
    };
    char *directory = test_directory();
    config = test_file(directory, "config",
                       "[default]\nregion = r\nservices = s\n[services s]\ns3 =\n"
                       "  endpoint_url = http://e\n");
    credentials = test_file(directory, "credentials",
                            "[default]\naws_access_key_id = A\naws_secret_access_key = s\n"
                            "aws_session_token = t\n"
                            "[role]\nrole_arn = arn:aws:iam:::role/R\nsource_profile = default\n"
                            "external_id = xy\n[web]\nrole_arn = arn:aws:iam:::role/R\n"
                            "web_identity_token_file = /proc/sys/kernel/ostype\n"
                            "[process]\ncredential_process = printf '{\"Version\":1,"
                            "\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}'\n");
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        fail_each(runs[i].name, runs[i].reply, runs[i].run);
    free(config);
    free(credentials);
    test_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
