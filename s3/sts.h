// sts.h - temporary credentials from STS. Spec: AssumeRole of the STS API reference, 2011-06-15.
#pragma once

#include "service.h"

enum {
    STS_DURATION_MIN_S = 900,      // what STS takes at the least ...
    STS_DURATION_CHAINED_S = 3600, // ... what a role may get when another assumes it ...
    STS_DURATION_MAX_S = 43200,    // ... and at the most
};

struct sts_assume {
    const char *role_arn;
    const char *session_name; // 2 to 64 of [A-Za-z0-9_=,.@-]
    int duration_s;           // 0: what STS takes by itself, an hour
    const char *policy;       // compact JSON, NULL for none
    const char *external_id;  // NULL for none; not with a token
    // An OpenID Connect token: then it is AssumeRoleWithWebIdentity, which nobody signs. NULL
    // for AssumeRole.
    const struct secret *web_identity_token;
};

// The form is sent with %20 for a space, never '+': some stores read a '+' as itself, and then
// pass over the policy. Errors: EACCES (the role does not trust these credentials), EINVAL
// (refused as it stands: a duration past the role's maximum, a policy it cannot read; some
// stores answer so for an unknown role too), what request.h says.
int sts_assume_role(struct s3_service *sts, struct call *call, const struct sts_assume *assume,
                    struct s3_credentials **ret_credentials, struct err *err);

// "prereleasefs-HOST", what CloudTrail will show; characters that STS does not take become '-'.
enum { STS_SESSION_NAME_SIZE = 65 };
void sts_session_name(const char *host, char ret_name[STS_SESSION_NAME_SIZE]);

// The partition of a role's ARN ("aws"; of Ceph's arn:aws:iam:::role/NAME too). NULL where the
// text is no ARN. malloc'ed; -ENOMEM shows as NULL as well.
char *sts_arn_partition(const char *arn);
