// What credential_process and metadata services answer.

#include "fuzz.h"

#include "s3/credentials_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int kind = S3_JSON_PROCESS; kind <= S3_JSON_METADATA; kind++) {
        struct s3_credentials *credentials = NULL;
        struct err err = {0};
        if (s3_credentials_from_json((const char *)bytes, size, (enum s3_json_kind)kind,
                                     &credentials, &err) == 0)
            s3_credentials_unref(credentials);
    }
    return 0;
}
