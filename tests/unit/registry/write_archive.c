// write_archive BLOBS MANIFEST-DIGEST TAG tar|tar.gz OUTPUT
//
// Writes the published object of an image whose blobs are files in the directory BLOBS, named by
// the hex of their digests: what the program makes, without registry and S3. For tests that
// give it to other programs. Reads layers as it goes; holds none in memory, and leaves holes in
// OUTPUT for windows of zeros, so that huge layers can be tried.
#include "base/buf.h"
#include "base/scope.h"
#include "registry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_SIZE = 1000003 }; // bytes; prime, so that windows end anywhere

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "write_archive: %s: %s\n", what, why);
    _exit(1);
}

static FILE *blob_open(const char *blobs, const char *digest)
{
    auto_free char *path = NULL;
    if (asprintf(&path, "%s/%s", blobs, digest + strlen("sha256:")) < 0)
        fail(digest, "out of memory");
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path, "cannot be opened");
    return file;
}

static char *blob_text(const char *blobs, const char *digest)
{
    struct buf text = BUF_INIT(REGISTRY_CONFIG_LIMIT);
    char bytes[65536];
    size_t count;
    FILE *file = blob_open(blobs, digest);
    while ((count = fread(bytes, 1, sizeof(bytes), file)) > 0)
        buf_append(&text, bytes, count);
    fclose(file);
    char *taken = buf_take(&text);
    if (!taken)
        fail(digest, "too large");
    return taken;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void read_descriptor(const json_t *object, struct registry_descriptor *descriptor)
{
    snprintf(descriptor->digest, sizeof(descriptor->digest), "%s", text_at(object, "digest"));
    descriptor->size_bytes = (uint64_t)json_integer_value(json_object_get(object, "size"));
    descriptor->media_type = strdup(text_at(object, "mediaType"));
}

static void read_image(const char *blobs, const char *digest, struct registry_image *image)
{
    image->manifest_bytes = blob_text(blobs, digest);
    snprintf(image->manifest.digest, sizeof(image->manifest.digest), "%s", digest);
    image->manifest.size_bytes = strlen(image->manifest_bytes);
    json_t *manifest = json_loads(image->manifest_bytes, 0, NULL);
    const char *media_type = text_at(manifest, "mediaType");
    image->manifest.media_type =
        strdup(*media_type ? media_type : "application/vnd.oci.image.manifest.v1+json");

    read_descriptor(json_object_get(manifest, "config"), &image->config);
    image->config_bytes = blob_text(blobs, image->config.digest);
    json_t *config = json_loads(image->config_bytes, 0, NULL);
    struct registry_platform *platform = &image->platform;
    snprintf(platform->os, sizeof(platform->os), "%s", text_at(config, "os"));
    snprintf(platform->architecture, sizeof(platform->architecture), "%s",
             text_at(config, "architecture"));
    snprintf(platform->variant, sizeof(platform->variant), "%s", text_at(config, "variant"));
    json_decref(config);

    const json_t *layers = json_object_get(manifest, "layers");
    image->layer_count = json_array_size(layers);
    image->layers = calloc(image->layer_count + 1, sizeof(*image->layers));
    for (size_t i = 0; i < image->layer_count; i++)
        read_descriptor(json_array_get(layers, i), &image->layers[i]);
    json_decref(manifest);
}

static void image_done(struct registry_image *image)
{
    for (size_t i = 0; i < image->layer_count; i++)
        free(image->layers[i].media_type);
    free(image->layers);
    free(image->config.media_type);
    free(image->config_bytes);
    free(image->manifest.media_type);
    free(image->manifest_bytes);
}

static void add_crc32(void *context, const uint8_t *bytes, size_t size)
{
    uint32_t *crc32 = context;
    *crc32 = archive_crc32(*crc32, bytes, size);
}

static void write_blob_window(const struct archive *archive, size_t index, uint64_t offset,
                              uint64_t size, FILE *blob, uint8_t *window)
{
    uint64_t blob_offset = 0;
    uint64_t blob_size = 0;
    archive_blob_range(archive, index, offset, size, &blob_offset, &blob_size);
    struct archive_writer writer;
    archive_writer_init(&writer, archive, index, offset, size, window);
    while (blob_size > 0) {
        char bytes[30011];
        size_t count = blob_size < sizeof(bytes) ? (size_t)blob_size : sizeof(bytes);
        if (fread(bytes, 1, count, blob) != count)
            fail("a blob", "too short");
        if (archive_writer_take(&writer, bytes, count) != 0)
            fail("archive_writer_take", "refused");
        blob_size -= count;
    }
    if (writer.offset != writer.end)
        fail("archive_writer", "not full");
}

static void write_window(FILE *output, const uint8_t *window, size_t size)
{
    static const uint8_t zeros[WINDOW_SIZE];
    if (size == WINDOW_SIZE && memcmp(window, zeros, size) == 0) {
        fseeko(output, WINDOW_SIZE, SEEK_CUR);
        return;
    }
    if (fwrite(window, 1, size, output) != size)
        fail("output", "cannot be written");
}

static void write_extent(const struct archive *archive, size_t index, const char *blobs,
                         uint32_t *crc32, FILE *output)
{
    static uint8_t window[WINDOW_SIZE];
    const struct archive_extent *extent = &archive->extents[index];
    FILE *blob = NULL;
    if (extent->kind == ARCHIVE_BLOB)
        blob = blob_open(blobs, archive->blobs[extent->blob_index].descriptor.digest);
    for (uint64_t done = 0; done < extent->size;) {
        uint64_t offset = extent->offset + done;
        uint64_t count = extent->size - done < WINDOW_SIZE ? extent->size - done : WINDOW_SIZE;
        if (blob)
            write_blob_window(archive, index, offset, count, blob, window);
        else
            archive_render(archive, index, offset, count, *crc32, window);
        archive_content(archive, index, offset, count, window, add_crc32, crc32);
        write_window(output, window, (size_t)count);
        done += count;
    }
    if (blob)
        fclose(blob);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        fail("usage", "BLOBS MANIFEST-DIGEST TAG tar|tar.gz OUTPUT");
    struct registry_image image = {0};
    read_image(argv[1], argv[2], &image);
    bool is_gzip = strcmp(argv[4], "tar.gz") == 0;
    struct archive *archive = NULL;
    struct err err = {0};
    if (archive_new(&image, argv[3], is_gzip ? ARCHIVE_FORMAT_TAR_GZ : ARCHIVE_FORMAT_TAR, &archive,
                    &err) != 0)
        fail("archive_new", err.text);
    FILE *output = fopen(argv[5], "wb");
    if (!output)
        fail(argv[5], "cannot be written");
    uint32_t crc32 = 0;
    for (size_t i = 0; i < archive->extent_count; i++)
        write_extent(archive, i, argv[1], &crc32, output);
    if ((uint64_t)ftello(output) != archive->size_bytes || fclose(output) != 0)
        fail(argv[5], "has another size than was laid out");
    archive_free(archive);
    image_done(&image);
    return 0;
}
