// credential_helper.h - docker's credential helpers, docker-credential-NAME. Spec: "Credential
// helper protocol" of the docker documentation: `get`, the server's name on standard input, and
// {"Username": ..., "Secret": ...} on standard output.
#pragma once

#include "docker_login.h"

#include "base/call.h"

enum { CREDENTIAL_HELPER_TIMEOUT_MS = 30 * 1000 };

// 0; *ret_login is empty where the helper knows of none. EACCES where it fails or is not there,
// EINTR.
int registry_credential_helper_ask(const char *name, const char *host, struct call *call,
                                   struct login *ret_login, struct err *err);
