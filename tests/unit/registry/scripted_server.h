// scripted_server.h - an HTTP/1.1 server on loopback for one test: a function of the test
// answers, and every request is remembered. For what no real registry can be made to do.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct scripted_server;

struct scripted_request {
    unsigned number; // of this server's requests, from 1
    const char *method;
    const char *target;        // path and query
    const char *authorization; // this and the following are "" where there is none
    const char *range;
    const char *accept;
    const char *body; // text
    size_t body_size;
};

struct scripted_reply {
    int status;         // 200 at first
    char headers[4096]; // "Name: value\r\n" of each
    const char *body;   // stays the test's
    size_t body_size;
    size_t sent_size; // of the body, then the connection is closed; SIZE_MAX at first: all
    bool hangs_up;    // instead of an answer
    unsigned delay_ms;
    char text[1000]; // where scripted_reply_text keeps what fits
};

void scripted_reply_header(struct scripted_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// A short body is copied: several answers may be under way.
void scripted_reply_text(struct scripted_reply *reply, int status, const char *body);

// `answer` is called for one request at a time, on the server's threads.
struct scripted_server *scripted_server_new(void (*answer)(void *context,
                                                           const struct scripted_request *request,
                                                           struct scripted_reply *reply),
                                            void *context);
void scripted_server_free(struct scripted_server *server);

const char *scripted_server_authority(const struct scripted_server *server); // "127.0.0.1:4711"
// How many requests there were whose "METHOD TARGET" begins so.
unsigned scripted_server_count(struct scripted_server *server, const char *beginning);
// "METHOD TARGET AUTHORIZATION RANGE" of a request by number, its body right behind; "" where
// there was none.
const char *scripted_server_line(struct scripted_server *server, unsigned number);
