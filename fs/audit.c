#include "audit.h"

#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *outcome_of(const struct audit *audit, const struct err *err)
{
    if (!err)
        return audit->outcome;
    bool is_wanted = err->errnum == EINTR || err->errnum == ECANCELED || err->errnum == ESHUTDOWN;
    return is_wanted ? "cancelled" : "failed";
}

void audit_tell(enum log_level level, const char *sentence, const struct err *err,
                const struct audit *audit)
{
    char uid[12], pid[12];
    snprintf(uid, sizeof(uid), "%u", (unsigned)audit->who.uid);
    snprintf(pid, sizeof(pid), "%d", (int)audit->who.pid);
    const struct log_pair pairs[] = {
        {"audit", audit->act},
        {"outcome", outcome_of(audit, err)},
        {"errno", err ? strerrorname_np(err->errnum) : NULL},
        {"uid", uid},
        {"pid", pid},
        {"bytes", audit->bytes},
        {"digest", audit->digest},
        {"path", audit->path},
        {"file", audit->file},
        {"reference", audit->reference},
        {"from", audit->from},
        {"to", audit->to},
        {"cause", err ? err->text : NULL},
    };
    log_always(level, sentence, pairs, ARRAY_SIZE(pairs));
}
