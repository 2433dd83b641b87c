// snapshot_fixture.h - a build of two images and a document, for the renderers' tests. Include
// after cmocka.h.
#pragma once

#include "base/scope.h"
#include "fs/virtual/snapshot.h"
#include "tests/unit/fs/record_fixture.h"

#include <errno.h>

#define FIXTURE_NOW_MS (FIXTURE_PUBLISHED_MS + 3600 * 1000) // 2026-11-21T02:16:33Z
#define FIXTURE_EXPIRES_MS (FIXTURE_NOW_MS + 43080 * 1000)  // 2026-11-21T14:14:33Z
#define FIXTURE_URL(key)                                                                           \
    "https://bucket.s3.eu-west-1.amazonaws.com/" key "?X-Amz-Date=1&X-Amz-Signature=abc"

struct fixture {
    struct record *records[2];
    struct snapshot_file files[3];
    struct snapshot snapshot;
};

static inline void fixture_init(struct fixture *fixture)
{
    static const char *const names[][3] = {
        {"notes & <plans>.pdf", "notes____plans_.pdf", FIXTURE_URL("notes.pdf")},
        {"runtime-api:latest.tar.gz", "runtime-api_latest.tar.gz",
         FIXTURE_URL("api%3Alatest.tar.gz")},
        {"runtime:main.tar", "runtime_main.tar", FIXTURE_URL("runtime%3Amain.tar")},
    };
    *fixture = (struct fixture){
        .snapshot =
            {
                .directory = "jps/fix-login/abc1234",
                .branch = "jps/fix-login",
                .build = "abc1234",
                .now_ms = FIXTURE_NOW_MS,
                .files = fixture->files,
                .file_count = 3,
                .origin = "https://bucket.s3.eu-west-1.amazonaws.com:443",
                .bucket = "bucket",
                .version = "0.1.0",
            },
    };
    for (size_t i = 0; i < 3; i++) {
        struct snapshot_file *file = &fixture->files[i];
        *file = (struct snapshot_file){
            .name = names[i][0],
            .download_name = names[i][1],
            .size_bytes = 1000000,
            .modified_ms = FIXTURE_PUBLISHED_MS,
            .etag = "\"e\"",
            .url = names[i][2],
            .expires_ms = FIXTURE_EXPIRES_MS,
        };
        if (i == 0)
            continue;
        fixture->records[i - 1] = fixture_record(file->name, "\"e\"");
        file->record = fixture->records[i - 1];
    }
    fixture->files[0].size_bytes = 512;
    fixture->records[0]->format = ARCHIVE_FORMAT_TAR_GZ;
}

static inline void fixture_done(struct fixture *fixture)
{
    record_free(fixture->records[0]);
    record_free(fixture->records[1]);
}

// What does not fit is refused.
static inline void check_limit(int (*render)(const struct snapshot *snapshot, struct buf *ret_bytes,
                                             struct err *err),
                               size_t limit)
{
    struct fixture fixture;
    auto_buf struct buf text = BUF_INIT(limit);
    struct err err = {0};
    fixture_init(&fixture);
    assert_int_equal(render(&fixture.snapshot, &text, &err), -EFBIG);
    fixture_done(&fixture);
}
