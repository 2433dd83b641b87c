// client.h - what the room's parts share while a client lives. registry_client_new is here; what
// is learnt of hosts and the tokens they gave stand in host.h and token.h.
//
// Lock order: `lock` is the room's only one. Nobody sends, waits for a server or calls back with
// it held; `changed` is signalled whenever a host or a token under it changes.
#pragma once

#include "registry.h"

#include "docker_config.h"

#include <pthread.h>
#include <stdatomic.h>

struct host;
struct token;

struct registry_client {
    struct http_client *http;
    const struct clock *clock;
    char **allowed_hosts; // NULL-terminated, or NULL for any
    char **plain_hosts;   // NULL-terminated, or NULL for none but loopback
    struct docker_config *docker_config;
    atomic_size_t helpers; // threads that look for referrers beside those who asked for them

    pthread_mutex_t lock;
    pthread_cond_t changed; // for call_wait
    struct {                // guarded by lock
        struct host *hosts;
        struct token *tokens;
        size_t token_count;
    } known;
};

// Waits, with the lock held, for `changed` or a little while: then a cancelled call shows.
// -EINTR with *err set when the call was cancelled.
int registry_client_wait_locked(struct registry_client *client, struct call *call, struct err *err);

// Whether HOST[:PORT] may be spoken to without TLS: loopback, or named by the mount.
bool registry_client_may_speak_plain(const struct registry_client *client, const char *host,
                                     int port);
