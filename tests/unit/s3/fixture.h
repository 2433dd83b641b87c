// fixture.h - what most tests of the S3 room need: a scripted store, a clock that stands where
// it is put, an environment, and a client that uses all three.
#pragma once

#include "s3.h"
#include "script.h"

// ---- the clock ----------------------------------------------------------------------------

struct test_clock {
    struct clock clock;
    int64_t machine_ms; // what the machine's clock shows
    int64_t offset_ms;  // what it was corrected by
    int64_t monotonic_ms;
};
void test_clock_init(struct test_clock *clock, int64_t machine_ms);

// ---- the environment ----------------------------------------------------------------------

struct test_variable {
    const char *name;
    const char *value;
};
// variables ends with a NULL name.
struct s3_environment test_environment(const struct test_variable *variables);

// A file under a directory that the test removes; both malloc'ed.
char *test_directory(void);
char *test_file(const char *directory, const char *name, const char *text);
void test_directory_remove(char *directory); // and frees it

// ---- all together -------------------------------------------------------------------------

#define TEST_NOW_MS INT64_C(1369353600000) // 2013-05-24T00:00:00Z

struct fixture {
    struct script *script;
    struct test_clock clock;
    struct http_client *http;
    struct s3_provider *provider;
    struct s3_client *client;
    struct call call;
    struct err err;
};
// Bucket "bkt" at the script's endpoint in path style, us-east-1, access key "AKIDTEST".
void fixture_start(struct fixture *fixture, const struct script_reply *replies, size_t count);
void fixture_start_with(struct fixture *fixture, const struct script_reply *replies, size_t count,
                        const struct test_variable *variables);
void fixture_stop(struct fixture *fixture);
