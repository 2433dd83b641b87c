#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t now_ms(const struct clock *clock)
{
    const struct test_clock *test = (const struct test_clock *)clock;
    return test->machine_ms + test->offset_ms;
}

static int64_t monotonic_ms(const struct clock *clock)
{
    return ((const struct test_clock *)clock)->monotonic_ms;
}

static void correct(const struct clock *clock, int64_t offset_ms)
{
    ((struct test_clock *)clock)->offset_ms = offset_ms;
}

void test_clock_init(struct test_clock *clock, int64_t machine_ms)
{
    *clock = (struct test_clock){
        .clock = {now_ms, monotonic_ms, correct},
        .machine_ms = machine_ms,
    };
}

static const char *get(void *context, const char *name)
{
    for (const struct test_variable *at = context; at->name; at++)
        if (strcmp(at->name, name) == 0)
            return at->value;
    return NULL;
}

struct s3_environment test_environment(const struct test_variable *variables)
{
    return (struct s3_environment){get, (void *)variables, NULL};
}

char *test_directory(void)
{
    char *directory = strdup("/tmp/prereleasefs-s3-XXXXXX");
    assert_non_null(mkdtemp(directory));
    return directory;
}

char *test_file(const char *directory, const char *name, const char *text)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

void test_directory_remove(char *directory)
{
    char *command = NULL;
    assert_true(asprintf(&command, "rm -rf '%s'", directory) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(directory);
}

void fixture_start_with(struct fixture *fixture, const struct script_reply *replies, size_t count,
                        const struct test_variable *variables)
{
    memset(fixture, 0, sizeof(*fixture));
    test_clock_init(&fixture->clock, TEST_NOW_MS);
    call_init(&fixture->call, &fixture->clock.clock);
    fixture->script = script_start(replies, count);
    struct http_options http = {.user_agent = "test/1"};
    assert_int_equal(http_client_new(&http, &fixture->http, &fixture->err), 0);
    struct s3_environment environment = test_environment(variables);
    struct s3_provider_options provider = {
        .environment = &environment,
        .clock = &fixture->clock.clock,
        .http = fixture->http,
    };
    assert_int_equal(s3_provider_new(&provider, &fixture->call, &fixture->provider, &fixture->err),
                     0);
    struct s3_options options = {
        .bucket = "bkt",
        .region = "us-east-1",
        .endpoint = script_endpoint(fixture->script),
        .provider = fixture->provider,
        .http = fixture->http,
        .clock = &fixture->clock.clock,
    };
    assert_int_equal(s3_client_new(&options, &fixture->client, &fixture->err), 0);
}

void fixture_start(struct fixture *fixture, const struct script_reply *replies, size_t count)
{
    static const struct test_variable variables[] = {
        {"AWS_ACCESS_KEY_ID", "AKIDTEST"},
        {"AWS_SECRET_ACCESS_KEY", "secret-of-the-test"},
        {NULL, NULL},
    };
    fixture_start_with(fixture, replies, count, variables);
}

void fixture_stop(struct fixture *fixture)
{
    s3_client_free(fixture->client);
    s3_provider_free(fixture->provider);
    http_client_free(fixture->http);
    script_stop(fixture->script);
}
