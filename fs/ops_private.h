// ops_private.h - what the files of the operations share; for ops*.c alone.
#pragma once

#include "base/call.h"
#include "base/err.h"
#include "base/log.h"
#include "handle.h"
#include "inode.h"
#include "ops.h"

#include <pthread.h>
#include <stdbool.h>

struct ops_call;
struct ops_parked;
struct ops_reading;
struct ops_reopening;

// Lock order: none of these locks is held while another is taken (but the readers', to abandon a
// read), or while anything is replied.
struct ops {
    struct service *service;
    struct inodes *inodes;
    struct handles *handles;
    struct misses *misses;
    struct inode_style style; // but for now_ms
    void (*on_ready)(void *context);
    void *on_ready_context;

    pthread_mutex_t lock; // guards what follows
    bool is_stopping;
    struct ops_call *calls;            // blocking now
    struct ops_parked *parked;         // waiting for a publish
    struct ops_reading *readings;      // waiting for bytes
    struct ops_reopening *reopenings;  // opens for writing that were sent back
    unsigned leaving;                  // answered, and still letting go of what they hold
    pthread_cond_t has_parked_changed; // one was handed in, or has let go of everything
    bool has_watcher;
    pthread_t watcher; // of waiting requests, for interrupts that libfuse does not tell of
    pthread_cond_t has_watched;
};

static inline struct ops *ops_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline struct inode *ops_inode(fuse_req_t req, fuse_ino_t id)
{
    return inode_of_id(ops_of(req)->inodes, id);
}

static inline struct handle *ops_handle(const struct fuse_file_info *file)
{
    return (struct handle *)(uintptr_t)file->fh; // NOLINT(performance-no-int-to-ptr)
}

// A request that blocks its thread: an interrupt or the mount's end cancels its call.
struct ops_call {
    struct call call;
    fuse_req_t req;
    struct ops_call *next; // guarded by ops->lock
    struct ops_call **at;
};
void ops_call_begin(struct ops_call *blocking, fuse_req_t req);
void ops_call_end(struct ops_call *blocking); // before the reply

// What everyday programs run into all the time is no news; what keeps the mount from working is.
enum log_level ops_loudness(int errnum);
// Logs the sentence with who asked and the path, as loud as the errno deserves; replies err's.
void ops_refuse(fuse_req_t req, const char *sentence, const struct err *err, const char *directory,
                const char *name);

// The answer to a lookup: the kernel asks for a file's name each time, so that nobody meets an
// inode that a write has locked.
struct fuse_entry_param ops_entry(struct ops *ops, struct inode *inode);
// The same in a listing (READDIRPLUS): kept for list_ttl, so that `ls -l` asks nothing more.
struct fuse_entry_param ops_listed_entry(struct ops *ops, struct inode *inode);
// Whether the name, whose entry was kept, leads to this object wrongly by now: ESTALE then makes
// the kernel look the name up again.
bool ops_is_entry_old(fuse_req_t req, const struct inode *inode);
void ops_reply_attr(fuse_req_t req, const struct inode *inode);

// EPERM where the name is a generated file's or the program's own directory, EROFS on a read-only
// mount, ENAMETOOLONG; 0 where something of that name may be made or changed.
int ops_check_name(struct ops *ops, const char *directory, const char *name, struct err *err);

// ops_directory.c
void ops_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file);
void ops_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                 struct fuse_file_info *file);
void ops_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                     struct fuse_file_info *file);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent_id, const char *name);

// ops_file.c
void ops_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file);
void ops_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
              struct fuse_file_info *file);
// Also releasedir.
void ops_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file);

// ops_read.c
void ops_read_object(fuse_req_t req, struct handle *handle, size_t size, off_t offset);
// Answers EINTR to those whose callers were interrupted, to all if the mount ends.
void ops_end_readings(struct ops *ops);

// ops_copy.c
void ops_copy_file_range(fuse_req_t req, fuse_ino_t from_id, off_t from_offset,
                         struct fuse_file_info *from, fuse_ino_t to_id, off_t to_offset,
                         struct fuse_file_info *to, size_t size, int flags);

// ops_audit.c
struct audit_who ops_who(fuse_req_t req);
// A line of the audit (audit.h) with who asked: what became of the file. err: NULL, or why it
// failed.
void ops_audit(fuse_req_t req, const char *sentence, const struct err *err, struct audit audit,
               const char *directory, const char *name);
// Whoever reads links can download until they expire: who got them, or would have, is kept in the
// log. err: NULL, or why not.
void ops_tell_hand_out(fuse_req_t req, const struct inode *inode, const struct err *err);

// ops_names.c
void ops_unlink(fuse_req_t req, fuse_ino_t parent_id, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent_id, const char *name, fuse_ino_t new_parent_id,
                const char *new_name, unsigned flags);
void ops_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent_id, const char *name);
void ops_mknod(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode, dev_t device);

// ops_symlink.c
void ops_readlink(fuse_req_t req, fuse_ino_t id);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent_id, const char *name);

// ops_xattr.c
void ops_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t id, size_t size);
void ops_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
                  int flags);
void ops_removexattr(fuse_req_t req, fuse_ino_t id, const char *name);

// ops_reopen.c
// What to answer to an open for writing of an inode that others may know: an errno. The caller's
// next looks at the name are given one of its own.
int ops_send_back(fuse_req_t req, struct inode *inode);
// That inode, handed out, where the caller was sent back for it; or NULL.
struct inode *ops_look_again(fuse_req_t req, const char *directory, const char *name);
void ops_has_come_back(struct ops *ops, const struct inode *inode);
void ops_forget_reopenings(struct ops *ops);

// ops_write.c
void ops_create(fuse_req_t req, fuse_ino_t parent_id, const char *name, mode_t mode,
                struct fuse_file_info *file);
// OPEN for writing.
void ops_open_writing(fuse_req_t req, struct inode *inode, struct fuse_file_info *file);
// SETATTR of a size, with the handle where there is one.
int ops_set_size(struct inode *inode, uint64_t size, const struct fuse_file_info *file,
                 struct err *err);
// The handle's writer, made by its first write, or because an empty file is to be stored; is_last:
// nobody has it open any more.
int ops_get_writer(fuse_req_t req, struct handle *handle, uint64_t offset, bool is_last,
                   struct writer **ret_writer, struct err *err);
// The caller has a generated file of that name open, and writes it elsewhere: a copy that needs no
// storing.
bool ops_is_regenerated(fuse_req_t req, const char *directory, const char *name);
// Makes it the handle's writer, unless that has one by now: *ret_writer is the handle's.
void ops_set_writer(struct handle *handle, struct writer *writer, struct writer **ret_writer);
// writer_prepare, cancelled by an interrupt of the request.
int ops_prepare(fuse_req_t req, struct writer *writer, bool is_write, struct err *err);
void ops_write(fuse_req_t req, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
               struct fuse_file_info *file);
// A request that will be answered by the writer: parked, then given to it with ops_answer and the
// parked request, then told that it was.
struct ops_parked *ops_park(fuse_req_t req, struct handle *handle, struct writer *writer);
void ops_handed_in(struct ops_parked *parked);
void ops_answer(void *parked, int error); // a writer_reply
// The mount ends: returns when every parked request has been answered and has let go.
void ops_answer_parked(struct ops *ops);
int ops_start_watcher(struct ops *ops, struct err *err);
void ops_stop_watcher(struct ops *ops); // is_stopping is set

// ops_close.c
void ops_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file);
void ops_fsync(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *file);
// RELEASE: what is stored although nothing was written.
void ops_finish_writing(fuse_req_t req, struct handle *handle);
// Waits, a moment, for a name that was closed and is about to be stored; NULL: for all of the
// directory. false: there is none.
bool ops_await_name(struct ops *ops, struct call *call, const char *directory, const char *name);
