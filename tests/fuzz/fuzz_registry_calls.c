// What a registry, its token server and its storage answer while an image is resolved and a layer
// read.

#include "answers.h"

#include "registry.h"

#include "base/http.h"

#include <stdlib.h>
#include <string.h>

static const char *no_variable(const char *name)
{
    return strcmp(name, "GITHUB_TOKEN") == 0 ? "token" : NULL;
}

static int sink(void *context, const void *bytes, size_t size)
{
    (void)bytes;
    *(size_t *)context += size;
    return 0;
}

static void resolve(struct registry_client *client, struct call *call, const char *text)
{
    static const struct registry_platforms platforms = {
        .list = {{"linux", "amd64", ""}, {"linux", "arm64", "v8"}}, .count = 2};
    struct registry_reference reference;
    struct registry_image *image = NULL;
    struct err err = {0};
    char digest[REGISTRY_DIGEST_SIZE];
    if (registry_reference_parse(text, &reference, &err) < 0)
        return;
    (void)registry_digest_resolve(client, call, &reference, digest, &err);
    if (registry_image_resolve(client, call, &reference, &platforms, &image, &err) == 0 &&
        image->layer_count > 0) {
        size_t total = 0;
        (void)registry_blob_read(client, call, &reference, &image->layers[0], 0,
                                 image->layers[0].size_bytes, sink, &total, &err);
        if (total > image->layers[0].size_bytes)
            abort();
    }
    // Whatever the registry says, on its own: a blob of ten bytes, from the third on.
    struct registry_descriptor blob = {.size_bytes = 10};
    size_t total = 0;
    memcpy(blob.digest, "sha256:", 7);
    memset(blob.digest + 7, 'a', 64);
    (void)registry_blob_read(client, call, &reference, &blob, 3, 5, sink, &total, &err);
    if (total > 5)
        abort();
    registry_image_free(image);
    registry_reference_done(&reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *reference = answers_begin(bytes, size);
    struct registry_client *client = NULL;
    struct call call;
    struct err err = {0};
    answers_call(&call);
    const struct registry_options options = {
        .http = (struct http_client *)&call, // never looked into: nothing is sent
        .clock = &answers_clock,
        .docker_config = "/nonexistent",
        .environment = no_variable,
    };
    if (registry_client_new(&options, &client, &err) < 0)
        abort();
    resolve(client, &call, reference);
    registry_client_free(client);
    answers_end();
    return 0;
}
