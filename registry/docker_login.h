// docker_login.h - a login at a registry, and what the bytes of docker's config.json, or of
// podman's auth.json, say of one. Pure.
//
//   {"auths": {"ghcr.io": {"auth": "base64 of USER:PASSWORD"},       docker login
//              "a.azurecr.io": {"identitytoken": "..."},             a refresh token, see grant.h
//              "quay.io/team": {"auth": "..."}},                     podman: a namespace's own
//    "credHelpers": {"1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login"},  a program for a host ...
//    "credsStore": "pass"}                                               ... and for all others
#pragma once

#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

enum { DOCKER_HELPER_SIZE = 64 }; // bytes of a helper's name, the NUL included

#define DOCKER_HUB_SERVER "https://index.docker.io/v1/" // what docker calls Docker Hub everywhere
#define DOCKER_TOKEN_USER "<token>" // the user's name that stands for an identity token

struct login {
    char *user; // NULL: there are no credentials, ask anonymously
    struct secret *password;
    bool is_identity_token; // `password` is a refresh token, for the token server alone
    char whose[256];        // for sentences: "GITHUB_TOKEN", "/root/.docker/config.json", "none"
};
void registry_login_done(struct login *login); // accepts NULL and zeroed
// -ENOMEM, or 0; whose is left as it is.
int registry_login_set(struct login *login, const char *user, size_t user_size,
                       const char *password, size_t password_size);

struct docker_word {
    struct login login;              // whose is not filled; user NULL where it says nothing
    char helper[DOCKER_HELPER_SIZE]; // the program docker-credential-HELPER goes before it; ""
};

// What a file says of a registry host and a repository there, as references write them. EPROTO
// when it makes no sense.
int registry_docker_config_parse(const char *bytes, size_t size, const char *host,
                                 const char *repository, struct docker_word *ret_word,
                                 struct err *err);

// What helpers are asked for: the host, or DOCKER_HUB_SERVER.
const char *registry_docker_server(const char *host);
