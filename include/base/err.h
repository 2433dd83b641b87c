// err.h - what went wrong: an errno for the kernel, a sentence for people.
//
// Functions that can fail return 0 or a negative errno and fill a `struct err` that the caller
// owns (usually on its stack, `struct err err = {0};`). The sentence says what, why and, where
// there is something, what to do; it is built from the inside out: the place that fails calls
// err_set, each caller that knows more calls err_wrap. Rooms stay silent; the top logs once.
//
// A sentence never holds a secret: URLs enter it without their query (url_without_query).
#pragma once

#include <stdbool.h>

enum {
    ERR_TEXT_SIZE = 768
}; // bytes, the NUL included; longer sentences are cut at a UTF-8 boundary

struct err {
    int errnum;         // positive errno, 0 while nothing failed
    int http_status;    // the status that a server answered, 0 where none did
    bool is_retryable;  // the same call may succeed later (a time-out, a 503)
    int retry_after_ms; // what the server asked for, -1 where it did not say; only with
                        // is_retryable
    char code[64];      // the server's own name for it ("NoSuchKey", "MANIFEST_UNKNOWN"), or ""
    char text[ERR_TEXT_SIZE];
};

// Fills *err afresh and returns -errnum, so that `return err_set(err, ENOENT, ...)` reads well.
// Unprintable characters in the formatted text are replaced by '?': no forged log lines.
int err_set(struct err *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4), nonnull(1, 3)));

// Puts "CONTEXT: " before the sentence; everything else stays. Returns -err->errnum.
int err_wrap(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(1, 2)));

// Out of memory, worded once. Returns -ENOMEM.
int err_no_memory(struct err *err) __attribute__((nonnull));
