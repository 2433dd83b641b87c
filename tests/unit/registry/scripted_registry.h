// scripted_registry.h - a registry with a token server that does as its test says; what the tests
// of requests, redirects and failures share. One at a time.
#pragma once

#include "../base/test.h"
#include "fixture.h"
#include "scripted_server.h"

#include <string.h>

extern struct fixture fixture;
extern struct scripted_server *server, *elsewhere;

// What the registry does; each test changes what it needs.
struct scripted_registry {
    const char *asks_for;       // "Basic", "Bearer", NULL for nothing
    const char *scope;          // that its challenge names; NULL for the usual one
    const char *realm;          // NULL: its own
    const char *good_login;     // "user:password" that is taken; NULL for none
    const char *good_identity;  // identity token that is taken, by POST; NULL for none
    bool takes_anonymous;       // the token server gives everybody a token
    bool refuses_login;         // the registry refuses tokens that were made for a login
    const char *token_body;     // what the token server answers instead; NULL for a token
    const char *odd_scope;      // tokens of another scope are refused
    unsigned tokens_valid_from; // tokens of a smaller number are refused
    int refusal;                // status of a refused token
    unsigned token_delay_ms;
    unsigned tokens; // given so far
    // Called for requests that are let in, here or at `elsewhere`; NULL: 200 "ok"
    void (*answer)(const struct scripted_request *request, struct scripted_reply *reply);
};
extern struct scripted_registry registry;

int scripted_registry_set_up(void **state);
int scripted_registry_tear_down(void **state);
void scripted_registry_log_in(const char *login); // "user:password" into config.json

// GETs manifests/1 of a repository.
int scripted_registry_get(struct call *call, const char *repository, const char *range,
                          char *ret_body, size_t body_size, struct err *err);

// The same with the fixture's call: "ok" must come. Fills last_err.
int get(const char *repository);
extern struct err last_err;

#define assert_get(repository)                                                                     \
    do {                                                                                           \
        if (get(repository) != 0)                                                                  \
            fail_msg("%s: %s", repository, last_err.text);                                         \
    } while (0)
#define assert_told(words)                                                                         \
    do {                                                                                           \
        if (strstr(last_err.text, words) == NULL)                                                  \
            fail_msg("'%s' lacks '%s'", last_err.text, words);                                     \
    } while (0)
#define assert_count(beginning, count)                                                             \
    assert_int_equal(scripted_server_count(server, beginning), count)

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, scripted_registry_set_up, scripted_registry_tear_down)
