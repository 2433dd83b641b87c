// The bytes that are taken: pieces, their memory and their way; what may happen next.
#include "upload_private.h"

#include "base/log.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

enum {
    PIECE_SIZE_FIRST = 8 * 1024 * 1024,
    PIECES_OF_A_SIZE = 1000,      // then the next are twice as large: nobody knows the file's size
    WRITE_SIZE_MAX = 1024 * 1024, // the kernel's
    // A piece that the next write does not fit into is sent as it is, and is to be a part.
    PIECE_SIZE_MIN = S3_PART_SIZE_MIN + WRITE_SIZE_MAX,
    CEILING_SHARE = 4, // of the memory ceiling that one piece may take
};

// ---- one upload's life -------------------------------------------------------------------------

void piece_free(struct piece *piece)
{
    if (!piece)
        return;
    memory_give_back(piece->upload->engine->place->memory, piece->bytes, piece->ticket.size);
    free(piece);
}

void upload_free(struct upload *upload)
{
    engine_forget(upload);
    piece_free(upload->filling);
    piece_free(upload->spare);
    write_intent_free(upload->intent);
    pthread_mutex_destroy(&upload->lock);
    free(upload->parts);
    free(upload->key);
    free(upload->directory);
    free(upload->name);
    engine_let_go(TAKE(upload->engine));
    free(upload);
}

// ---- taking bytes ------------------------------------------------------------------------------

bool upload_has_failed_locked(const struct upload *upload)
{
    return upload->err.errnum != 0;
}

// What waits for memory has no use for it any more, unless it is just being granted.
static void withdraw_locked(struct upload *upload)
{
    if (!upload->is_asking ||
        !memory_withdraw(upload->engine->place->memory, &upload->spare->ticket))
        return;
    upload->is_asking = false;
}

void upload_fail_locked(struct upload *upload, const struct err *err)
{
    if (upload_has_failed_locked(upload) || upload->phase == UPLOAD_DONE)
        return;
    upload->err = *err;
    call_cancel(&upload->call);
    withdraw_locked(upload);
}

static size_t piece_size(const struct upload *upload, size_t number)
{
    uint64_t most = memory_ceiling(upload->engine->place->memory) / CEILING_SHARE / MIB * MIB;
    uint64_t size = (uint64_t)PIECE_SIZE_FIRST << ((number - 1) / PIECES_OF_A_SIZE);
    if (most < PIECE_SIZE_MIN)
        most = PIECE_SIZE_MIN;
    return size < most ? size : most;
}

static void start_locked(struct upload *upload, struct task *task, void (*run)(struct task *))
{
    upload->running++;
    task->run = run;
    workers_add(upload->engine->workers, &upload->lane, task);
}

// A number, and a place for what the store will say of it.
static bool add_part_locked(struct upload *upload, struct piece *piece, struct err *err)
{
    if (upload->part_count == S3_PARTS_MAX) {
        err_set(err, EFBIG, "%s is larger than can be uploaded without knowing its size first",
                upload->name);
        return false;
    }
    if (upload->part_count == upload->part_room) {
        size_t room = upload->part_room ? 2 * upload->part_room : 16;
        struct s3_part *parts = realloc(upload->parts, room * sizeof(*parts));
        if (!parts) {
            err_no_memory(err);
            return false;
        }
        upload->parts = parts;
        upload->part_room = room;
    }
    piece->number = ++upload->part_count;
    return true;
}

// The piece being filled goes on its way.
static void send_locked(struct upload *upload)
{
    struct piece *piece = TAKE(upload->filling);
    struct err err;
    if (!add_part_locked(upload, piece, &err)) {
        upload_fail_locked(upload, &err);
        piece_free(piece);
        return;
    }
    if (upload->parts_state == UPLOAD_PARTS_BEGUN) {
        start_locked(upload, &piece->task, upload_run_piece);
        return;
    }
    piece->next = upload->waiting;
    upload->waiting = piece;
    if (upload->parts_state == UPLOAD_PARTS_NONE) {
        upload->parts_state = UPLOAD_PARTS_BEGINNING;
        start_locked(upload, &upload->task, upload_run_begin);
    }
}

static void memory_granted(struct memory_ticket *ticket, void *bytes);

// Asks for the next buffer, once the lock is gone.
static struct memory_ticket *make_spare_locked(struct upload *upload)
{
    struct err err;
    struct piece *piece = calloc(1, sizeof(*piece));
    if (!piece) {
        err_no_memory(&err);
        upload_fail_locked(upload, &err);
        return NULL;
    }
    piece->upload = upload;
    piece->ticket = (struct memory_ticket){.size = piece_size(upload, upload->part_count + 1),
                                           .granted = memory_granted};
    upload->spare = piece;
    upload->is_asking = true;
    return &piece->ticket;
}

static void fill(struct piece *piece, const uint8_t *bytes, size_t size) // NULL: zeros
{
    if (bytes && size)
        memcpy(piece->bytes + piece->size, bytes, size);
    else if (size)
        memset(piece->bytes + piece->size, 0, size);
    piece->size += size;
}

bool upload_has_write_locked(const struct upload *upload)
{
    return upload->write.reply && !upload->write.is_taken;
}

// Zeros that come before the waiting write's bytes, or before the end.
static uint64_t hole_locked(const struct upload *upload)
{
    uint64_t end = upload_has_write_locked(upload) ? upload->write.offset
                   : upload->is_closing            ? upload->grown_bytes
                                                   : 0;
    return end > upload->size_bytes ? end - upload->size_bytes : 0;
}

static void take_bytes_locked(struct upload *upload, const uint8_t *bytes, size_t size)
{
    struct piece *piece = upload->filling;
    const uint8_t *filled = piece->bytes + piece->size;
    fill(piece, bytes, size);
    sha256_update(&upload->sha256, filled, size);
    upload->size_bytes += size;
}

// Takes the waiting write's bytes, all or none (an interrupted one was not taken), and holes. A
// buffer that it does not fit into goes on its way first. Whoever kept it while it waits for the
// next would wait for ever, once such buffers are all the memory that there is. Answers with the
// ticket where there is no room yet.
static struct memory_ticket *take_locked(struct upload *upload)
{
    uint64_t hole;
    while ((hole = hole_locked(upload)) > 0 || upload_has_write_locked(upload)) {
        size_t room = upload->filling ? upload->filling->ticket.size - upload->filling->size : 0;
        if (upload->is_asking)
            return NULL;
        if (upload->filling && (room == 0 || (!hole && upload->write.size > room)))
            send_locked(upload);
        if (!upload->filling && !upload->spare)
            return upload_has_failed_locked(upload) ? NULL : make_spare_locked(upload);
        if (!upload->filling) {
            upload->filling = TAKE(upload->spare);
        } else if (hole) {
            take_bytes_locked(upload, NULL, hole < room ? hole : room);
        } else {
            take_bytes_locked(upload, upload->write.bytes, upload->write.size);
            upload->write.is_taken = true;
        }
    }
    return NULL;
}

// ---- what comes next ---------------------------------------------------------------------------

struct reply {
    writer_reply reply;
    void *context;
    int error;
};

// Answers what can be answered; at most the write and the flush.
static size_t collect_replies_locked(struct upload *upload, struct reply replies[2])
{
    size_t count = 0;
    bool is_taken = upload->write.is_taken;
    if (upload->write.reply && (is_taken || upload_has_failed_locked(upload))) {
        replies[count++] = (struct reply){upload->write.reply, upload->write.context,
                                          is_taken ? 0 : -upload->err.errnum};
        free(upload->write.bytes);
        memset(&upload->write, 0, sizeof(upload->write));
    }
    if (upload->flush.reply && upload->phase == UPLOAD_DONE) {
        replies[count++] =
            (struct reply){upload->flush.reply, upload->flush.context, -upload->err.errnum};
        memset(&upload->flush, 0, sizeof(upload->flush));
    }
    return count;
}

// What was closed has been taken, holes included: no more bytes come.
static void end_taking_locked(struct upload *upload)
{
    upload->phase = UPLOAD_COMPLETING;
    if (upload->filling && upload->parts_state != UPLOAD_PARTS_NONE)
        send_locked(upload);
    withdraw_locked(upload);
    if (!upload->is_asking)
        piece_free(TAKE(upload->spare));
}

// Begins the last step when everything before it has ended.
static void finish_locked(struct upload *upload)
{
    if (upload->phase == UPLOAD_TAKING && upload->is_closing && !upload_has_failed_locked(upload) &&
        !hole_locked(upload))
        end_taking_locked(upload);
    if (upload->running || upload->is_asking || upload->phase == UPLOAD_DONE)
        return;
    if (upload_has_failed_locked(upload))
        start_locked(upload, &upload->task, upload_run_undo);
    else if (upload->phase == UPLOAD_COMPLETING)
        start_locked(upload, &upload->task, upload_run_complete);
}

void upload_go_on_and_unlock(struct upload *upload)
{
    struct reply replies[2];
    struct memory_ticket *ticket = upload_has_failed_locked(upload) ? NULL : take_locked(upload);
    finish_locked(upload);
    size_t count = collect_replies_locked(upload, replies);
    bool is_over = upload->is_released && upload->phase == UPLOAD_DONE && !upload->running &&
                   !upload->is_asking;
    pthread_mutex_unlock(&upload->lock);
    for (size_t i = 0; i < count; i++)
        replies[i].reply(replies[i].context, replies[i].error);
    if (is_over)
        upload_free(upload);
    else if (ticket)
        memory_ask(upload->engine->place->memory, ticket);
}

static void memory_granted(struct memory_ticket *ticket, void *bytes)
{
    struct piece *piece = CONTAINER_OF(ticket, struct piece, ticket);
    struct upload *upload = piece->upload;
    struct err err;
    pthread_mutex_lock(&upload->lock);
    upload->is_asking = false;
    piece->bytes = bytes;
    if (!bytes) {
        err_no_memory(&err);
        upload_fail_locked(upload, &err);
    }
    upload_go_on_and_unlock(upload);
}

void upload_fail(struct upload *upload, const struct err *err)
{
    pthread_mutex_lock(&upload->lock);
    upload_fail_locked(upload, err);
    pthread_mutex_unlock(&upload->lock);
}

void upload_is_done(struct upload *upload)
{
    pthread_mutex_lock(&upload->lock);
    upload->phase = UPLOAD_DONE;
    pthread_mutex_unlock(&upload->lock);
}

void upload_task_ended(struct upload *upload)
{
    pthread_mutex_lock(&upload->lock);
    upload->running--;
    while (upload->parts_state == UPLOAD_PARTS_BEGUN && upload->waiting) {
        struct piece *piece = upload->waiting;
        upload->waiting = piece->next;
        start_locked(upload, &piece->task, upload_run_piece);
    }
    upload_go_on_and_unlock(upload);
}
