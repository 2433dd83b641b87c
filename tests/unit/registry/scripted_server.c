#include "scripted_server.h"

#include "../base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, REQUESTS_MAX = 4096, HEAD_MAX = 64 * 1024, BODY_MAX = 16 * 1024 };

struct connection {
    struct scripted_server *server;
    pthread_t thread;
    int fd;
};

struct scripted_server {
    void (*answer)(void *context, const struct scripted_request *request,
                   struct scripted_reply *reply);
    void *context;
    char authority[32];
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    struct { // guarded by lock
        struct connection connections[CONNECTIONS_MAX];
        size_t connection_count;
        char *lines[REQUESTS_MAX];
        unsigned request_count;
        bool is_ending;
    } state;
};

void scripted_reply_header(struct scripted_reply *reply, const char *format, ...)
{
    size_t size = strlen(reply->headers);
    va_list args;
    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, on the line above
    vsnprintf(reply->headers + size, sizeof(reply->headers) - size, format, args);
    va_end(args);
    strncat(reply->headers, "\r\n", sizeof(reply->headers) - strlen(reply->headers) - 1);
}

void scripted_reply_text(struct scripted_reply *reply, int status, const char *body)
{
    reply->status = status;
    reply->body = body;
    reply->body_size = strlen(body);
    if (reply->body_size < sizeof(reply->text))
        reply->body = memcpy(reply->text, body, reply->body_size + 1);
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

// Reads up to the empty line. false when the client has gone, or talks no HTTP.
static bool read_head(int fd, char *head)
{
    size_t size = 0;
    while (size < HEAD_MAX - 1) {
        ssize_t got = recv(fd, head + size, 1, 0);
        if (got <= 0)
            return false;
        head[++size] = '\0';
        if (size == 1 && (head[0] < 'A' || head[0] > 'Z'))
            return false;
        if (size >= 4 && strcmp(head + size - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

// Takes the head apart in place.
static void parse_head(char *head, struct scripted_request *request)
{
    char *line = strsep(&head, "\r");
    *request =
        (struct scripted_request){.authorization = "", .range = "", .accept = "", .body = ""};
    request->method = strsep(&line, " ");
    request->target = strsep(&line, " ");
    while (head != NULL && (line = strsep(&head, "\r")) != NULL) {
        line += strspn(line, "\n");
        char *name = strsep(&line, ":");
        const char *value = line == NULL ? "" : line + strspn(line, " ");
        if (strcasecmp(name, "authorization") == 0)
            request->authorization = value;
        else if (strcasecmp(name, "range") == 0)
            request->range = value;
        else if (strcasecmp(name, "accept") == 0)
            request->accept = value;
        else if (strcasecmp(name, "content-length") == 0)
            request->body_size = strtoul(value, NULL, 10);
    }
}

static bool read_body(int fd, struct scripted_request *request, char *body)
{
    size_t size = 0;
    while (size < request->body_size && size < BODY_MAX) {
        ssize_t got = recv(fd, body + size, request->body_size - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
    }
    body[size] = '\0';
    request->body = body;
    return size == request->body_size;
}

static void remember(struct scripted_server *server, struct scripted_request *request)
{
    char *line = NULL;
    request->number = ++server->state.request_count;
    if (asprintf(&line, "%s %s %s %s%s", request->method, request->target, request->authorization,
                 request->range, request->body) < 0)
        abort();
    if (request->number >= REQUESTS_MAX)
        abort();
    server->state.lines[request->number] = line;
}

static bool send_reply(int fd, const struct scripted_request *request,
                       const struct scripted_reply *reply)
{
    char head[5000];
    size_t size = reply->sent_size < reply->body_size ? reply->sent_size : reply->body_size;
    snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n%s\r\n",
             reply->status, reply->body_size, reply->headers);
    if (!send_all(fd, head, strlen(head)))
        return false;
    if (strcmp(request->method, "HEAD") == 0)
        return true;
    return send_all(fd, reply->body, size) && size == reply->body_size;
}

static bool serve(struct connection *connection, char *head)
{
    struct scripted_server *server = connection->server;
    struct scripted_request request;
    struct scripted_reply reply = {.status = 200, .body = "", .sent_size = SIZE_MAX};
    parse_head(head, &request);
    char body[BODY_MAX + 1];
    if (request.method == NULL || request.target == NULL ||
        !read_body(connection->fd, &request, body))
        return false;
    pthread_mutex_lock(&server->lock);
    remember(server, &request);
    server->answer(server->context, &request, &reply);
    pthread_mutex_unlock(&server->lock);
    if (reply.delay_ms > 0)
        usleep(reply.delay_ms * 1000);
    return !reply.hangs_up && send_reply(connection->fd, &request, &reply);
}

static void *run_connection(void *context)
{
    struct connection *connection = context;
    char *head = malloc(HEAD_MAX);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    while (head != NULL && read_head(connection->fd, head) && serve(connection, head))
        ;
    free(head);
    shutdown(connection->fd, SHUT_RDWR); // closed when the server ends, which may still look at it
    return NULL;
}

static void *run_server(void *context)
{
    struct scripted_server *server = context;
    int fd;
    while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        pthread_mutex_lock(&server->lock);
        size_t number = server->state.connection_count;
        struct connection *connection = &server->state.connections[number];
        bool is_served = !server->state.is_ending && number < CONNECTIONS_MAX;
        if (is_served) {
            *connection = (struct connection){.server = server, .fd = fd};
            is_served = pthread_create(&connection->thread, NULL, run_connection, connection) == 0;
        }
        if (is_served)
            server->state.connection_count++;
        else
            close(fd);
        pthread_mutex_unlock(&server->lock);
    }
    return NULL;
}

struct scripted_server *scripted_server_new(void (*answer)(void *context,
                                                           const struct scripted_request *request,
                                                           struct scripted_reply *reply),
                                            void *context)
{
    struct scripted_server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->answer = answer;
    server->context = context;
    pthread_mutex_init(&server->lock, NULL);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->fd, 128), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
    snprintf(server->authority, sizeof(server->authority), "127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, run_server, server), 0);
    return server;
}

void scripted_server_free(struct scripted_server *server)
{
    if (server == NULL)
        return;
    pthread_mutex_lock(&server->lock);
    server->state.is_ending = true;
    for (size_t i = 0; i < server->state.connection_count; i++)
        shutdown(server->state.connections[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->state.connection_count; i++) {
        pthread_join(server->state.connections[i].thread, NULL);
        close(server->state.connections[i].fd);
    }
    close(server->fd);
    for (unsigned i = 0; i <= server->state.request_count; i++)
        free(server->state.lines[i]);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *scripted_server_authority(const struct scripted_server *server)
{
    return server->authority;
}

unsigned scripted_server_count(struct scripted_server *server, const char *beginning)
{
    unsigned count = 0;
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 1; i <= server->state.request_count; i++)
        if (strncmp(server->state.lines[i], beginning, strlen(beginning)) == 0)
            count++;
    pthread_mutex_unlock(&server->lock);
    return count;
}

const char *scripted_server_line(struct scripted_server *server, unsigned number)
{
    pthread_mutex_lock(&server->lock);
    const char *line = number <= server->state.request_count ? server->state.lines[number] : NULL;
    pthread_mutex_unlock(&server->lock);
    return line == NULL ? "" : line;
}
