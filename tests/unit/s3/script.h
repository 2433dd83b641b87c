// script.h - a server on loopback that answers what a test wrote down, one reply a connection,
// and keeps what it was asked. For what a real store does too seldom: lost replies, expired
// sessions, wrong regions, clocks that are off.
#pragma once

#include <stddef.h>

struct script_reply {
    int status;          // 0: the request is read, and the connection closed without a reply
    const char *headers; // "Name: value\r\n" for each; NULL for none
    const char *body;    // NULL for none
    int cut_bytes;       // the body is this much shorter than its Content-Length says
};

struct script;
struct script *script_start(const struct script_reply *replies, size_t count);
void script_stop(struct script *script);

const char *script_endpoint(const struct script *script); // "http://127.0.0.1:PORT"
size_t script_request_count(struct script *script);
// Head and body of request number i (from 0), as they came. "" where there was none.
const char *script_request(struct script *script, size_t i);
// The value of a header of that request, malloc'ed; NULL where it had none.
char *script_request_header(struct script *script, size_t i, const char *name);
// Fails the test unless it has that value; NULL: unless there is none.
void script_assert_header(struct script *script, size_t i, const char *name, const char *expected);
