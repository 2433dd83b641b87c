// caller.h - whether the signal that interrupted a caller is one that it wants to stop for.
//
// The kernel reports any signal to a waiting request, also one that a program handles in passing:
// a shell's SIGCHLD when a background job ends. An EINTR for that would fail a publish that nobody
// cancelled; but once a request was reported as interrupted, the kernel reports it no more.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

// false while all signals that wait for that thread are such as a program handles in passing
// (SIGCHLD, SIGCONT, SIGURG, SIGWINCH), or none waits. true also where it cannot be told.
bool caller_wants_out(pid_t thread_id);
