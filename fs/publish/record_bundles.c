#include "record_bundles.h"

#include "../workers.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/side_by_side.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    READERS = 8, // at once: a bundle in each, of up to BUNDLE_LIMIT
};

struct record_bundles {
    struct s3_client *client;
    const struct clock *clock;
    char *prefix;
    struct workers *writer;   // NULL: may not write
    struct call writing;      // of all that is written; cancelled by the end
    atomic_bool has_given_up; // writing is not allowed
    atomic_size_t pending_bytes;
};

// One bundle on its way to the store.
struct job {
    struct task task; // first: the two are one address
    struct record_bundles *bundles;
    char *object_key;
    struct buf text;
};

int record_bundles_new(struct s3_client *client, const struct clock *clock, const char *prefix,
                       bool may_write, struct record_bundles **ret_bundles, struct err *err)
{
    struct record_bundles *bundles = calloc(1, sizeof(*bundles));

    if (!bundles || !(bundles->prefix = strdup(prefix))) {
        free(bundles);
        return err_no_memory(err);
    }
    bundles->client = client;
    bundles->clock = clock;
    call_init(&bundles->writing, clock);
    int error = may_write ? workers_new("bundles", 1, &bundles->writer, err) : 0;
    if (error < 0) {
        record_bundles_free(bundles);
        return error;
    }
    *ret_bundles = bundles;
    return 0;
}

void record_bundles_free(struct record_bundles *bundles)
{
    if (!bundles)
        return;
    call_cancel(&bundles->writing);
    workers_free(bundles->writer);
    free(bundles->prefix);
    free(bundles);
}

// ---- reading -----------------------------------------------------------------------------------

struct reading {
    struct record_bundles *bundles;
    struct call *call;
    const char *directory;
    size_t count;
    const bool *is_wanted;
    void (*on_record)(void *context, struct record *record);
    void *context;
};

// -ENOENT where there is no such bundle.
static int read_bundle(const struct reading *reading, size_t index, size_t count)
{
    struct record_bundles *bundles = reading->bundles;
    auto_free char *object_key =
        bundle_object_key(bundles->prefix, reading->directory, index, count);
    auto_buf struct buf text = BUF_INIT(BUNDLE_LIMIT);
    struct err err = {0};

    if (!object_key)
        return -ENOMEM;
    int error =
        s3_object_get(bundles->client, reading->call, object_key, BUNDLE_LIMIT, &text, NULL, &err);
    if (error == 0 &&
        bundle_read(buf_text(&text), text.size, reading->on_record, reading->context) > 0)
        log_event(LOG_LEVEL_INFO, "a bundle of records is damaged, and will be made anew", "key",
                  object_key, NULL);
    else if (error < 0 && error != -ENOENT && error != -EINTR)
        log_err(LOG_LEVEL_INFO, "a bundle of records cannot be read", &err, "key", object_key,
                NULL);
    return error;
}

static void read_one(void *context, size_t index)
{
    const struct reading *reading = context;

    if (!reading->is_wanted[index])
        return;
    if (read_bundle(reading, index, reading->count) != -ENOENT || reading->count == 1)
        return;
    (void)read_bundle(reading, index % (reading->count / 2), reading->count / 2);
}

void record_bundles_read(struct record_bundles *bundles, struct call *call, const char *directory,
                         size_t count, const bool *is_wanted,
                         void (*on_record)(void *context, struct record *record), void *context)
{
    struct reading reading = {
        .bundles = bundles,
        .call = call,
        .directory = directory,
        .count = count,
        .is_wanted = is_wanted,
        .on_record = on_record,
        .context = context,
    };

    side_by_side(count, READERS, read_one, &reading);
}

// ---- writing -----------------------------------------------------------------------------------

static void job_free(struct job *job)
{
    atomic_fetch_sub(&job->bundles->pending_bytes, job->text.size);
    buf_done(&job->text);
    free(job->object_key);
    free(job);
}

static void write_bundle(struct task *task)
{
    struct job *job = (struct job *)task;
    struct record_bundles *bundles = job->bundles;
    struct http_piece body = {job->text.bytes, job->text.size};
    struct s3_put put = {
        .key = job->object_key,
        .body = &body,
        .body_count = 1,
        .content_type = "application/x-ndjson",
    };
    char etag[S3_ETAG_SIZE];
    struct err err = {0};

    if (!atomic_load(&bundles->has_given_up) && !atomic_load(&bundles->writing.is_cancelled) &&
        s3_object_put(bundles->client, &bundles->writing, &put, etag, &err) < 0 &&
        err.errnum != EINTR) {
        log_err(LOG_LEVEL_INFO, "a bundle of records cannot be kept: reading takes longer", &err,
                "key", job->object_key, NULL);
        if (err.errnum == EACCES)
            atomic_store(&bundles->has_given_up, true);
    }
    job_free(job);
}

// Takes the text's bytes.
static void write_later(struct record_bundles *bundles, const char *directory, size_t index,
                        size_t count, struct buf *text)
{
    struct job *job = calloc(1, sizeof(*job));
    char *object_key = bundle_object_key(bundles->prefix, directory, index, count);

    if (!job || !object_key) {
        free(job);
        free(object_key);
        return; // no memory: the next reader will make it
    }
    *job = (struct job){
        .task = {.run = write_bundle},
        .bundles = bundles,
        .object_key = object_key,
        .text = *text,
    };
    *text = BUF_INIT(text->limit);
    size_t pending = atomic_fetch_add(&bundles->pending_bytes, job->text.size);
    if (pending + job->text.size > BUNDLES_PENDING_BYTES)
        job_free(job);
    else
        workers_add(bundles->writer, NULL, &job->task);
}

// The records of one bundle; those that do not fit are read by themselves, each time.
static void write_one(struct record_bundles *bundles, const char *directory, size_t index,
                      size_t count, const struct bundled *all, size_t all_count)
{
    auto_buf struct buf text = BUF_INIT(BUNDLE_LIMIT);

    for (size_t i = 0; i < all_count; i++) {
        const struct record *record = all[i].record;
        if (record && bundle_index(record->key, count) == index)
            (void)bundle_append(&text, record);
    }
    if (text.size > 0)
        write_later(bundles, directory, index, count, &text);
}

void record_bundles_keep(struct record_bundles *bundles, const char *directory, size_t count,
                         const struct bundled *all, size_t all_count)
{
    size_t known[BUNDLE_COUNT_MAX] = {0};
    size_t lacking[BUNDLE_COUNT_MAX] = {0};

    if (!bundles->writer || atomic_load(&bundles->has_given_up))
        return;
    for (size_t i = 0; i < all_count; i++) {
        if (!all[i].record)
            continue;
        size_t index = bundle_index(all[i].record->key, count);
        known[index]++;
        lacking[index] += all[i].was_lacking;
    }
    for (size_t index = 0; index < count; index++) {
        if (lacking[index] > known[index] / BUNDLES_LACKING_SHARE)
            write_one(bundles, directory, index, count, all, all_count);
    }
}
