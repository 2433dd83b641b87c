// caller.h - what proc(5) says of those who ask: who they are, and whether the signal that
// interrupted one is one that it wants to stop for.
//
// The kernel reports any signal to a waiting request, also one that a program handles in passing:
// a shell's SIGCHLD when a background job ends. An EINTR for that would fail a publish that nobody
// cancelled; but once a request was reported as interrupted, the kernel reports it no more.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// false while all signals that wait for that thread are such as a program handles in passing
// (SIGCHLD, SIGCONT, SIGURG, SIGWINCH), or none waits. true also where it cannot be told.
bool caller_wants_out(pid_t thread_id);

// The process that a thread belongs to; 0 where it cannot be told (another PID namespace).
pid_t caller_process(pid_t thread_id);
// Whether that thread is ending because a signal ended its process: what it closes now it has not
// finished writing. Of another user's process the kernel says less: then true also for a program of
// several threads that ends without having closed its files. false where it cannot be told.
bool caller_was_killed(pid_t thread_id);
// Whether proc(5) lets this program see what files that thread has open: not so of another user's,
// unless it may trace it (ptrace(2)).
bool caller_may_be_seen(pid_t thread_id);
// Whether that thread's process has a file of this inode number open for writing: a shell closes a
// copy of its descriptor after each `echo >&3`. false where it cannot be told (another user's
// process).
bool caller_has_open(pid_t thread_id, uint64_t inode_number);
// Whether any process has: a child that was given the file may write into it long after. Processes
// of which it cannot be told are taken for having it not. Looks at all that there are.
bool caller_anybody_has_open(uint64_t inode_number);
