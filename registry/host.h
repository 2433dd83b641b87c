// host.h - what has been learnt of a registry host, so that nothing is asked twice: where its API
// is, whether it speaks TLS, and how it wants to be asked.
//
// A host is made when a reference first names it and lives as long as the client.
#pragma once

#include "client.h"

#include "challenge.h"

enum host_speech {
    HOST_SPEAKS_TLS,   // for good: every host that may not be spoken to in plain
    HOST_SPEAKS_PLAIN, // for good: it has answered so
    // A host that may be spoken to in plain and has not answered yet: one way and the other are
    // tried in turn. Nothing secret is sent before it has answered.
    HOST_PERHAPS_PLAIN,
    HOST_PERHAPS_TLS,
};

enum host_asks_for {
    HOST_ASKS_UNKNOWN, // nobody has asked yet
    HOST_ASKS_NOTHING, // it has answered without credentials
    HOST_ASKS_BASIC,
    HOST_ASKS_BEARER,
};

struct host {
    struct host *next;
    char *name;      // as references have it: "docker.io"; config.json is asked for it
    char *authority; // who is really asked: "registry-1.docker.io"
    struct {         // guarded by the client's lock
        enum host_speech speech;
        enum host_asks_for asks_for;
        char *realm; // BEARER: of the last challenge
        char *service;
        bool is_being_asked; // somebody is about to learn what it asks for
        unsigned answers;    // counts the times that somebody did, or failed
    } learnt;
};

// The host of a reference. EACCES when the mount may not ask it.
int registry_host_get(struct registry_client *client, const char *name, struct host **ret_host,
                      struct err *err);
void registry_hosts_free(struct registry_client *client);

// The first request to a host goes alone, since its answer tells how all others are best sent;
// whoever comes meanwhile waits for it (once). *ret_is_first: this is the one, and
// registry_host_leave must follow, whatever came of it. -EINTR.
int registry_host_enter(struct registry_client *client, struct call *call, struct host *host,
                        bool *ret_is_first, struct err *err);
void registry_host_leave(struct registry_client *client, struct host *host);

// How it is spoken to now.
enum host_speech registry_host_speech(struct registry_client *client, const struct host *host);
static inline bool host_speech_is_plain(enum host_speech speech)
{
    return speech == HOST_SPEAKS_PLAIN || speech == HOST_PERHAPS_PLAIN;
}
// The URL of PATH below /v2/, malloc'ed; NULL on no memory.
char *registry_host_url(const struct host *host, enum host_speech speech, const char *path);

// It has answered when spoken to so.
void registry_host_answered(struct registry_client *client, struct host *host,
                            enum host_speech speech);
// It has not: true when it should be asked again, the other way or in the one that is now sure.
bool registry_host_failed(struct registry_client *client, struct host *host,
                          enum host_speech speech, const struct err *err);
// It has answered a plain request that it wants TLS.
void registry_host_wants_tls(struct registry_client *client, struct host *host);
// Whether a handshake failed because the other side does not speak TLS at all.
bool registry_host_has_no_tls(const struct err *err);

// It has answered 401 with these challenges: Bearer is learnt rather than Basic. false where
// there is none that can be met. *ret_scope is that challenge's scope, malloc'ed, or NULL.
bool registry_host_learn(struct registry_client *client, struct host *host,
                         struct challenges *challenges, char **ret_scope);
// It has answered without having asked for anything.
void registry_host_is_open(struct registry_client *client, struct host *host);
