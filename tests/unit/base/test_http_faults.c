// What http_perform says when the other side, or memory, fails it.
#include "test.h"

#include "base/http.h"
#include "base/scope.h"
#include "fault_memory.h"
#include "test_server.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// libcurl's lookups come here too: the program's own symbol goes before the C library's.
int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret_list)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node && strcmp(node, "nowhere.test") == 0)
        return EAI_NONAME;
    if (node && strcmp(node, "slow.test") == 0) {
        usleep(3000000);
        return EAI_AGAIN;
    }
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof(real));
    return real(node, service, hints, ret_list);
}

struct fixture {
    struct http_client *client;
    struct call call;
    struct err err;
    struct http_response response;
    int64_t took_ms;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct http_options options = {.stall_timeout_ms = 1000, .connect_timeout_ms = 700};
    assert_int_equal(http_client_new(&options, &f->client, &f->err), 0);
    call_init(&f->call, clock_system());
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    http_response_done(&f->response);
    http_client_free(f->client);
    free(f);
    return 0;
}

static int perform(struct fixture *f, const struct http_request *request)
{
    http_response_done(&f->response);
    memset(&f->err, 0, sizeof(f->err));
    int64_t before_ms = clock_monotonic_ms(clock_system());
    int r = http_perform(f->client, &f->call, request, &f->response, &f->err);
    f->took_ms = clock_monotonic_ms(clock_system()) - before_ms;
    if (r < 0)
        print_message("  (%s) %d ms\n", f->err.text, (int)f->took_ms);
    assert_int_equal(r, -f->err.errnum);
    assert_null(strchr(f->err.text, '?')); // no query, nothing unprintable
    assert_null(strstr(f->err.text, "sesame"));
    return r;
}

static int get(struct fixture *f, const struct test_server *server)
{
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/path?X-Amz-Signature=sesame",
             test_server_port(server));
    return perform(f, &(struct http_request){.method = "GET", .url = url});
}

static void expect_host(const struct fixture *f, const struct test_server *server)
{
    char host[64];
    snprintf(host, sizeof(host), "127.0.0.1:%d", test_server_port(server));
    assert_non_null(strstr(f->err.text, host));
}

// Says the text, then closes.
static void serve_and_close(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (test_read_request(connection, &request))
        test_send_text(connection, connection->context);
}

// Says the text, then nothing.
static void serve_and_stall(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (test_read_request(connection, &request))
        test_send_text(connection, connection->context);
    test_wait_for_close(connection);
}

// Says the text, waits until it has arrived, then resets.
static void serve_and_reset(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (test_read_request(connection, &request))
        test_send_text(connection, connection->context);
    usleep(100000);
    test_reset(connection);
}

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static struct test_server *start(void (*serve)(struct test_connection *), const char *text)
{
    return test_server_start(serve, (void *)text, NULL);
}

static void short_bodies(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *answer;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "5 of the announced 10 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "0 of the announced 10 bytes"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
         "before the answer was whole"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello",
         "before the answer was whole"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test_server *server = start(serve_and_close, cases[i].answer);
        assert_int_equal(get(f, server), -EIO);
        assert_true(f->err.is_retryable);
        assert_int_equal(f->err.http_status, 200);
        assert_int_equal(f->response.status, 200);
        assert_non_null(strstr(f->err.text, cases[i].says));
        expect_host(f, server);
        test_server_stop(server);
    }
}

static void no_answer_at_all(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(serve_and_close, "");
    assert_int_equal(get(f, server), -EIO);
    assert_true(f->err.is_retryable);
    assert_int_equal(f->err.http_status, 0);
    assert_int_equal(f->response.status, 0);
    assert_non_null(strstr(f->err.text, "without an answer"));
    expect_host(f, server);
    test_server_stop(server);
}

static void resets(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_reset, answers[i]);
        assert_int_equal(get(f, server), -EIO);
        assert_true(f->err.is_retryable);
        expect_host(f, server);
        test_server_stop(server);
    }
}

static void headers_cut_off(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nX-A: 1\r\n", "HTTP/1.1 200 OK\r\nX-",
                                          "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 2"};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_close, answers[i]);
        assert_int_equal(get(f, server), -EIO);
        assert_int_equal(f->response.status, 0);
        assert_true(f->err.is_retryable);
        test_server_stop(server);
    }
}

static void no_http(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nnothing that is HTTP",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_close, answers[i]);
        int r = get(f, server);
        if (r != -EIO && r != -EFBIG)
            fail_msg("%s: %d, status %d", answers[i], r, f->response.status);
        expect_host(f, server);
        test_server_stop(server);
    }
}

// No telling what the server means, whatever libcurl makes of it.
static void unusable_lengths(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_close, answers[i]);
        if (get(f, server) == 0)
            assert_int_equal(f->response.content_length, -1);
        test_server_stop(server);
    }
}

static void stalls(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nX-A: 1\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_stall, answers[i]);
        assert_int_equal(get(f, server), -ETIMEDOUT);
        assert_true(f->err.is_retryable);
        assert_in_range(f->took_ms, 900, 8000);
        assert_non_null(strstr(f->err.text, "stalled"));
        assert_non_null(strstr(f->err.text, "1 s"));
        expect_host(f, server);
        test_server_stop(server);
    }
}

static void an_exchange_as_a_whole_may_have_a_limit(void **state)
{
    struct fixture *f = *state;
    struct http_client *usual = f->client;
    struct http_options options = {.total_timeout_ms = 300};
    assert_int_equal(http_client_new(&options, &f->client, &f->err), 0);
    struct test_server *server = start(serve_and_stall, "");
    assert_int_equal(get(f, server), -ETIMEDOUT);
    assert_non_null(strstr(f->err.text, "does not answer within 1 s"));
    test_server_stop(server);
    http_client_free(f->client);
    f->client = usual;
}

// Longer than any request waits that is not slow.
static void serve_late(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (!test_read_request(connection, &request))
        return;
    usleep(9000000);
    test_send_text(connection, connection->context);
}

static void slow_requests_are_waited_for(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(serve_late, ok);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    struct http_request request = {.method = "GET", .url = url, .is_slow = true};
    assert_int_equal(perform(f, &request), 0);
    test_server_stop(server);
}

static void serve_nothing(struct test_connection *connection)
{
    while (!atomic_load((atomic_bool *)connection->context))
        usleep(10000);
}

// The server takes no more bytes: the upload stands still.
static void uploads_stall(void **state)
{
    struct fixture *f = *state;
    atomic_bool is_over = false;
    struct test_server *server = test_server_start(serve_nothing, &is_over, NULL);
    enum { BIG = 32 * 1024 * 1024 };
    auto_free char *big = calloc(1, BIG);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    const struct http_piece piece = {big, BIG};
    struct http_request request = {.method = "PUT", .url = url, .body = &piece, .body_count = 1};
    assert_int_equal(perform(f, &request), -ETIMEDOUT);
    assert_true(f->err.is_retryable);
    assert_in_range(f->took_ms, 900, 12000);
    atomic_store(&is_over, true);
    test_server_stop(server);
}

// A sink that takes its time is no stall of the server's.
static int take_slowly(void *context, const void *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    if ((*(int *)context)++ == 0)
        usleep(3000000);
    return 0;
}

static bool wants(void *context, const struct http_response *response)
{
    (void)context;
    return response->status == 200;
}

static void serve_large(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    static char body[4 * 1024 * 1024];
    while (test_read_request(connection, &request)) {
        test_send_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
        test_send(connection, body, sizeof(body));
    }
}

static void slow_sinks_do_not_stall(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_large, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    int chunks = 0;
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .wants_bytes = wants,
                                   .on_bytes = take_slowly,
                                   .context = &chunks};
    assert_int_equal(perform(f, &request), 0);
    assert_in_range(f->took_ms, 3000, 20000);
    test_server_stop(server);
}

static void serve_large_headers(struct test_connection *connection)
{
    const int *line_size = connection->context;
    auto_buf struct buf request = {0};
    if (!test_read_request(connection, &request))
        return;
    test_send_text(connection, "HTTP/1.1 200 OK\r\n");
    static const char letters[1024] = {[0 ... 1023] = 'x'};
    for (int sent = 0; sent < 1024 * 1024; sent += *line_size) {
        test_send_text(connection, "X: ");
        for (int i = 0; i < *line_size; i += 1024)
            test_send(connection, letters, sizeof(letters));
        test_send_text(connection, "\r\n");
    }
    test_send_text(connection, "Content-Length: 0\r\n\r\n");
}

static void headers_are_limited(void **state)
{
    struct fixture *f = *state;
    static int line_sizes[] = {1024, 50 * 1024, 90 * 1024, 200 * 1024, 1024 * 1024};
    for (size_t i = 0; i < ARRAY_SIZE(line_sizes); i++) {
        struct test_server *server = test_server_start(serve_large_headers, &line_sizes[i], NULL);
        assert_int_equal(get(f, server), -EFBIG);
        assert_true(f->err.is_retryable);
        assert_non_null(strstr(f->err.text, "headers"));
        expect_host(f, server);
        test_server_stop(server);
    }
}

static void serve_endless_interim(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    if (!test_read_request(connection, &request))
        return;
    for (int i = 0; i < 100000; i++)
        test_send_text(connection, "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n");
}

static void interim_answers_are_limited(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_endless_interim, NULL, NULL);
    assert_int_equal(get(f, server), -EFBIG);
    test_server_stop(server);
}

static void refused(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(serve_and_close, "");
    int port = test_server_port(server);
    test_server_stop(server);
    char url[64];
    char says[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/x?sesame", port);
    snprintf(says, sizeof(says),
             "127.0.0.1:%d refused the connection: check its name and port, and whether it runs",
             port);
    assert_int_equal(perform(f, &(struct http_request){.method = "GET", .url = url}),
                     -EHOSTUNREACH);
    assert_true(f->err.is_retryable);
    assert_string_equal(f->err.text, says);
}

// What a request through this proxy says.
static int perform_through(struct fixture *f, const char *proxy, const char *url)
{
    setenv("http_proxy", proxy, 1);  // NOLINT(concurrency-mt-unsafe): no other thread reads it
    setenv("https_proxy", proxy, 1); // NOLINT(concurrency-mt-unsafe)
    int r = perform(f, &(struct http_request){.method = "GET", .url = url});
    unsetenv("http_proxy");  // NOLINT(concurrency-mt-unsafe)
    unsetenv("https_proxy"); // NOLINT(concurrency-mt-unsafe)
    return r;
}

static void a_proxy_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    static const char *const urls[] = {"http://registry.test/", "https://registry.test/"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        assert_int_equal(perform_through(f, "http://user:sesame@127.0.0.1:1", urls[i]),
                         -EHOSTUNREACH);
        assert_true(f->err.is_retryable);
        assert_non_null(strstr(f->err.text, "the proxy 127.0.0.1:1 on the way to registry.test:"));
        assert_non_null(strstr(f->err.text, "NO_PROXY"));
    }
    assert_int_equal(perform_through(f, "http://user:sesame@nowhere.test:1", urls[1]),
                     -EHOSTUNREACH);
    assert_non_null(strstr(f->err.text, "cannot be found by its name"));
    assert_int_equal(perform_through(f, "gopher://user:sesame@127.0.0.1:1", urls[1]), -EINVAL);
    assert_false(f->err.is_retryable);
}

static void a_proxy_that_refuses(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *answer;
        bool is_retryable;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
         false, "it wants a name and password"},
        {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, "have to allow this host"},
        {"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", true, "(it answers 502)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test_server *server = start(serve_and_close, cases[i].answer);
        char proxy[64];
        snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", test_server_port(server));
        assert_int_equal(perform_through(f, proxy, "https://registry.test/"), -EHOSTUNREACH);
        assert_int_equal(f->err.is_retryable, cases[i].is_retryable);
        assert_non_null(strstr(f->err.text, "does not open the way to registry.test:443"));
        assert_non_null(strstr(f->err.text, cases[i].says));
        test_server_stop(server);
    }
}

// A server of plain HTTP, to which a TLS greeting is a line that never ends.
static void refuse_at_once(struct test_connection *connection)
{
    test_send_text(connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
    test_wait_for_close(connection);
}

static void https_where_http_is_spoken(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(refuse_at_once, NULL);
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", test_server_port(server));
    assert_int_equal(perform(f, &(struct http_request){.method = "GET", .url = url}), -EPROTO);
    assert_false(f->err.is_retryable);
    assert_non_null(strstr(f->err.text, "does not speak TLS"));
    test_server_stop(server);
}

static void unknown_name(void **state)
{
    struct fixture *f = *state;
    struct http_request request = {.method = "GET", .url = "https://nowhere.test/x?sesame"};
    assert_int_equal(perform(f, &request), -EHOSTUNREACH);
    assert_true(f->err.is_retryable);
    assert_non_null(strstr(f->err.text, "nowhere.test:443"));
    assert_non_null(strstr(f->err.text, "name"));
}

static void connecting_is_limited(void **state)
{
    struct fixture *f = *state;
    struct http_request request = {.method = "GET", .url = "http://slow.test/"};
    assert_int_equal(perform(f, &request), -ETIMEDOUT);
    assert_true(f->err.is_retryable);
    assert_in_range(f->took_ms, 600, 2900); // the lookup itself takes longer
    assert_non_null(strstr(f->err.text, "no connection to slow.test:80 within 1 s"));
}

static void *cancel_soon(void *context)
{
    usleep(300000);
    call_cancel(context);
    return NULL;
}

static void expect_cancelled(struct fixture *f, const char *url)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &f->call), 0);
    struct http_request request = {.method = "GET", .url = url, .is_slow = true};
    assert_int_equal(perform(f, &request), -EINTR);
    pthread_join(thread, NULL);
    assert_false(f->err.is_retryable);
    assert_in_range(f->took_ms, 200, 2900);
    call_init(&f->call, clock_system());
}

static void cancelled_from_another_thread(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct test_server *server = start(serve_and_stall, answers[i]);
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
        expect_cancelled(f, url);
        test_server_stop(server);
    }
}

static void cancelled_during_the_lookup(void **state)
{
    struct fixture *f = *state;
    struct http_client *client = f->client;
    struct http_options options = {0};
    assert_int_equal(http_client_new(&options, &f->client, &f->err), 0);
    expect_cancelled(f, "http://slow.test/");
    http_client_free(f->client);
    f->client = client;
    usleep(4000000); // the lookup that was left behind ends, and frees what it holds
}

static void cancelled_before(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(serve_and_close, "");
    call_cancel(&f->call);
    assert_int_equal(get(f, server), -EINTR);
    assert_int_equal(test_server_connections(server), 0);
    test_server_stop(server);
}

// The first connection answers once; the second request on it is met by a reset after some of
// its bytes were taken. The first whole request after that is kept; a connection on which libcurl
// began again before it was stopped brings none.
static void serve_then_die(struct test_connection *connection)
{
    struct buf *request = connection->context;
    if (connection->number == 1) {
        auto_buf struct buf first = {0};
        assert_true(test_read_request(connection, &first));
        test_send_text(connection, ok);
        char bytes[1000];
        (void)!recv(connection->fd, bytes, sizeof(bytes), MSG_WAITALL);
        test_reset(connection);
        return;
    }
    auto_buf struct buf whole = {0};
    if (!test_read_request(connection, &whole))
        return;
    *request = whole;
    whole = (struct buf){0};
    test_send_text(connection, ok);
}

static void dead_connection_is_told_and_replaced(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf received = {0};
    struct test_server *server = test_server_start(serve_then_die, &received, NULL);
    assert_int_equal(get(f, server), 0);

    enum { SIZE = 1024 * 1024 };
    auto_free char *body = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 13 + i / 1000);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    const struct http_piece pieces[] = {{body, 1000}, {body + 1000, SIZE - 1000}};
    struct http_request request = {
        .method = "PUT", .url = url, .body = pieces, .body_count = 2, .is_slow = true};
    // libcurl would begin again by itself; who asked has to know that the first one may have
    // taken effect.
    assert_int_equal(perform(f, &request), -EIO);
    assert_true(f->err.is_retryable);
    http_response_done(&f->response);
    assert_int_equal(perform(f, &request), 0);
    assert_string_equal(buf_text(&f->response.body), "ok");
    assert_in_range(test_server_connections(server), 2, 3);
    test_server_stop(server);
    const char *sent = strstr(buf_text(&received), "\r\n\r\n") + 4;
    assert_int_equal(received.size - (size_t)(sent - received.bytes), SIZE);
    assert_memory_equal(sent, body, SIZE);
}

// Closed while idle, without a word: the next request goes out on a new connection.
static void idle_connection_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start(serve_and_close, ok);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(get(f, server), 0);
        assert_int_equal(test_server_connections(server), i);
        usleep(50000);
    }
    test_server_stop(server);
}

static void serve_early_refusal(struct test_connection *connection)
{
    char bytes[100];
    (void)!recv(connection->fd, bytes, sizeof(bytes), 0);
    test_send_text(connection, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    test_wait_for_close(connection);
}

// A store that refuses does not wait for the body.
static void early_refusal_is_heard(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_early_refusal, NULL, NULL);
    enum { BIG = 8 * 1024 * 1024 };
    auto_free char *big = calloc(1, BIG);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    const struct http_piece piece = {big, BIG};
    struct http_request request = {.method = "PUT", .url = url, .body = &piece, .body_count = 1};
    assert_int_equal(perform(f, &request), 0);
    assert_int_equal(f->response.status, 403);
    assert_string_equal(buf_text(&f->response.body), "no");
    test_server_stop(server);
}

static void serve_ok(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request))
        test_send_text(connection, "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok");
}

static int exchange_once(const char *url, struct err *err)
{
    struct http_client *client = NULL;
    struct http_options options = {.user_agent = "x", .ca_bundle = "/dev/null"};
    int r = http_client_new(&options, &client, err);
    if (r < 0)
        return r;
    struct call call;
    call_init(&call, clock_system());
    const struct http_header headers[] = {{"X-B", "1"}};
    auto_secret struct secret *authorization = secret_from_text("hush");
    const struct http_piece piece = {"body", 4};
    struct http_request request = {.method = "PUT",
                                   .url = url,
                                   .headers = headers,
                                   .header_count = 1,
                                   .authorization = authorization,
                                   .body = &piece,
                                   .body_count = 1};
    auto_http_response struct http_response response = {0};
    r = http_perform(client, &call, &request, &response, err);
    if (r == 0) {
        assert_int_equal(response.status, 200);
        assert_string_equal(http_response_header(&response, "x-a"), "1");
        assert_string_equal(buf_text(&response.body), "ok");
    }
    http_client_free(client);
    return r;
}

// Every allocation of ours and of libcurl's fails once: an error, never a wrong answer.
static void out_of_memory(void **state)
{
    (void)state;
    struct test_server *server = test_server_start(serve_ok, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    int failures = 0;
    for (int nth = 1;; nth++) {
        struct err err = {0};
        memory_fail_at(nth);
        int r = exchange_once(url, &err);
        bool has_failed = memory_has_failed();
        memory_fail_at(0);
        if (r < 0) {
            failures++;
            assert_true(has_failed);
            assert_int_equal(r, -err.errnum);
        }
        if (!has_failed)
            break;
        assert_in_range(nth, 1, 10000);
    }
    print_message("  (%d failures)\n", failures);
    assert_true(failures > 20);
    test_server_stop(server);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    alarm(170); // a test that hangs has failed
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, calloc);
    const struct CMUnitTest tests[] = {
        TEST(short_bodies),
        TEST(no_answer_at_all),
        TEST(resets),
        TEST(headers_cut_off),
        TEST(no_http),
        TEST(unusable_lengths),
        TEST(stalls),
        TEST(an_exchange_as_a_whole_may_have_a_limit),
        TEST(slow_requests_are_waited_for),
        TEST(uploads_stall),
        TEST(slow_sinks_do_not_stall),
        TEST(headers_are_limited),
        TEST(interim_answers_are_limited),
        TEST(refused),
        TEST(a_proxy_that_is_not_there),
        TEST(a_proxy_that_refuses),
        TEST(https_where_http_is_spoken),
        TEST(unknown_name),
        TEST(connecting_is_limited),
        TEST(cancelled_from_another_thread),
        TEST(cancelled_during_the_lookup),
        TEST(cancelled_before),
        TEST(dead_connection_is_told_and_replaced),
        TEST(idle_connection_is_replaced),
        TEST(early_refusal_is_heard),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("base/http_faults", tests, NULL, NULL);
}
