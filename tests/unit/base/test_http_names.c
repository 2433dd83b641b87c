// Where a name leads is looked at when it is connected to: a name server may be hostile.
#include "test.h"

#include "base/http.h"
#include "base/scope.h"
#include "test_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The name server of these tests: answers this address, whoever is asked for.
static const char *name_leads_to;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    (void)name;
    (void)hints;
    struct {
        struct addrinfo info;
        struct sockaddr_in6 address;
    } *found = calloc(1, sizeof(*found));
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)(void *)&found->address;
    struct sockaddr_in6 *ipv6 = &found->address;
    bool is_ipv4 = inet_pton(AF_INET, name_leads_to, &ipv4->sin_addr) == 1;
    if (!is_ipv4)
        assert_int_equal(inet_pton(AF_INET6, name_leads_to, &ipv6->sin6_addr), 1);
    ipv4->sin_port = htons((uint16_t)strtol(service ? service : "0", NULL, 10)); // of IPv6 as well
    found->address.sin6_family = is_ipv4 ? AF_INET : AF_INET6;
    found->info = (struct addrinfo){
        .ai_family = found->address.sin6_family,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
        .ai_addrlen = is_ipv4 ? sizeof(*ipv4) : sizeof(*ipv6),
        .ai_addr = (struct sockaddr *)&found->address,
    };
    *ret_list = &found->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void serve_nothing(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request))
        test_send_text(connection, "HTTP/1.1 204 No Content\r\n\r\n");
}

static int get(const char *url, bool avoids_link_local, struct err *err)
{
    struct http_client *client = NULL;
    struct http_options options = {.connect_timeout_ms = 2000};
    assert_int_equal(http_client_new(&options, &client, err), 0);
    struct call call;
    call_init(&call, clock_system());
    struct http_request request = {
        .method = "GET", .url = url, .avoids_link_local = avoids_link_local};
    auto_http_response struct http_response response = {0};
    int r = http_perform(client, &call, &request, &response, err);
    http_client_free(client);
    return r;
}

static void names_that_lead_to_metadata(void **state)
{
    (void)state;
    static const char *const addresses[] = {"169.254.169.254", "169.254.170.2",
                                            "fe80::1",         "::ffff:169.254.169.254",
                                            "fd00:ec2::254",   "64:ff9b::a9fe:a9fe"};
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        name_leads_to = addresses[i];
        struct err err = {0};
        assert_int_equal(get("http://registry.example/", true, &err), -EACCES);
        assert_non_null(strstr(err.text, "link-local"));
        assert_false(err.is_retryable);
    }
    struct test_server *server = test_server_start(serve_nothing, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://registry.example:%d/", test_server_port(server));
    name_leads_to = "127.0.0.1";
    struct err err = {0};
    assert_int_equal(get(url, true, &err), 0);
    // An S3 endpoint, say, that its operator has put there.
    name_leads_to = "::ffff:127.0.0.1";
    assert_int_equal(get(url, false, &err), 0);
    test_server_stop(server);
}

int main(void)
{
    alarm(120); // a test that hangs has failed
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_lead_to_metadata),
    };
    return cmocka_run_group_tests_name("base/http_names", tests, NULL, NULL);
}
