// What http_perform does when all goes well: bytes in both directions, connections kept.
#include "test.h"

#include "base/http.h"
#include "base/http_pool.h"
#include "base/scope.h"
#include "test_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct http_client *client;
    struct call call;
    struct err err;
    struct http_response response;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct http_options options = {.user_agent = "prereleasefs/test", .stall_timeout_ms = 10000};
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

// Performs into f->response; the former one is released.
static int perform(struct fixture *f, const struct http_request *request)
{
    http_response_done(&f->response);
    memset(&f->err, 0, sizeof(f->err));
    int r = http_perform(f->client, &f->call, request, &f->response, &f->err);
    if (r < 0)
        print_message("  (%s)\n", f->err.text);
    return r;
}

static int get(struct fixture *f, const struct test_server *server, const char *path)
{
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", test_server_port(server), path);
    return perform(f, &(struct http_request){.method = "GET", .url = url});
}

// Answers every request of a connection with the text that is the context.
static void serve_text(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request))
        test_send_text(connection, connection->context);
}

static struct test_server *start_answering(const char *answer)
{
    return test_server_start(serve_text, (void *)answer, NULL);
}

// Answers with the request itself.
static void serve_echo(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    while (test_read_request(connection, &request)) {
        char head[100];
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                 request.size);
        test_send_text(connection, head);
        test_send(connection, request.bytes, request.size);
    }
}

static const char *header(const struct fixture *f, const char *name)
{
    return http_response_header(&f->response, name);
}

static void answer_is_taken_apart(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 404 Not Found\r\n"
                                                 "ETag:  \"abc\" \t\r\n"
                                                 "X-Two: first\r\n"
                                                 "x-two: second\r\n"
                                                 "X-Empty:\r\n"
                                                 "X-Colons: a:b: c\r\n"
                                                 "Content-Length: 5\r\n"
                                                 "\r\nhello");
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(f->response.status, 404);
    assert_int_equal(f->response.content_length, 5);
    assert_string_equal(buf_text(&f->response.body), "hello");
    assert_string_equal(header(f, "etag"), "\"abc\"");
    assert_string_equal(header(f, "ETAG"), "\"abc\"");
    assert_string_equal(header(f, "X-Two"), "first");
    assert_string_equal(header(f, "x-empty"), "");
    assert_string_equal(header(f, "x-colons"), "a:b: c");
    assert_null(header(f, "x-absent"));
    assert_null(header(f, "first"));
    static const char expected[] = "etag\0\"abc\"\0x-two\0first\0x-two\0second\0x-empty\0\0"
                                   "x-colons\0a:b: c\0content-length\0005\0";
    assert_int_equal(f->response.headers_size, sizeof(expected) - 1);
    assert_memory_equal(f->response.headers, expected, sizeof(expected));
    test_server_stop(server);
}

static void request_goes_out_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    assert_int_equal(get(f, server, "/a/../b/./c//d%2f%2Fe:f?x=%7E+y&z=../"), 0);
    char expected[400];
    snprintf(expected, sizeof(expected),
             "GET /a/../b/./c//d%%2f%%2Fe:f?x=%%7E+y&z=../ HTTP/1.1\r\n"
             "Host: 127.0.0.1:%d\r\n"
             "User-Agent: prereleasefs/test\r\n"
             "Accept: */*\r\n\r\n",
             test_server_port(server));
    assert_string_equal(buf_text(&f->response.body), expected);
    test_server_stop(server);
}

static void headers_and_secrets_are_sent(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    auto_secret struct secret *authorization = secret_from_text("Bearer hush");
    const struct http_header headers[] = {
        {"Accept", "text/plain"}, {"X-Empty", ""}, {"X-Blank", "  "}, {"X-Utf8", "\xC3\xBC"}};
    const struct http_header secret_headers[] = {{"x-amz-security-token", "hush hush"}};
    struct http_request request = {.method = "DELETE",
                                   .url = url,
                                   .headers = headers,
                                   .header_count = ARRAY_SIZE(headers),
                                   .authorization = authorization,
                                   .secret_headers = secret_headers,
                                   .secret_header_count = 1};
    assert_int_equal(perform(f, &request), 0);
    const char *text = buf_text(&f->response.body);
    assert_ptr_equal(strstr(text, "DELETE / HTTP/1.1\r\n"), text);
    assert_non_null(strstr(text, "\r\nAccept: text/plain\r\n"));
    assert_null(strstr(text, "*/*"));
    assert_non_null(strstr(text, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(text, "\r\nX-Blank:\r\n"));
    assert_non_null(strstr(text, "\r\nX-Utf8: \xC3\xBC\r\n"));
    assert_non_null(strstr(text, "\r\nAuthorization: Bearer hush\r\n"));
    assert_non_null(strstr(text, "\r\nx-amz-security-token: hush hush\r\n"));

    // Nothing of it stays with the handle.
    assert_int_equal(get(f, server, "/"), 0);
    assert_null(strstr(buf_text(&f->response.body), "hush"));
    assert_int_equal(test_server_connections(server), 1);
    test_server_stop(server);
}

// Again and again: a handle that found no name must not spoil the next try.
static void an_unknown_name_is_one_each_time(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        struct http_request request = {.method = "GET", .url = "http://nosuchhost.invalid/"};
        assert_int_equal(perform(f, &request), -EHOSTUNREACH);
        assert_non_null(strstr(f->err.text, "nosuchhost.invalid"));
        http_response_done(&f->response);
    }
}

// What could smuggle a header or a request in is refused before anything is sent.
static void unsendable_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    static const struct http_header bad[] = {
        {"X", "sesame\r\nY: z"}, {"X", "sesame\n"},     {"X", "sesame\r"}, {"X", "sesame\x01"},
        {"X", "\x7f"},           {"", "sesame"},        {"X Y", "sesame"}, {"X:", "sesame"},
        {"X\r\nY", "sesame"},    {"\xC3\xBC", "sesame"}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct http_request request = {
            .method = "GET", .url = url, .secret_headers = &bad[i], .secret_header_count = 1};
        assert_int_equal(perform(f, &request), -EINVAL);
        assert_null(strstr(f->err.text, "sesame"));
        assert_false(f->err.is_retryable);
    }
    auto_secret struct secret *authorization = secret_from_text("sesame\r\nX: y");
    struct http_request request = {.method = "GET", .url = url, .authorization = authorization};
    assert_int_equal(perform(f, &request), -EINVAL);
    assert_null(strstr(f->err.text, "sesame"));
    static const char *const methods[] = {"", "G T", "GET\r\nX: y", "GET / HTTP/1.1\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        assert_int_equal(perform(f, &(struct http_request){.method = methods[i], .url = url}),
                         -EINVAL);
    static const char *const urls[] = {"", "ftp://127.0.0.1/", "file:///etc/passwd",
                                       "http://u:sesame@127.0.0.1/", "http://127.0.0.1/ x"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        assert_int_equal(perform(f, &(struct http_request){.method = "GET", .url = urls[i]}),
                         -EINVAL);
        assert_null(strstr(f->err.text, "sesame"));
    }
    assert_int_equal(test_server_connections(server), 0);
    test_server_stop(server);
}

static void body_of_pieces(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/up", test_server_port(server));
    enum { BIG = 3 * 1024 * 1024 + 7 };
    auto_free char *big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)(i * 7 + i / 4096);
    const struct http_piece pieces[] = {{"head", 4}, {NULL, 0}, {big, BIG}, {"", 0}, {"tail", 4}};
    struct http_request request = {.method = "PUT",
                                   .url = url,
                                   .body = pieces,
                                   .body_count = ARRAY_SIZE(pieces),
                                   .has_body = true};
    assert_int_equal(perform(f, &request), 0);
    const char *text = buf_text(&f->response.body);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    assert_ptr_equal(strstr(text, "PUT /up HTTP/1.1\r\n"), text);
    char expected[64];
    snprintf(expected, sizeof(expected), "\r\nContent-Length: %d\r\n", BIG + 8);
    assert_non_null(strstr(text, expected));
    assert_null(strcasestr(text, "\r\nExpect:"));
    assert_null(strcasestr(text, "\r\nTransfer-Encoding:"));
    assert_int_equal(f->response.body.size - (size_t)(body - text), BIG + 8);
    assert_memory_equal(body, "head", 4);
    assert_memory_equal(body + 4, big, BIG);
    assert_memory_equal(body + 4 + BIG, "tail", 4);
    test_server_stop(server);
}

static void empty_body(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    static const char *const methods[] = {"PUT", "POST"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        struct http_request request = {.method = methods[i], .url = url, .has_body = true};
        assert_int_equal(perform(f, &request), 0);
        const char *text = buf_text(&f->response.body);
        assert_ptr_equal(strstr(text, methods[i]), text);
        assert_non_null(strstr(text, "\r\nContent-Length: 0\r\n"));
        request.has_body = false;
        assert_int_equal(perform(f, &request), 0);
        text = buf_text(&f->response.body);
        assert_ptr_equal(strstr(text, methods[i]), text);
        assert_null(strstr(text, "\r\nContent-Length:"));
    }
    assert_int_equal(test_server_connections(server), 1);
    test_server_stop(server);
}

static void answers_without_a_body(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method;
        const char *answer;
        int status;
        int64_t content_length;
    } cases[] = {
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200, 1000},
        {"HEAD", "HTTP/1.1 404 x\r\n\r\n", 404, -1},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, -1},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", 304, 1000},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0},
        {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test_server *server = start_answering(cases[i].answer);
        char url[64];
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
        for (int n = 0; n < 2; n++) {
            struct http_request request = {.method = cases[i].method, .url = url};
            assert_int_equal(perform(f, &request), 0);
            assert_int_equal(f->response.status, cases[i].status);
            assert_int_equal(f->response.content_length, cases[i].content_length);
            assert_int_equal(f->response.body.size, 0);
        }
        assert_int_equal(test_server_connections(server), 1);
        test_server_stop(server);
    }
}

static void interim_answers_are_dropped(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n"
                                                 "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                                                 "HTTP/1.1 201 Created\r\nX-B: 2\r\n"
                                                 "Content-Length: 2\r\n\r\nok");
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(f->response.status, 201);
    assert_null(header(f, "x-a"));
    assert_null(header(f, "link"));
    assert_string_equal(header(f, "x-b"), "2");
    assert_string_equal(buf_text(&f->response.body), "ok");
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(test_server_connections(server), 1);
    test_server_stop(server);
}

static void odd_headers(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 200 OK\r\n"
                                                 "X-Folded: one\r\n"
                                                 "\t two: 2 \r\n"
                                                 "  three\r\n"
                                                 "X-After: yes\r\n"
                                                 "Content-Length: 0\r\n\r\n");
    assert_int_equal(get(f, server, "/"), 0);
    assert_string_equal(header(f, "x-folded"), "one two: 2 three");
    assert_string_equal(header(f, "x-after"), "yes");
    assert_null(header(f, " two"));
    test_server_stop(server);
}

static void chunked_with_trailers(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 200 OK\r\n"
                                                 "Transfer-Encoding: chunked\r\n\r\n"
                                                 "5\r\nhello\r\n1\r\n!\r\n0\r\n"
                                                 "X-Trailer: 1\r\n"
                                                 "HTTP/1.1 500 forged: 1\r\n\r\n");
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(f->response.status, 200);
    assert_int_equal(f->response.content_length, -1);
    assert_string_equal(buf_text(&f->response.body), "hello!");
    assert_null(header(f, "x-trailer"));
    test_server_stop(server);
}

static void redirects_are_not_followed(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 307 Temporary Redirect\r\n"
                                                 "Location: http://127.0.0.1:1/\r\n"
                                                 "Set-Cookie: a=b\r\n"
                                                 "Content-Encoding: gzip\r\n"
                                                 "Content-Length: 3\r\n\r\nabc");
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(f->response.status, 307);
    assert_string_equal(header(f, "location"), "http://127.0.0.1:1/");
    assert_string_equal(buf_text(&f->response.body), "abc"); // as it came, not decoded
    test_server_stop(server);
}

static void no_cookies(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = start_answering("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n"
                                                 "Content-Length: 0\r\n\r\n");
    struct test_server *echo = test_server_start(serve_echo, NULL, NULL);
    assert_int_equal(get(f, server, "/"), 0);
    assert_int_equal(get(f, echo, "/"), 0);
    assert_null(strcasestr(buf_text(&f->response.body), "cookie"));
    test_server_stop(server);
    test_server_stop(echo);
}

struct sink {
    bool is_wanted;
    int asked;
    int status_when_asked;
    size_t taken;
    size_t stop_after; // bytes; then `stop_with` is answered
    int stop_with;
};

static bool sink_wants(void *context, const struct http_response *response)
{
    struct sink *sink = context;
    sink->asked++;
    sink->status_when_asked = response->status;
    assert_int_equal(response->content_length, 100000);
    assert_string_equal(http_response_header(response, "x-a"), "1");
    return sink->is_wanted;
}

static int sink_take(void *context, const void *bytes, size_t size)
{
    struct sink *sink = context;
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const char *)bytes)[i], 'x');
    sink->taken += size;
    return sink->stop_with != 0 && sink->taken >= sink->stop_after ? sink->stop_with : 0;
}

static void serve_100000(struct test_connection *connection)
{
    auto_buf struct buf request = {0};
    static const char body[100000] = {[0 ... 99999] = 'x'};
    while (test_read_request(connection, &request)) {
        test_send_text(connection, "HTTP/1.1 206 Partial Content\r\nX-A: 1\r\n"
                                   "Content-Length: 100000\r\n\r\n");
        test_send(connection, body, sizeof(body));
    }
}

static void sink_takes_the_body(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_100000, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    struct sink sink = {.is_wanted = true};
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .wants_bytes = sink_wants,
                                   .on_bytes = sink_take,
                                   .context = &sink,
                                   .body_limit = 10};
    assert_int_equal(perform(f, &request), 0);
    assert_int_equal(sink.asked, 1);
    assert_int_equal(sink.status_when_asked, 206);
    assert_int_equal(sink.taken, 100000);
    assert_int_equal(f->response.body.size, 0);

    sink = (struct sink){.is_wanted = false};
    request.body_limit = 0;
    assert_int_equal(perform(f, &request), 0);
    assert_int_equal(sink.asked, 1);
    assert_int_equal(sink.taken, 0);
    assert_int_equal(f->response.body.size, 100000);

    sink = (struct sink){.is_wanted = true};
    request.wants_bytes = NULL; // always kept
    assert_int_equal(perform(f, &request), 0);
    assert_int_equal(sink.taken, 0);
    assert_int_equal(f->response.body.size, 100000);
    assert_int_equal(test_server_connections(server), 1);
    test_server_stop(server);
}

static void sink_may_stop(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_100000, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    struct sink sink = {.is_wanted = true, .stop_after = 20000, .stop_with = -ECANCELED};
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .wants_bytes = sink_wants,
                                   .on_bytes = sink_take,
                                   .context = &sink};
    assert_int_equal(perform(f, &request), 0);
    assert_int_equal(f->response.status, 206);
    assert_true(sink.taken < 100000);

    sink = (struct sink){.is_wanted = true, .stop_after = 1, .stop_with = -EBADMSG};
    assert_int_equal(perform(f, &request), -EBADMSG);
    assert_int_equal(f->err.http_status, 206);
    assert_false(f->err.is_retryable);
    assert_non_null(strstr(f->err.text, "127.0.0.1"));

    sink = (struct sink){.is_wanted = true, .stop_after = 1, .stop_with = -99999};
    assert_int_equal(perform(f, &request), -99999);
    sink = (struct sink){.is_wanted = true};
    assert_int_equal(perform(f, &request), 0);
    test_server_stop(server);
}

static void body_limit_is_exact(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_100000, NULL, NULL);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    struct http_request request = {.method = "GET", .url = url, .body_limit = 100000};
    assert_int_equal(perform(f, &request), 0);
    request.body_limit = 99999;
    assert_int_equal(perform(f, &request), -EFBIG);
    assert_false(f->err.is_retryable);
    assert_int_equal(f->err.http_status, 206);
    assert_int_equal(f->response.status, 206);
    assert_non_null(strstr(f->err.text, "99999"));
    test_server_stop(server);
}

static void connections_are_kept_for_each_origin(void **state)
{
    struct fixture *f = *state;
    struct test_server *a = test_server_start(serve_echo, NULL, NULL);
    struct test_server *b = test_server_start(serve_echo, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(get(f, a, "/"), 0);
        assert_int_equal(get(f, b, "/"), 0);
    }
    assert_int_equal(test_server_connections(a), 1);
    assert_int_equal(test_server_connections(b), 1);
    test_server_stop(a);
    test_server_stop(b);
}

struct worker {
    struct http_client *client;
    struct call *call;
    char url[64];
    int done;
};

static void *work(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < 40; i++) {
        char text[32];
        snprintf(text, sizeof(text), "%d", i);
        const struct http_piece piece = {text, strlen(text)};
        struct http_request request = {
            .method = "POST", .url = worker->url, .body = &piece, .body_count = 1};
        auto_http_response struct http_response response = {0};
        struct err err = {0};
        int r = http_perform(worker->client, worker->call, &request, &response, &err);
        const char *body = r == 0 ? strstr(buf_text(&response.body), "\r\n\r\n") : NULL;
        if (body && strcmp(body + 4, text) == 0)
            worker->done++;
    }
    return NULL;
}

static void threads_share_a_client(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    enum { WORKERS = 8 };
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.client = f->client, .call = &f->call};
        // By name, so that the shared cache of names is used as well.
        snprintf(workers[i].url, sizeof(workers[i].url), "http://localhost:%d/",
                 test_server_port(server));
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].done, 40);
    }
    assert_in_range(test_server_connections(server), 1, WORKERS);
    test_server_stop(server);
}

static void pool_keeps_a_limited_number(void **state)
{
    (void)state;
    enum { COUNT = HTTP_POOL_IDLE_LIMIT + 5 };
    struct http_pool *pool = http_pool_new();
    struct http_handle *handles[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char origin[32];
        snprintf(origin, sizeof(origin), "http://%d:80", i);
        handles[i] = http_pool_take(pool, origin);
        assert_string_equal(handles[i]->origin, origin);
    }
    for (int i = 0; i < COUNT; i++)
        http_pool_give_back(pool, handles[i]);
    struct http_handle *last = http_pool_take(pool, "http://52:80"); // given back last
    assert_ptr_equal(last, handles[COUNT - 1]);
    http_pool_give_back(pool, last);
    struct http_handle *kept = http_pool_take(pool, "http://5:80"); // the oldest that is kept
    assert_ptr_equal(kept, handles[5]);
    http_pool_give_back(pool, kept);
    http_pool_free(pool);
    http_pool_free(NULL);
}

static void proxy_of_the_environment(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    char proxy[64];
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", test_server_port(server));
    setenv("http_proxy", proxy, 1); // NOLINT(concurrency-mt-unsafe): no other thread reads it
    struct http_request request = {.method = "GET", .url = "http://registry.test/a/../b"};
    int r = perform(f, &request);
    unsetenv("http_proxy"); // NOLINT(concurrency-mt-unsafe)
    assert_int_equal(r, 0);
    const char *text = buf_text(&f->response.body);
    static const char expected[] = "GET http://registry.test/a/../b HTTP/1.1\r\n"
                                   "Host: registry.test\r\n";
    assert_memory_equal(text, expected, sizeof(expected) - 1);
    test_server_stop(server);
}

static void a_direct_client_passes_the_proxy_by(void **state)
{
    struct fixture *f = *state;
    struct test_server *server = test_server_start(serve_echo, NULL, NULL);
    struct http_client *usual = f->client;
    struct http_options options = {.is_direct = true};
    assert_int_equal(http_client_new(&options, &f->client, &f->err), 0);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", test_server_port(server));
    setenv("http_proxy", "http://127.0.0.1:1", 1); // NOLINT(concurrency-mt-unsafe)
    struct http_request request = {.method = "GET", .url = url};
    int r = perform(f, &request);
    unsetenv("http_proxy"); // NOLINT(concurrency-mt-unsafe)
    assert_int_equal(r, 0);
    http_client_free(f->client);
    f->client = usual;
    test_server_stop(server);
}

static void retryable_statuses(void **state)
{
    (void)state;
    static const int yes[] = {408, 429, 500, 502, 503, 504};
    int count = 0;
    for (int status = -1; status < 1000; status++)
        count += http_status_is_retryable(status) ? 1 : 0;
    assert_int_equal(count, ARRAY_SIZE(yes));
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        assert_true(http_status_is_retryable(yes[i]));
}

static void done_accepts_anything(void **state)
{
    (void)state;
    http_response_done(NULL);
    struct http_response response = {0};
    http_response_done(&response);
    http_response_done(&response);
    assert_null(http_response_header(&response, "x"));
    http_client_free(NULL);
}

static void ca_bundle_must_be_readable(void **state)
{
    (void)state;
    struct http_client *client = NULL;
    struct err err = {0};
    struct http_options options = {.ca_bundle = "/nonexistent/ca.pem"};
    assert_int_equal(http_client_new(&options, &client, &err), -ENOENT);
    assert_null(client);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    alarm(120); // a test that hangs has failed
    const struct CMUnitTest tests[] = {
        TEST(answer_is_taken_apart),
        TEST(request_goes_out_as_it_is),
        TEST(headers_and_secrets_are_sent),
        TEST(an_unknown_name_is_one_each_time),
        TEST(unsendable_requests_are_refused),
        TEST(body_of_pieces),
        TEST(empty_body),
        TEST(answers_without_a_body),
        TEST(interim_answers_are_dropped),
        TEST(odd_headers),
        TEST(chunked_with_trailers),
        TEST(redirects_are_not_followed),
        TEST(no_cookies),
        TEST(sink_takes_the_body),
        TEST(sink_may_stop),
        TEST(body_limit_is_exact),
        TEST(connections_are_kept_for_each_origin),
        TEST(threads_share_a_client),
        cmocka_unit_test(pool_keeps_a_limited_number),
        TEST(proxy_of_the_environment),
        TEST(a_direct_client_passes_the_proxy_by),
        cmocka_unit_test(retryable_statuses),
        cmocka_unit_test(done_accepts_anything),
        cmocka_unit_test(ca_bundle_must_be_readable),
    };
    return cmocka_run_group_tests_name("base/http", tests, NULL, NULL);
}
