#include "fixture.h"

#include "../base/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_llong moved_ms;
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
const char *fixture_github_token;

static int64_t now_ms(const struct clock *clock)
{
    (void)clock;
    return clock_now_ms(clock_system()) + moved_ms;
}

static int64_t monotonic_ms(const struct clock *clock)
{
    (void)clock;
    return clock_monotonic_ms(clock_system()) + moved_ms;
}

static const struct clock moved_clock = {.now_ms = now_ms, .monotonic_ms = monotonic_ms};

void fixture_move_clock(int64_t ms)
{
    moved_ms += ms;
}

const char *fixture_environment(const char *name)
{
    return strcmp(name, "GITHUB_TOKEN") == 0 ? fixture_github_token : NULL;
}

static void on_retry(void *context, const struct err *cause, int64_t delay_ms)
{
    struct fixture *fixture = context;
    (void)delay_ms;
    pthread_mutex_lock(&told_lock);
    fixture->told++;
    snprintf(fixture->told_text, sizeof(fixture->told_text), "%s", cause->text);
    pthread_mutex_unlock(&told_lock);
}

void fixture_new_call(struct fixture *fixture)
{
    call_init(&fixture->call, &moved_clock);
    fixture->call.on_retry = on_retry;
    fixture->call.context = fixture;
}

void fixture_write_config(struct fixture *fixture, const char *config)
{
    FILE *file = fopen(fixture->config, "we");
    assert_non_null(file);
    fputs(config, file);
    fclose(file);
}

void fixture_start(struct fixture *fixture, const char *config)
{
    struct err err = {0};
    const struct http_options http = {.user_agent = "test", .stall_timeout_ms = 5000};
    strcpy(fixture->directory, "/tmp/registry.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->config, sizeof(fixture->config), "%s/config.json", fixture->directory);
    if (config != NULL)
        fixture_write_config(fixture, config);
    const struct registry_options options = {
        .clock = &moved_clock,
        .docker_config = fixture->config,
        .environment = fixture_environment,
        .allowed_hosts = fixture->allowed_hosts[0] == NULL ? NULL : fixture->allowed_hosts,
    };
    struct registry_options with_http = options;
    assert_int_equal(http_client_new(&http, &fixture->http, &err), 0);
    with_http.http = fixture->http;
    assert_int_equal(registry_client_new(&with_http, &fixture->client, &err), 0);
    fixture->told = 0;
    fixture_new_call(fixture);
}

void fixture_stop(struct fixture *fixture)
{
    registry_client_free(fixture->client);
    http_client_free(fixture->http);
    unlink(fixture->config);
    rmdir(fixture->directory);
    *fixture = (struct fixture){0};
}

struct registry_reference fixture_reference(const char *host, const char *path)
{
    struct registry_reference reference;
    struct err err = {0};
    char text[1024];
    snprintf(text, sizeof(text), "%s/%s", host, path);
    if (registry_reference_parse(text, &reference, &err) < 0)
        fail_msg("%s", err.text);
    return reference;
}
