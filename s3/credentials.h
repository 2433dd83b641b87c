// credentials.h - what of credentials only the S3 room may see: the secrets themselves.
//
// A value is immutable once made and counted by references, so that a request goes on signing
// with what it was given while the provider has long renewed. See s3.h for new, ref and unref.
#pragma once

#include "base/scope.h"
#include "s3.h"

const struct secret *s3_credentials_secret_key(const struct s3_credentials *credentials);
const struct secret *
s3_credentials_session_token(const struct s3_credentials *credentials); // or NULL

// Access key, secret key and session token are the same. Either may be NULL.
bool s3_credentials_equal(const struct s3_credentials *a, const struct s3_credentials *b);

DEFINE_SCOPE_CLEANUP(s3_credentials, struct s3_credentials, s3_credentials_unref)
#define auto_credentials AUTO(s3_credentials_scope)
