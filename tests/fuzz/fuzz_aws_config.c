// ~/.aws/config and ~/.aws/credentials.

#include "fuzz.h"

#include "s3/aws_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct aws_config *config = NULL;
    struct err err = {0};
    if (aws_config_parse((const char *)bytes, size, "file", &config, &err) < 0)
        return 0;
    const char *section = aws_config_section(config, "profile", "a");
    if (section)
        (void)aws_config_get(config, section, "region");
    (void)aws_config_get_nested(config, "default", "s3", "endpoint_url");
    aws_config_free(config);
    return 0;
}
