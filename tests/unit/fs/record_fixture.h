// record_fixture.h - records for tests. Include after cmocka.h.
#pragma once

#include "fs/publish/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_HEX "9c9a3ce0f1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbcc"
#define FIXTURE_DIGEST "sha256:" FIXTURE_HEX
#define FIXTURE_REFERENCE "ghcr.io/all-hands-ai/runtime:174c691-nikolaik"
#define FIXTURE_PUBLISHED_MS INT64_C(1795223793000) // 2026-11-21T01:16:33Z

static inline void fixture_layer(struct record_layer *layer, uint64_t offset, bool has_midstate)
{
    memcpy(layer->digest, FIXTURE_DIGEST, sizeof(layer->digest));
    layer->size_bytes = 1000;
    layer->offset = offset;
    layer->blob_offset = offset + 512;
    layer->media_type = strdup("application/vnd.oci.image.layer.v1.tar+gzip");
    layer->has_midstate = has_midstate;
    if (has_midstate) {
        layer->midstate.sha256.size_bytes = offset;
        for (uint32_t i = 0; i < 8; i++)
            layer->midstate.sha256.words[i] = i * UINT32_C(0x11111111);
    }
}

// With two layers, the second of which has a midstate. The caller frees it.
static inline struct record *fixture_record(const char *key, const char *etag)
{
    struct record *record = calloc(1, sizeof(*record));
    assert_non_null(record);
    record->key = strdup(key);
    record->etag = strdup(etag);
    record->size_bytes = 1000000;
    memcpy(record->sha256, FIXTURE_HEX, sizeof(record->sha256));
    record->has_image = true;
    record->format = ARCHIVE_FORMAT_TAR;
    record->reference = strdup(FIXTURE_REFERENCE);
    record->tag = strdup(FIXTURE_REFERENCE);
    memcpy(record->source_digest, FIXTURE_DIGEST, sizeof(record->source_digest));
    memcpy(record->manifest_digest, FIXTURE_DIGEST, sizeof(record->manifest_digest));
    memcpy(record->config_digest, FIXTURE_DIGEST, sizeof(record->config_digest));
    record->platform = strdup("linux/amd64");
    record->layer_count = 2;
    record->layers = calloc(2, sizeof(*record->layers));
    fixture_layer(&record->layers[0], 0, false);
    fixture_layer(&record->layers[1], 2048, true);
    record->published_ms = FIXTURE_PUBLISHED_MS;
    record->publisher_host = strdup("build-7.example.com");
    record->publisher_uid = 1000;
    record->version = strdup("0.1.0");
    return record;
}
