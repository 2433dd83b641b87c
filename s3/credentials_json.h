// credentials_json.h - credentials as JSON, the way processes and metadata services hand them out:
// {"AccessKeyId": "...", "SecretAccessKey": "...", "Token": "...", "Expiration": "RFC 3339"}.
#pragma once

#include "credentials.h"

enum s3_json_kind {
    S3_JSON_PROCESS,  // "Version": 1 is demanded, and the token is called SessionToken
    S3_JSON_METADATA, // "Code" and "Message" may say that there are none
};

// Total. EPROTO where they are not there whole, with a sentence that quotes nothing of them.
// Token and Expiration may be absent.
int s3_credentials_from_json(const char *bytes, size_t size, enum s3_json_kind kind,
                             struct s3_credentials **ret_credentials, struct err *err);
