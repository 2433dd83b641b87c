#include "reference_writer.h"

#include "base/buf.h"
#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// A request that waits for a publish.
struct parked {
    writer_reply reply; // NULL: nobody waits
    void *context;
};

struct reference_writer {
    struct writer writer;
    struct publish_engine *engine;
    char *directory;
    char *name;
    struct audit_who who;

    pthread_mutex_t lock; // guards what follows
    struct buf bytes;     // what was there before (an append) and all that was written
    size_t base_size;     // of what was there before
    size_t acted_size;    // what stands before this is published, or was never to be
    unsigned acted_lines;
    size_t stored_size; // how much of `bytes` the object holds that this handle stored; 0: none
    char *own_etag;     // that object's
    int error;          // a handle that failed stays failed: -errno
    bool is_released;

    struct publish *publish; // under way, or NULL
    size_t publish_end;      // acted_size when it has succeeded
    struct parked parked;
};

static void writer_free(struct reference_writer *writer)
{
    pthread_mutex_destroy(&writer->lock);
    buf_done(&writer->bytes);
    free(writer->directory);
    free(writer->name);
    free(writer->own_etag);
    free(writer);
}

static unsigned count_lines(const char *bytes, size_t size)
{
    unsigned count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\n';
    return count;
}

// ---- acting on lines
// -----------------------------------------------------------------------------

static int fail_locked(struct reference_writer *writer, const struct err *err)
{
    publish_refuse(writer->engine, writer->directory, writer->name, writer->who, err);
    return writer->error = -err->errnum;
}

static void publish_done(void *context, int error, const struct err *err, const char *etag)
{
    (void)err; // the engine has said it
    struct reference_writer *writer = context;
    pthread_mutex_lock(&writer->lock);
    struct publish *publish = TAKE(writer->publish);
    struct parked parked = writer->parked;
    writer->parked = (struct parked){0};
    if (error) {
        writer->error = error;
    } else {
        writer->acted_lines += count_lines(writer->bytes.bytes + writer->acted_size,
                                           writer->publish_end - writer->acted_size);
        writer->acted_size = writer->stored_size = writer->publish_end;
        if (*etag) {
            free(writer->own_etag);
            writer->own_etag = strdup(etag);
        }
    }
    bool is_released = writer->is_released;
    pthread_mutex_unlock(&writer->lock);
    publish_unref(publish);
    if (parked.reply)
        parked.reply(parked.context, error);
    if (is_released)
        writer_free(writer);
}

// Acts on the lines in bytes [acted_size, end). Answers 0 with a publish under way (the caller
// parks its request), 1 where there was nothing to publish, or -errno.
static int act_locked(struct reference_writer *writer, size_t end)
{
    struct reference_line *lines = NULL;
    size_t line_count = 0;
    struct err err = {0};
    const char *begin = writer->bytes.bytes + writer->acted_size;
    if (writer->acted_size < writer->base_size) {
        err_set(
            &err, EINVAL,
            "the last line of %s, as it is there, has no newline: what is appended would become "
            "part of it; write the file anew, or publish from another one",
            writer->name);
        return fail_locked(writer, &err);
    }
    if (reference_file_parse(begin, end - writer->acted_size, writer->acted_lines + 1,
                             publish_engine_defaults(writer->engine), &lines, &line_count,
                             &err) < 0)
        return fail_locked(writer, &err);
    if (!line_count && !writer->stored_size && !writer->base_size) {
        // Comments alone publish and store nothing. Behind lines that are there they are stored.
        writer->acted_lines += count_lines(begin, end - writer->acted_size);
        writer->acted_size = end;
        return 1;
    }
    struct publish_request request = {
        .directory = writer->directory,
        .file = writer->name,
        .who = writer->who,
        .lines = lines,
        .line_count = line_count,
        .file_bytes = writer->bytes.bytes,
        .file_size = end,
        .own_etag = writer->own_etag,
        .done = publish_done,
        .context = writer,
    };
    writer->publish_end = end;
    if (publish_start(writer->engine, &request, &writer->publish, &err) < 0) {
        reference_lines_free(lines, line_count);
        return fail_locked(writer, &err);
    }
    return 0;
}

// ---- requests
// ------------------------------------------------------------------------------------

// Bytes that were written before and are written again: a stopped and continued cp.
static bool is_rewrite_locked(const struct reference_writer *writer, uint64_t offset,
                              const void *bytes, size_t size)
{
    return offset >= writer->base_size && offset + size <= writer->bytes.size &&
           memcmp(writer->bytes.bytes + offset, bytes, size) == 0;
}

// 0: parked. 1: answer success now. -errno: answer that.
static int take_write_locked(struct reference_writer *writer, uint64_t offset, const void *bytes,
                             size_t size)
{
    struct err err;
    if (writer->error)
        return writer->error;
    if (!size)
        return 1;
    if (offset < writer->bytes.size && is_rewrite_locked(writer, offset, bytes, size)) {
        if (!writer->publish)
            return 1;
        return writer->parked.reply ? -EBUSY : 0; // re-attached
    }
    if (writer->publish)
        return -EBUSY; // another write while one of this handle is under way
    if (offset != writer->bytes.size) {
        err_set(&err, EOPNOTSUPP,
                "%s is to be written from its beginning to its end: a write at byte %llu came when "
                "%zu were there",
                writer->name, (unsigned long long)offset, writer->bytes.size);
        return fail_locked(writer, &err);
    }
    if (buf_append(&writer->bytes, bytes, size) < 0) {
        err_set(&err, EFBIG, "%s is larger than %d bytes: split it into several files",
                writer->name, REFERENCE_FILE_LIMIT);
        return fail_locked(writer, &err);
    }
    const char *pending = writer->bytes.bytes + writer->acted_size;
    const char *newline = memrchr(pending, '\n', writer->bytes.size - writer->acted_size);
    return newline ? act_locked(writer, (size_t)(newline + 1 - writer->bytes.bytes)) : 1;
}

// Parks or answers as the result says; unlocks.
static void answer_and_unlock(struct reference_writer *writer, int result, writer_reply reply,
                              void *context)
{
    if (result == 0)
        writer->parked = (struct parked){reply, context};
    pthread_mutex_unlock(&writer->lock);
    if (result != 0)
        reply(context, result > 0 ? 0 : result);
}

static void take_write(struct writer *base, uint64_t offset, const void *bytes, size_t size,
                       writer_reply reply, void *context)
{
    struct reference_writer *writer = CONTAINER_OF(base, struct reference_writer, writer);
    pthread_mutex_lock(&writer->lock);
    answer_and_unlock(writer, take_write_locked(writer, offset, bytes, size), reply, context);
}

static int take_flush_locked(struct reference_writer *writer, bool is_close)
{
    if (writer->error)
        return writer->error;
    if (writer->publish && writer->parked.reply)
        return 1;                      // a close of another descriptor while the write still waits
    if (writer->publish && is_close) { // its write was interrupted, and nobody came back for it
        publish_cancel(writer->publish);
        return 0;
    }
    if (writer->publish)
        return 0;
    if (writer->bytes.size > writer->acted_size && writer->bytes.size > writer->base_size)
        return act_locked(writer, writer->bytes.size);
    // Comments behind the last published line.
    if (writer->stored_size && writer->bytes.size > writer->stored_size)
        return act_locked(writer, writer->bytes.size);
    return 1;
}

static void take_flush(struct writer *base, enum writer_flush how, writer_reply reply,
                       void *context)
{
    struct reference_writer *writer = CONTAINER_OF(base, struct reference_writer, writer);
    pthread_mutex_lock(&writer->lock);
    answer_and_unlock(writer, take_flush_locked(writer, how != WRITER_SYNC), reply, context);
}

static void take_interrupt(struct writer *base, void *context, int error)
{
    struct reference_writer *writer = CONTAINER_OF(base, struct reference_writer, writer);
    struct parked parked = {0};
    pthread_mutex_lock(&writer->lock);
    if (writer->parked.reply && writer->parked.context == context) {
        parked = writer->parked;
        writer->parked = (struct parked){0};
    }
    pthread_mutex_unlock(&writer->lock);
    if (parked.reply)
        parked.reply(parked.context, error);
}

static void take_release(struct writer *base, bool is_abandoned)
{
    (void)is_abandoned; // lines that nobody waits for are not published either way
    struct reference_writer *writer = CONTAINER_OF(base, struct reference_writer, writer);
    pthread_mutex_lock(&writer->lock);
    writer->is_released = true;
    bool is_idle = !writer->publish;
    if (!is_idle)
        publish_cancel(writer->publish);
    pthread_mutex_unlock(&writer->lock);
    if (is_idle)
        writer_free(writer);
}

// ---- making one --------------------------------------------------------------------------------

static const struct writer_methods methods = {
    .write = take_write,
    .flush = take_flush,
    .interrupt = take_interrupt,
    .release = take_release,
};

int reference_writer_new(const struct reference_writer_options *options, struct writer **ret_writer,
                         struct err *err)
{
    if (options->base_size > REFERENCE_FILE_LIMIT)
        return err_set(err, EFBIG, "%s is larger than %d bytes already", options->name,
                       REFERENCE_FILE_LIMIT);
    struct reference_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return err_no_memory(err);
    pthread_mutex_init(&writer->lock, NULL);
    writer->writer.methods = &methods;
    writer->engine = options->engine;
    writer->who = options->who;
    writer->directory = strdup(options->directory);
    writer->name = strdup(options->name);
    // A last line without its newline would be completed by what is written now: act_locked.
    const char *newline =
        options->base_size ? memrchr(options->base, '\n', options->base_size) : NULL;
    writer->base_size = options->base_size;
    writer->acted_size = newline ? (size_t)(newline + 1 - options->base) : 0;
    writer->acted_lines = count_lines(options->base, writer->acted_size);
    buf_init(&writer->bytes, REFERENCE_FILE_LIMIT);
    if (!writer->directory || !writer->name ||
        (options->base_size && buf_append(&writer->bytes, options->base, options->base_size) < 0)) {
        writer_free(writer);
        return err_no_memory(err);
    }
    *ret_writer = &writer->writer;
    return 0;
}
