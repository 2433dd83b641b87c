// fixture.h - a registry client with a clock that can be moved, a config.json of the test's own,
// and a call that remembers what it was told.
#pragma once

#include "registry.h"

struct fixture {
    struct http_client *http;
    struct registry_client *client;
    struct call call;
    char directory[32];
    char config[64];               // path of its config.json
    unsigned told;                 // calls of on_retry
    char told_text[ERR_TEXT_SIZE]; // the last one's sentence
    const char *allowed_hosts[2];
};

// `config` NULL: no config.json.
void fixture_start(struct fixture *fixture, const char *config);
void fixture_stop(struct fixture *fixture);
void fixture_write_config(struct fixture *fixture, const char *config);
void fixture_new_call(struct fixture *fixture); // with all its retries
void fixture_move_clock(int64_t ms);            // of all fixtures, onwards
const char *fixture_environment(const char *name);
extern const char *fixture_github_token; // what the environment has

// "HOST/PATH", to be ended by registry_reference_done.
struct registry_reference fixture_reference(const char *host, const char *path);
