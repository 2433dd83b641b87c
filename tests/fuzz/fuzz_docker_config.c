// docker's config.json and podman's auth.json.

#include "fuzz.h"

#include "registry/docker_login.h"

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const hosts[] = {"ghcr.io", "a.b", "docker.io", "localhost:5000"};
    json_document_setup();
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct docker_word word = {0};
        struct err err = {0};
        if (registry_docker_config_parse((const char *)bytes, size, hosts[i], "team/app", &word,
                                         &err) == 0)
            registry_login_done(&word.login);
    }
    return 0;
}
