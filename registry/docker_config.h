// docker_config.h - whose name a registry is asked in: docker's and podman's files, the helpers
// that they name, and for ghcr.io the environment of a CI job.
//
// The files are read anew for every look-up (a token lives minutes, a mount weeks, and `docker
// login` happens in between). They are, each where it is there:
//
//   $REGISTRY_AUTH_FILE
//   $DOCKER_CONFIG/config.json, else $HOME/.docker/config.json
//   $XDG_RUNTIME_DIR/containers/auth.json, else /run/containers/UID/auth.json
//   $XDG_CONFIG_HOME/containers/auth.json, else $HOME/.config/containers/auth.json
//
// In each, the first that has something wins: an entry of the repository's own namespace, the
// helper of credHelpers or credsStore, the entry of the host. Then come GITHUB_TOKEN and GH_TOKEN,
// for ghcr.io alone. A helper that fails is an error only where nothing else has something.
//
// Thread-safe: what is kept does not change after _new.
#pragma once

#include "docker_login.h"

#include "base/call.h"

enum { DOCKER_CONFIG_LIMIT = 1024 * 1024 }; // bytes of a config.json that is read

struct docker_config;

// path: this file alone; NULL for those above. `environment` is asked here, once; NULL means
// getenv.
int registry_docker_config_new(const char *path, const char *(*environment)(const char *name),
                               struct docker_config **ret_config, struct err *err);
void registry_docker_config_free(struct docker_config *config); // accepts NULL

// For a registry host and a repository as references write them; blocks while a helper runs. 0
// also where there are none (user is NULL). A file that does not exist holds none; EACCES when one
// cannot be read or makes no sense, or a helper failed; EINTR.
int registry_docker_config_login(const struct docker_config *config, struct call *call,
                                 const char *host, const char *repository, struct login *ret_login,
                                 struct err *err);
