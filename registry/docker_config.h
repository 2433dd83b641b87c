// docker_config.h - whose name a registry is asked in: docker's config.json, and for ghcr.io the
// environment of a CI job.
//
// The file is read anew for every look-up (a token lives minutes, a mount weeks, and `docker
// login` happens in between). Order, the first that has something wins:
//
//   1. credHelpers[HOST], then credsStore: not asked yet; registry_docker_config_login is where
//      they belong. One that is named is remembered, so that a refusal can say so.
//   2. auths[HOST]: "auth" (base64 of USER:PASSWORD) or "username" and "password".
//   3. GITHUB_TOKEN, then GH_TOKEN, for ghcr.io alone.
//
// Thread-safe: what is kept does not change after _new.
#pragma once

#include "base/err.h"
#include "base/secret.h"

#include <stddef.h>

enum { DOCKER_CONFIG_LIMIT = 1024 * 1024 }; // bytes of a config.json that is read

struct docker_config;

// path: NULL for $DOCKER_CONFIG/config.json, else $HOME/.docker/config.json. `environment` is
// asked here, once; NULL means getenv.
int registry_docker_config_new(const char *path, const char *(*environment)(const char *name),
                               struct docker_config **ret_config, struct err *err);
void registry_docker_config_free(struct docker_config *config); // accepts NULL

struct login {
    char *user; // NULL: there are no credentials, ask anonymously
    struct secret *password;
    char whose[256]; // for sentences: "GITHUB_TOKEN", "/root/.docker/config.json", "none"
};
void registry_login_done(struct login *login); // accepts NULL and zeroed

// For a registry host as references write it. 0 also where there are none (user is NULL). A file
// that does not exist holds none; EACCES when it cannot be read or makes no sense.
int registry_docker_config_login(const struct docker_config *config, const char *host,
                                 struct login *ret_login, struct err *err);

// The pure part: what the bytes of a config.json say of a host. *ret_login is empty where they
// say nothing. EPROTO when they make no sense.
int registry_docker_config_parse(const char *bytes, size_t size, const char *host,
                                 struct login *ret_login, struct err *err);
