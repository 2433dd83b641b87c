// supervisor.h - tells who supervises this process how far it is: sd_notify(3)'s protocol, a
// datagram of NAME=VALUE lines to the socket that NOTIFY_SOCKET names. Other supervisors, and
// container engines, speak it too.
#pragma once

#include "base/err.h"

// "READY=1", "STOPPING=1". Nothing happens where nobody has asked for it.
int supervisor_tell(const char *state, struct err *err);
