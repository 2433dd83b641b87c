// answers.h - what servers answer, for targets that run whole requests: an input is a line that
// says which, then answers, each of a status, headers, an empty line and a body, with "%%" on a
// line of its own between them. Whoever asks more often than that gets no answer.
//
// The targets that use it are linked with --wrap=http_perform.
#pragma once

#include "fuzz.h"

#include "base/call.h"

// Takes the input over; its first line, NUL-terminated, valid until answers_end.
const char *answers_begin(const uint8_t *bytes, size_t size);
void answers_end(void);

extern const struct clock answers_clock; // it stands
void answers_call(struct call *call);    // no retries, so that nothing waits
