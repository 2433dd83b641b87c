// service.h - everything of one mount but FUSE: who speaks to the store, the registries and STS,
// and the rooms that work with them, opened in order and checked, ended in reverse.
#pragma once

#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/http.h"
#include "copy/copy.h"
#include "memory.h"
#include "options.h"
#include "publish/intents.h"
#include "publish/publish.h"
#include "publish/record_cache.h"
#include "publish/status.h"
#include "reader.h"
#include "registry.h"
#include "s3.h"
#include "sweeper.h"
#include "tree.h"
#include "upload/upload.h"
#include "virtual/virtual.h"

#include <stdint.h>

enum {
    SERVICE_SKEW_WARN_MS = 5 * 60 * 1000,  // a clock so far off is worth a line in the log ...
    SERVICE_SKEW_FAIL_MS = 15 * 60 * 1000, // ... and so far off, signatures are refused (SigV4)
};

struct service {
    const struct options *options; // the caller's, outlives the service
    const struct clock *clock;
    struct http_client *http;
    struct s3_provider *provider;      // the service account's credentials
    struct s3_provider *link_provider; // presign_profile's, or NULL
    struct s3_client *client;
    struct s3_presigner *presigner; // NULL: links cannot be made
    struct registry_client *registry;
    struct public_key *verify_key; // or NULL
    struct tree *tree;
    struct status *status;
    struct record_cache *records;
    struct intents *intents;
    struct memory *memory;
    struct publish_engine *engine;
    struct store_place place; // what engine, uploads and copies work with
    struct scratch *scratch;
    struct upload_engine *uploads;
    struct copy_engine *copies;
    struct virtuals *virtuals;
    struct readers *readers;
    struct sweeper *sweeper;
    int64_t opened_ms;
};

// Finds credentials, asks the bucket for a listing, assumes the presigning role, starts the rest.
// Blocks; every failure is one sentence that says what to mend. Logs warnings (clock, how long
// links can live). Starts threads.
int service_open(const struct options *options, const struct clock *clock, struct call *call,
                 struct service **ret_service, struct err *err);
// Cancels publishes under way and waits until they have been undone. Accepts NULL and half-opened.
void service_close(struct service *service);
