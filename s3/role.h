// role.h - the credentials of a role, as the sources of the chain ask for them.
#pragma once

#include "provider.h"
#include "sts.h"

// With the credentials `own`, or, where that is NULL, with assume->web_identity_token. A session
// name that is NULL becomes sts_session_name's. STS is asked in the chain's region, at its
// endpoint; a clock that is off is corrected for these requests alone. Errors: sts_assume_role's.
int s3_role_assume(const struct s3_chain *chain, struct s3_credentials *own,
                   const struct sts_assume *assume, struct s3_credentials **ret_credentials,
                   struct err *err);
