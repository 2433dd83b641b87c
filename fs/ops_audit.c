#include "ops_private.h"

#include "base/scope.h"
#include "caller.h"
#include "path.h"

#include <stdlib.h>

struct audit_who ops_who(fuse_req_t req)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    pid_t process = caller_process(caller->pid);
    return (struct audit_who){caller->uid, process ? process : caller->pid};
}

void ops_audit(fuse_req_t req, const char *sentence, const struct err *err, struct audit audit,
               const char *directory, const char *name)
{
    auto_free char *path = path_join(directory, name);
    audit.who = ops_who(req);
    audit.path = path;
    enum log_level level = err ? ops_loudness(err->errnum) : LOG_LEVEL_INFO;
    audit_tell(level == LOG_LEVEL_DEBUG ? LOG_LEVEL_INFO : level, sentence, err, &audit);
}

void ops_tell_hand_out(fuse_req_t req, const struct inode *inode, const struct err *err)
{
    ops_audit(req, err ? "links not handed out" : "links handed out", err,
              (struct audit){.act = "links", .outcome = "handed-out"}, inode->directory,
              inode->name);
}
