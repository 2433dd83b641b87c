// Manifests, indexes and configs of images.

#include "fuzz.h"

#include "registry/manifest.h"

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct registry_platform platform = {.os = "linux", .architecture = "amd64"};
    struct manifest manifest = {0};
    struct image_config config;
    struct err err = {0};
    json_document_setup();
    if (registry_manifest_parse((const char *)bytes, size, NULL, &manifest, &err) == 0) {
        size_t entry = 0;
        if (manifest.is_index)
            (void)registry_manifest_choose(&manifest, &platform, &entry, &err);
        else
            (void)registry_manifest_check_image(&manifest, &err);
        registry_manifest_done(&manifest);
    }
    if (registry_config_parse((const char *)bytes, size, &config, &err) == 0)
        registry_config_done(&config);
    return 0;
}
