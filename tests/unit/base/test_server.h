// test_server.h - a server on loopback that says exactly what a test tells it to, byte for byte.
//
// It listens on a free port; each connection gets a thread that runs the test's function, which
// returns to close the connection.
#pragma once

#include "base/buf.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct test_server;

struct test_connection {
    struct test_server *server;
    int number; // in the order of acceptance, from 1
    int fd;
    SSL *tls;      // NULL for a plain one
    void *context; // as given to test_server_start
};

// tls NULL: plain TCP.
struct test_server *test_server_start(void (*serve)(struct test_connection *connection),
                                      void *context, SSL_CTX *tls);
// Ends all connections and waits for their threads.
void test_server_stop(struct test_server *server);
int test_server_port(const struct test_server *server);
int test_server_connections(const struct test_server *server); // accepted so far

// Reads one request, with as much of a body as its Content-Length says, into *ret_request (which
// is cleared first). false when the peer closed or the server is being stopped.
bool test_read_request(struct test_connection *connection, struct buf *ret_request);
void test_send(struct test_connection *connection, const void *bytes, size_t size);
void test_send_text(struct test_connection *connection, const char *text);
// The connection ends with a TCP reset instead of a close.
void test_reset(struct test_connection *connection);
// Says nothing until the peer closes or the server is being stopped.
void test_wait_for_close(struct test_connection *connection);
