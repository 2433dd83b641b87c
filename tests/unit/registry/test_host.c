// Where a host's API is and whether it may be spoken to in plain, as far as that shows without
// asking anybody.
#include "../base/test.h"

#include "registry/host.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static struct registry_client *client;
static struct http_client *http;

static int set_up(void **state)
{
    (void)state;
    static const char *const plain[] = {"plain.example", "port.example:5000", "[fd00::1]:5000",
                                        NULL};
    const struct http_options http_options = {0};
    struct err err = {0};
    struct registry_options options = {.clock = clock_system(),
                                       .plain_hosts = plain,
                                       .docker_config = "/nonexistent",
                                       .environment = no_environment};
    assert_int_equal(http_client_new(&http_options, &http, &err), 0);
    options.http = http;
    assert_int_equal(registry_client_new(&options, &client, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    registry_client_free(client);
    registry_client_free(NULL);
    http_client_free(http);
    return 0;
}

static struct host *get(const char *name)
{
    struct host *host = NULL;
    struct err err = {0};
    if (registry_host_get(client, name, &host, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    return host;
}

static void where_the_api_is(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *url;
    } cases[] = {
        {"ghcr.io", "https://ghcr.io/v2/a"},
        {"docker.io", "https://registry-1.docker.io/v2/a"},
        {"index.docker.io", "https://registry-1.docker.io/v2/a"},
        {"registry-1.docker.io", "https://registry-1.docker.io/v2/a"},
        {"127.0.0.1:5000", "http://127.0.0.1:5000/v2/a"},
        {"127.1.2.3", "http://127.1.2.3/v2/a"},
        {"localhost", "http://localhost/v2/a"},
        {"localhost:5000", "http://localhost:5000/v2/a"},
        {"[::1]:5000", "http://[::1]:5000/v2/a"},
        {"localhost.example", "https://localhost.example/v2/a"},
        {"127.0.0.1.example", "https://127.0.0.1.example/v2/a"},
        {"10.0.0.1:5000", "https://10.0.0.1:5000/v2/a"},
        {"plain.example", "http://plain.example/v2/a"},
        {"plain.example:8080", "http://plain.example:8080/v2/a"},
        {"port.example:5000", "http://port.example:5000/v2/a"},
        {"port.example", "https://port.example/v2/a"},
        {"port.example:5001", "https://port.example:5001/v2/a"},
        {"[fd00::1]:5000", "http://[fd00::1]:5000/v2/a"},
        {"[fd00::2]:5000", "https://[fd00::2]:5000/v2/a"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct host *host = get(cases[i].name);
        auto_free char *url = registry_host_url(host, registry_host_speech(client, host), "a");
        assert_string_equal(url, cases[i].url);
        assert_ptr_equal(get(cases[i].name), host); // one for each name
    }
}

static void fail_with(struct host *host, int errnum, const char *text, bool is_tried_again,
                      enum host_speech then)
{
    struct err err = {0};
    err_set(&err, errnum, "%s", text);
    enum host_speech speech = registry_host_speech(client, host);
    assert_int_equal(registry_host_failed(client, host, speech, &err), is_tried_again);
    assert_int_equal(registry_host_speech(client, host), then);
}

static void how_a_host_is_found_out(void **state)
{
    (void)state;
    struct host *host = get("localhost:1");
    fail_with(host, EHOSTUNREACH, "refused", false, HOST_PERHAPS_PLAIN);
    fail_with(host, ETIMEDOUT, "stalled", false, HOST_PERHAPS_PLAIN);
    fail_with(host, EIO, "closed", true, HOST_PERHAPS_TLS);
    fail_with(host, EIO, "closed", true, HOST_PERHAPS_PLAIN);
    fail_with(host, EIO, "closed", true, HOST_PERHAPS_TLS);
    fail_with(host, ETIMEDOUT, "no connection", true, HOST_PERHAPS_PLAIN);
    fail_with(host, EIO, "closed", true, HOST_PERHAPS_TLS);
    fail_with(host, EPROTO, "handshake: wrong version number", true, HOST_SPEAKS_PLAIN);
    fail_with(host, EIO, "closed", false, HOST_SPEAKS_PLAIN);

    host = get("localhost:2");
    fail_with(host, EIO, "closed", true, HOST_PERHAPS_TLS);
    fail_with(host, EPROTO, "the certificate has expired", false, HOST_SPEAKS_TLS);

    host = get("localhost:3");
    registry_host_answered(client, host, HOST_PERHAPS_PLAIN);
    assert_int_equal(registry_host_speech(client, host), HOST_SPEAKS_PLAIN);
    registry_host_wants_tls(client, host);
    assert_int_equal(registry_host_speech(client, host), HOST_SPEAKS_TLS);

    // A host that may not be spoken to in plain never is.
    host = get("ghcr.io");
    fail_with(host, EIO, "closed", false, HOST_SPEAKS_TLS);
    fail_with(host, EPROTO, "handshake: wrong version number", false, HOST_SPEAKS_TLS);
}

static void what_a_host_asks_for(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum host_asks_for asks_for; // HOST_ASKS_UNKNOWN: nothing is learnt
        const char *scope;
    } cases[] = {
        {"Basic realm=\"x\"", HOST_ASKS_BASIC, NULL},
        {"Basic realm=\"x\", Bearer realm=\"https://a/t\",scope=\"s\"", HOST_ASKS_BEARER, "s"},
        {"Bearer realm=\"https://a/t\",scope=\"s\", Basic realm=\"x\"", HOST_ASKS_BEARER, "s"},
        {"Negotiate, Basic realm=\"x\"", HOST_ASKS_BASIC, NULL},
        {"Bearer error=\"invalid_token\"", HOST_ASKS_UNKNOWN, NULL},
        {"Negotiate", HOST_ASKS_UNKNOWN, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct challenges challenges;
        auto_free char *scope = NULL;
        struct host *host = get("ghcr.io");
        host->learnt.asks_for = HOST_ASKS_UNKNOWN;
        assert_int_equal(registry_challenges_parse(cases[i].header, &challenges), 0);
        assert_int_equal(registry_host_learn(client, host, &challenges, &scope),
                         cases[i].asks_for != HOST_ASKS_UNKNOWN);
        assert_int_equal(host->learnt.asks_for, cases[i].asks_for);
        assert_int_equal(scope == NULL, cases[i].scope == NULL);
        if (scope != NULL)
            assert_string_equal(scope, cases[i].scope);
        registry_challenges_done(&challenges);
    }
    struct host *host = get("quay.io");
    registry_host_is_open(client, host);
    assert_int_equal(host->learnt.asks_for, HOST_ASKS_NOTHING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_the_api_is),
        TEST(how_a_host_is_found_out),
        TEST(what_a_host_asks_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
