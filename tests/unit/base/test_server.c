#include "test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_LIMIT = 1024,
    REQUEST_LIMIT = 64 * 1024 * 1024, // bytes
    POLL_MS = 20,                     // how late a thread notices that the server is stopped
};

struct test_server {
    int fd;
    int port;
    void (*serve)(struct test_connection *connection);
    void *context;
    SSL_CTX *tls;
    atomic_bool is_stopping;
    atomic_int accepted;
    pthread_t acceptor;
    pthread_t threads[CONNECTIONS_LIMIT]; // the acceptor's
};

static void check(bool is_good, const char *what)
{
    if (!is_good) {
        perror(what);
        abort();
    }
}

static void *run_connection(void *argument)
{
    struct test_connection *connection = argument;
    struct test_server *server = connection->server;
    // OpenSSL writes to sockets that may be closed. Blocked in this thread alone, so that the code
    // under test shows whether it can live with SIGPIPE's default.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    bool is_ready = true;
    if (server->tls) {
        connection->tls = SSL_new(server->tls);
        SSL_set_fd(connection->tls, connection->fd);
        is_ready = SSL_accept(connection->tls) == 1;
    }
    if (is_ready)
        server->serve(connection);
    if (connection->tls)
        SSL_free(connection->tls);
    if (connection->fd >= 0)
        close(connection->fd);
    free(connection);
    return NULL;
}

static void *run_acceptor(void *argument)
{
    struct test_server *server = argument;
    while (!atomic_load(&server->is_stopping)) {
        struct pollfd poll_fd = {.fd = server->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, POLL_MS) <= 0)
            continue;
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        // A handshake with a peer that says nothing must not outlive the test.
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 20},
                   sizeof(struct timeval));
        struct test_connection *connection = calloc(1, sizeof(*connection));
        check(connection != NULL, "calloc");
        int index = atomic_fetch_add(&server->accepted, 1);
        check(index < CONNECTIONS_LIMIT, "too many connections");
        connection->server = server;
        connection->number = index + 1;
        connection->fd = fd;
        connection->context = server->context;
        check(pthread_create(&server->threads[index], NULL, run_connection, connection) == 0,
              "pthread_create");
    }
    return NULL;
}

struct test_server *test_server_start(void (*serve)(struct test_connection *connection),
                                      void *context, SSL_CTX *tls)
{
    struct test_server *server = calloc(1, sizeof(*server));
    check(server != NULL, "calloc");
    server->serve = serve;
    server->context = context;
    server->tls = tls;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    check(bind(server->fd, (struct sockaddr *)&address, size) == 0, "bind");
    check(listen(server->fd, 128) == 0, "listen");
    check(getsockname(server->fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
    server->port = ntohs(address.sin_port);
    check(pthread_create(&server->acceptor, NULL, run_acceptor, server) == 0, "pthread_create");
    return server;
}

void test_server_stop(struct test_server *server)
{
    atomic_store(&server->is_stopping, true);
    pthread_join(server->acceptor, NULL);
    for (int i = 0; i < atomic_load(&server->accepted); i++)
        pthread_join(server->threads[i], NULL);
    close(server->fd);
    free(server);
}

int test_server_port(const struct test_server *server)
{
    return server->port;
}

int test_server_connections(const struct test_server *server)
{
    return atomic_load(&server->accepted);
}

// Waits for bytes; false when there will be none.
static bool wait_for_bytes(struct test_connection *connection)
{
    while (!atomic_load(&connection->server->is_stopping)) {
        if (connection->tls && SSL_pending(connection->tls) > 0)
            return true;
        struct pollfd poll_fd = {.fd = connection->fd, .events = POLLIN};
        int ready = poll(&poll_fd, 1, POLL_MS);
        if (ready > 0)
            return true;
    }
    return false;
}

static ssize_t receive(struct test_connection *connection, void *bytes, size_t size)
{
    if (!wait_for_bytes(connection))
        return 0;
    if (connection->tls)
        return SSL_read(connection->tls, bytes, (int)size);
    return recv(connection->fd, bytes, size, 0);
}

static size_t announced_body(const char *headers)
{
    const char *line = strcasestr(headers, "\r\nContent-Length:");
    return line ? strtoull(line + sizeof("\r\nContent-Length:") - 1, NULL, 10) : 0;
}

bool test_read_request(struct test_connection *connection, struct buf *ret_request)
{
    buf_clear(ret_request);
    ret_request->limit = REQUEST_LIMIT;
    size_t wanted = SIZE_MAX;
    while (ret_request->size < wanted) {
        // Not past the request: the next one's bytes are the next call's. Headers come by the
        // byte for that reason.
        static _Thread_local char chunk[64 * 1024];
        size_t ask = wanted == SIZE_MAX ? 1 : wanted - ret_request->size;
        ssize_t got = receive(connection, chunk, ask < sizeof(chunk) ? ask : sizeof(chunk));
        if (got <= 0)
            return false;
        check(buf_append(ret_request, chunk, (size_t)got) == 0, "request too large");
        if (wanted == SIZE_MAX && ret_request->size >= 4 &&
            memcmp(ret_request->bytes + ret_request->size - 4, "\r\n\r\n", 4) == 0)
            wanted = ret_request->size + announced_body(ret_request->bytes);
    }
    return true;
}

void test_send(struct test_connection *connection, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = connection->tls ? SSL_write(connection->tls, at, (int)size)
                                       : send(connection->fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        size -= (size_t)sent;
    }
}

void test_send_text(struct test_connection *connection, const char *text)
{
    test_send(connection, text, strlen(text));
}

void test_reset(struct test_connection *connection)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(connection->fd);
    connection->fd = -1;
}

void test_wait_for_close(struct test_connection *connection)
{
    char byte;
    while (wait_for_bytes(connection) && recv(connection->fd, &byte, 1, 0) > 0) {
    }
}
