#include "script.h"

#include "base/scope.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { REQUESTS_MAX = 256, REQUEST_SIZE_MAX = 16 * 1024 * 1024 };

struct script {
    const struct script_reply *replies;
    size_t reply_count;
    int listener;
    int stop_pipe[2];
    char endpoint[64];
    pthread_t thread;
    pthread_mutex_t lock;
    char *requests[REQUESTS_MAX];
    size_t request_count;
};

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "\r\nContent-Length:");
    return at ? strtoul(at + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

// The whole request with a NUL behind it, NULL when the peer went away.
static char *receive(int peer)
{
    char *text = calloc(1, REQUEST_SIZE_MAX + 1);
    size_t size = 0;
    while (text && size < REQUEST_SIZE_MAX) {
        ssize_t n = recv(peer, text + size, REQUEST_SIZE_MAX - size, 0);
        if (n <= 0)
            break;
        size += (size_t)n;
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end && size >= (size_t)(end + 4 - text) + content_length(text))
            return realloc(text, size + 1);
    }
    free(text);
    return NULL;
}

static void answer(int peer, const struct script_reply *reply)
{
    const char *body = reply->body ? reply->body : "";
    char *text = NULL;
    int size = asprintf(&text,
                        "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\nConnection: close\r\n"
                        "%s\r\n%s",
                        reply->status, strlen(body), reply->headers ? reply->headers : "", body);
    if (size > 0)
        (void)!send(peer, text, (size_t)(size - reply->cut_bytes), MSG_NOSIGNAL);
    free(text);
}

static void serve(struct script *script, int peer)
{
    static const struct script_reply exhausted = {418, NULL, "the script has no such reply", 0};
    char *request = receive(peer);
    if (!request)
        return;
    pthread_mutex_lock(&script->lock);
    size_t i = script->request_count;
    if (i < REQUESTS_MAX)
        script->requests[script->request_count++] = request;
    else
        free(request);
    pthread_mutex_unlock(&script->lock);
    const struct script_reply *reply = i < script->reply_count ? &script->replies[i] : &exhausted;
    if (reply->status != 0)
        answer(peer, reply);
}

static void *run(void *context)
{
    struct script *script = context;
    for (;;) {
        struct pollfd polled[] = {{script->listener, POLLIN, 0}, {script->stop_pipe[0], POLLIN, 0}};
        if (poll(polled, 2, -1) < 0 || polled[1].revents)
            return NULL;
        int peer = accept(script->listener, NULL, NULL);
        if (peer < 0)
            continue;
        serve(script, peer);
        shutdown(peer, SHUT_WR);
        close(peer);
    }
}

struct script *script_start(const struct script_reply *replies, size_t count)
{
    struct script *script = calloc(1, sizeof(*script));
    script->replies = replies;
    script->reply_count = count;
    pthread_mutex_init(&script->lock, NULL);
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    socklen_t size = sizeof(address);
    if (pipe(script->stop_pipe) < 0 ||
        bind(script->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(script->listener, 16) < 0 ||
        getsockname(script->listener, (struct sockaddr *)&address, &size) < 0)
        abort();
    snprintf(script->endpoint, sizeof(script->endpoint), "http://127.0.0.1:%d",
             ntohs(address.sin_port));
    if (pthread_create(&script->thread, NULL, run, script) != 0)
        abort();
    return script;
}

void script_stop(struct script *script)
{
    (void)!write(script->stop_pipe[1], "", 1);
    pthread_join(script->thread, NULL);
    close(script->listener);
    close(script->stop_pipe[0]);
    close(script->stop_pipe[1]);
    for (size_t i = 0; i < script->request_count; i++)
        free(script->requests[i]);
    pthread_mutex_destroy(&script->lock);
    free(script);
}

const char *script_endpoint(const struct script *script)
{
    return script->endpoint;
}

size_t script_request_count(struct script *script)
{
    pthread_mutex_lock(&script->lock);
    size_t count = script->request_count;
    pthread_mutex_unlock(&script->lock);
    return count;
}

const char *script_request(struct script *script, size_t i)
{
    return i < script_request_count(script) ? script->requests[i] : "";
}

char *script_request_header(struct script *script, size_t i, const char *name)
{
    const char *line = strstr(script_request(script, i), "\r\n");
    size_t name_size = strlen(name);
    while (line && strncmp(line, "\r\n\r\n", 4) != 0) {
        line += 2;
        if (strncasecmp(line, name, name_size) == 0 && line[name_size] == ':') {
            const char *value = line + name_size + 1;
            value += strspn(value, " ");
            return strndup(value, strcspn(value, "\r"));
        }
        line = strstr(line, "\r\n");
    }
    return NULL;
}

void script_assert_header(struct script *script, size_t i, const char *name, const char *expected)
{
    auto_free char *value = script_request_header(script, i, name);
    const char *got = value ? value : "(no such header)";
    if (strcmp(got, expected ? expected : "(no such header)") != 0)
        fail_msg("request %zu has %s: %s, not %s", i, name, got, expected ? expected : "none");
}
