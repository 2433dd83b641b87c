// archive_fixture.h - images without a registry, for the tests of the published object.
#pragma once

#include "registry.h"
#include "tests/unit/base/test.h"

#include <stdio.h>
#include <string.h>

enum { LAYERS_MAX = 40 };

static const char nothing[] =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// An image without a registry. Layers of the same id are the same blob.
struct fixture {
    struct registry_image image;
    struct registry_descriptor layers[LAYERS_MAX];
    char config[64];
    char manifest[64];
};

static inline void digest_of_id(unsigned id, char ret_digest[REGISTRY_DIGEST_SIZE])
{
    snprintf(ret_digest, REGISTRY_DIGEST_SIZE, "sha256:%064x", id);
}

static inline void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.config = "{\"config\":1}", .manifest = "{\"manifest\":2}"};
    struct registry_image *image = &fixture->image;
    image->layers = fixture->layers;
    image->platform = (struct registry_platform){.os = "linux", .architecture = "amd64"};
    image->config_bytes = fixture->config;
    image->config.size_bytes = strlen(fixture->config);
    digest_of_id(0xc0, image->config.digest);
    image->manifest_bytes = fixture->manifest;
    image->manifest.size_bytes = strlen(fixture->manifest);
    image->manifest.media_type = (char *)"application/vnd.oci.image.manifest.v1+json";
    digest_of_id(0xa0, image->manifest.digest);
}

static inline struct registry_descriptor *fixture_add_layer(struct fixture *fixture, unsigned id,
                                                            uint64_t size_bytes)
{
    struct registry_descriptor *layer = &fixture->layers[fixture->image.layer_count++];
    layer->size_bytes = size_bytes;
    digest_of_id(id, layer->digest);
    if (size_bytes == 0)
        memcpy(layer->digest, nothing, sizeof(nothing));
    return layer;
}

static inline struct archive *lay_out(const struct fixture *fixture, enum archive_format format)
{
    struct archive *archive = NULL;
    struct err err = {0};
    assert_int_equal(archive_new(&fixture->image, "runtime:main", format, &archive, &err), 0);
    return archive;
}

// What must hold of every layout.
static inline void check_layout(const struct archive *archive)
{
    uint64_t size = 0;
    uint64_t tar_size = 0;
    size_t blob_count = 0;
    for (size_t i = 0; i < archive->extent_count; i++) {
        const struct archive_extent *extent = &archive->extents[i];
        assert_int_equal(extent->offset, size);
        assert_true(extent->size > 0);
        assert_int_equal(archive_find(archive, size), i);
        assert_int_equal(archive_find(archive, size + extent->size - 1), i);
        if (extent->kind == ARCHIVE_BLOB) {
            assert_int_equal(extent->blob_index, blob_count);
            assert_int_equal(archive->blobs[blob_count].extent_index, i);
            assert_int_equal(archive->blobs[blob_count].descriptor.size_bytes,
                             extent->content_size);
            assert_int_equal(tar_size % 512, 0);
            blob_count++;
        }
        if (archive->format == ARCHIVE_FORMAT_TAR)
            assert_int_equal(extent->size, extent->content_size);
        size += extent->size;
        tar_size += extent->content_size;
    }
    assert_int_equal(blob_count, archive->blob_count);
    assert_int_equal(size, archive->size_bytes);
    assert_int_equal(tar_size, archive->tar_size_bytes);
    assert_int_equal(tar_size % 512, 0);
}
