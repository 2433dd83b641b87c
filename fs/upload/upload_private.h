// upload_private.h - what upload.c (the bytes that are taken), upload_writer.c (what a program does
// with its file) and upload_store.c (requests to the store) share.
#pragma once

#include "upload.h"

#include "../memory.h"
#include "../publish/completion.h"
#include "../publish/intents.h"
#include "../workers.h"
#include "base/call.h"
#include "base/digest.h"
#include "s3.h"

#include <pthread.h>

struct upload_engine {
    struct store_place *place;
    struct workers *workers;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t has_ended;
    struct upload *first; // all that can be asked for
    size_t alive;         // all that still use what the engine has
};

// A buffer of the file.
struct piece {
    struct task task;
    struct memory_ticket ticket;
    struct upload *upload;
    struct piece *next; // while it waits for the upload to begin
    uint8_t *bytes;
    size_t size;   // filled so far, of ticket.size
    size_t number; // from 1, once it is on its way
};

enum upload_phase {
    UPLOAD_TAKING,     // bytes
    UPLOAD_COMPLETING, // there will be no more
    UPLOAD_DONE,       // it is there, or never will be
};

enum upload_parts { UPLOAD_PARTS_NONE, UPLOAD_PARTS_BEGINNING, UPLOAD_PARTS_BEGUN };

struct upload {
    struct writer writer;
    struct upload_engine *engine;
    struct upload *next, **at; // the engine's list, its lock
    char *directory;
    char *name;
    char *key;
    struct write_intent *intent;
    struct audit_who who;
    char token[COMPLETION_TOKEN_SIZE]; // of the object's metadata, once parts have begun
    struct call call;                  // taking and sending; cancelled by the first failure
    struct call closing_call;          // completing and undoing
    struct lane lane;
    struct task task;       // the one step that is not a piece's: begin, complete, undo
    struct s3_upload store; // once parts have begun

    pthread_mutex_t lock; // guards what follows
    enum upload_phase phase;
    enum upload_parts parts_state;
    struct err err; // the first failure: it stays failed
    bool is_fresh;
    bool is_last; // about to be released
    bool is_touched;
    bool is_exclusive;
    bool is_read_too;
    bool is_released;
    bool is_late_told;     // that bytes came when it was stored
    struct piece *filling; // NULL: none yet
    struct piece *spare;   // the next one
    bool is_asking;        // for the spare's memory
    struct piece *waiting; // full, the newest first, until the multipart upload has begun
    bool is_unchanged;     // the same bytes stood there
    size_t running;        // tasks
    uint64_t size_bytes;   // taken
    uint64_t grown_bytes;  // ftruncate: it is to be at least so large in the end
    bool is_closing;       // zeros are taken up to there, then it is completed
    struct sha256 sha256;  // of them
    struct s3_part *parts; // by number - 1
    size_t part_count;
    size_t part_room;

    struct { // a write that waits for memory; reply NULL: none
        writer_reply reply;
        void *context;
        uint8_t *bytes;
        size_t size;
        uint64_t offset;
        bool is_behind_hole; // which is taken first
        bool is_taken;
    } write;
    struct { // a flush that waits for completion
        writer_reply reply;
        void *context;
    } flush;
};

// upload.c: what a task may call, and how it ends: its last touch of the upload.
void upload_fail(struct upload *upload, const struct err *err);
void upload_task_ended(struct upload *upload);
void upload_is_done(struct upload *upload);
void piece_free(struct piece *piece); // accepts NULL

// upload.c, for upload_writer.c.
bool upload_has_failed_locked(const struct upload *upload);
bool upload_has_write_locked(const struct upload *upload); // one waits that is not taken yet
void upload_fail_locked(struct upload *upload, const struct err *err);
// Whoever changed something looks at what may happen now. Unlocks; may free the upload: all that
// still needs it (its open handle, tasks, a ticket) is counted in what is looked at.
void upload_go_on_and_unlock(struct upload *upload);
void upload_free(struct upload *upload);

// upload_engine.c. Held from an upload's beginning to its very end, in the list in between.
void engine_hold(struct upload_engine *engine);
void engine_let_go(struct upload_engine *engine);
void engine_remember(struct upload *upload);
void engine_forget(struct upload *upload);

// upload_store.c: tasks
void upload_run_begin(struct task *task);
void upload_run_piece(struct task *task);
void upload_run_complete(struct task *task);
void upload_run_undo(struct task *task);
