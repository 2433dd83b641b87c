#include "intents.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/scope.h"
#include "intent.h"
#include "intent_list.h"
#include "intent_sweep.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct intents {
    struct intent_origin self;
    struct intent_place place;
    char mount[INTENT_ID_SIZE];
    atomic_bool is_refusal_told; // that they cannot be stored
    atomic_bool is_off;          // they cannot be deleted: none is stored any more
    struct call sweeping;
    bool is_sweeping; // the thread is to be joined
    pthread_t sweeper;
};

// Who moves next with the stored object: whoever declares; its writer; whoever ends it.
enum write_intent_state {
    WRITE_INTENT_NONE,
    WRITE_INTENT_STORING,
    WRITE_INTENT_STORED,
    WRITE_INTENT_UNSURE, // storing it failed, and it may be there
    WRITE_INTENT_REFUSED,
};

struct write_intent {
    struct intents *intents;
    struct intent intent;
    size_t name_capacity;
    char *object_key;
    atomic_int_fast64_t doubted_ms; // monotonic, when last; 0: never

    pthread_mutex_t lock; // guards what follows
    pthread_cond_t is_decided;
    enum write_intent_state state;
};

static int random_id(char ret_id[INTENT_ID_SIZE], struct err *err)
{
    uint8_t random[(INTENT_ID_SIZE - 1) / 2];
    if (!digest_random(random, sizeof(random)))
        return err_set(err, EIO, "the kernel gives no random bytes");
    digest_hex(random, sizeof(random), ret_id);
    return 0;
}

// ---- the mount's -------------------------------------------------------------------------------

int intents_new(const struct intents_options *options, struct intents **ret_intents,
                struct err *err)
{
    struct intents *intents = calloc(1, sizeof(*intents));
    if (!intents)
        return err_no_memory(err);
    intent_origin_read(&intents->self);
    intents->place = (struct intent_place){
        .client = options->client,
        .clock = options->clock,
        .prefix = options->prefix,
        .self = &intents->self,
    };
    call_init(&intents->sweeping, options->clock);
    if (random_id(intents->mount, err) < 0) {
        free(intents);
        return -err->errnum;
    }
    *ret_intents = intents;
    return 0;
}

static void *sweep(void *argument)
{
    struct intents *intents = argument;
    struct err err = {0};
    int error = intent_sweep_run(&intents->place, &intents->sweeping, &err);
    if (error == 0)
        log_event(LOG_LEVEL_DEBUG, "looked for uploads of mounts that were killed", NULL);
    else if (error != -EINTR)
        log_err(LOG_LEVEL_WARN,
                "uploads of mounts that were killed are left to the next mount, or to the "
                "bucket's lifecycle rule",
                &err, NULL);
    return NULL;
}

void intents_sweep(struct intents *intents)
{
    sigset_t all, before;
    sigfillset(&all); // signals stay with the threads that wait for them
    pthread_sigmask(SIG_SETMASK, &all, &before);
    intents->is_sweeping = pthread_create(&intents->sweeper, NULL, sweep, intents) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!intents->is_sweeping)
        log_event(LOG_LEVEL_WARN, "no thread to look for uploads of mounts that were killed", NULL);
}

void intents_free(struct intents *intents)
{
    if (!intents)
        return;
    if (intents->is_sweeping) {
        call_cancel(&intents->sweeping);
        pthread_join(intents->sweeper, NULL);
    }
    free(intents);
}

// ---- a write's ---------------------------------------------------------------------------------

int write_intent_new(struct intents *intents, const char *directory,
                     struct write_intent **ret_intent, struct err *err)
{
    struct write_intent *own = calloc(1, sizeof(*own));
    if (!own)
        return err_no_memory(err);
    pthread_mutex_init(&own->lock, NULL);
    call_wait_init(&own->is_decided);
    char id[INTENT_ID_SIZE];
    int error = random_id(id, err);
    own->intents = intents;
    own->intent.origin = intents->self;
    memcpy(own->intent.mount, intents->mount, sizeof(own->intent.mount));
    own->intent.program = strdup(PRERELEASEFS_VERSION);
    own->intent.directory = strdup(directory);
    own->object_key =
        error == 0 ? intent_object_key(intents->place.prefix, intents->self.host, id) : NULL;
    if (error == 0 && (!own->intent.program || !own->intent.directory || !own->object_key))
        error = err_no_memory(err);
    if (error < 0) {
        write_intent_free(own);
        return error;
    }
    *ret_intent = own;
    return 0;
}

int write_intent_add(struct write_intent *own, const char *name, struct err *err)
{
    struct intent *intent = &own->intent;
    if (intent->name_count == own->name_capacity) {
        size_t capacity = 2 * own->name_capacity + 4;
        char **names = reallocarray(intent->names, capacity, sizeof(*names));
        if (!names)
            return err_no_memory(err);
        intent->names = names;
        own->name_capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return err_no_memory(err);
    intent->names[intent->name_count++] = copy;
    return 0;
}

void write_intent_free(struct write_intent *own)
{
    if (!own)
        return;
    intent_done(&own->intent);
    free(own->object_key);
    pthread_cond_destroy(&own->is_decided);
    pthread_mutex_destroy(&own->lock);
    free(own);
}

// ---- storing -----------------------------------------------------------------------------------

static int store(struct write_intent *own, struct call *call, struct err *err)
{
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    if (intent_format(&own->intent, &json, err) < 0)
        return -err->errnum;
    const struct http_piece body = {json.bytes, json.size};
    const struct s3_put put = {
        .key = own->object_key,
        .body = &body,
        .body_count = 1,
        .content_type = "application/json",
    };
    char etag[S3_ETAG_SIZE];
    return s3_object_put(own->intents->place.client, call, &put, etag, err);
}

static enum write_intent_state store_or_tell(struct write_intent *own, struct call *call)
{
    struct err err = {0};
    int error = store(own, call, &err);
    if (error == 0)
        return WRITE_INTENT_STORED;
    if (error != -EINTR && !atomic_exchange(&own->intents->is_refusal_told, true))
        log_err(LOG_LEVEL_WARN,
                "cannot note in the bucket what is uploaded: if this mount is killed, its uploads "
                "are left to the bucket's lifecycle rule",
                &err, "key", own->object_key, NULL);
    bool is_refused = err.http_status >= 400 && err.http_status < 500;
    return is_refused ? WRITE_INTENT_REFUSED : WRITE_INTENT_UNSURE;
}

// True for the one who is to store it.
static bool begin_storing(struct write_intent *own, struct call *call)
{
    pthread_mutex_lock(&own->lock);
    bool is_first = own->state == WRITE_INTENT_NONE;
    if (is_first)
        own->state = WRITE_INTENT_STORING;
    while (!is_first && own->state == WRITE_INTENT_STORING &&
           call_wait(call, &own->is_decided, &own->lock))
        ;
    pthread_mutex_unlock(&own->lock);
    return is_first;
}

void write_intent_declare(struct write_intent *own, struct call *call)
{
    if (atomic_load(&own->intents->is_off) || !begin_storing(own, call))
        return;
    enum write_intent_state state = store_or_tell(own, call);
    pthread_mutex_lock(&own->lock);
    own->state = state;
    pthread_cond_broadcast(&own->is_decided);
    pthread_mutex_unlock(&own->lock);
}

void write_intent_doubt(struct write_intent *own)
{
    atomic_store(&own->doubted_ms, clock_monotonic_ms(own->intents->place.clock));
}

// ---- the end -----------------------------------------------------------------------------------

// Aborts what nobody has the id of: what this write's intent covers and no other's does. False
// where that may not be all: a request whose reply was lost a moment ago may still be on its way,
// and what another write may own as well, of this mount or of another, is left alone.
static bool look_for_doubted(struct write_intent *own, struct call *call)
{
    const struct intent_place *place = &own->intents->place;
    struct intent_list list = {0};
    struct err err = {0};
    int error = intent_list_find(place, call, own->object_key, &list, &err);
    bool is_settled = false;
    if (error == 0 && list.count > 0) {
        struct intent_suspect self = {
            .object_key = own->object_key,
            .written_ms = list.items[0].written_ms,
            .intent = &own->intent,
        };
        error = intent_sweep_abort(place, call, &self, 1, &err);
        int64_t since_ms = clock_monotonic_ms(place->clock) - atomic_load(&own->doubted_ms);
        is_settled = error == 0 && !self.is_unclear &&
                     (self.aborted_count > 0 || since_ms >= INTENT_SETTLE_MS);
    }
    intent_list_done(&list);
    if (error < 0)
        log_err(LOG_LEVEL_WARN, "an upload may be left for the next mount to abort", &err,
                "directory", own->intent.directory, NULL);
    return is_settled;
}

// Looks again after a while: the other write may just be deleting its intent.
static bool settle_doubts(struct write_intent *own, struct call *call)
{
    enum { LOOKS = 3 };
    struct err err;
    for (int look = 1; !look_for_doubted(own, call); look++)
        if (look == LOOKS || intent_sweep_wait(&own->intents->place, call, &err) < 0)
            return false;
    return true;
}

static void delete_object(struct write_intent *own, struct call *call)
{
    struct err err = {0};
    int error = s3_object_delete(own->intents->place.client, call, own->object_key, &err);
    if (error == 0)
        return;
    // More of them would be left with every write.
    bool is_off = error == -EACCES || error == -EPERM;
    if (is_off && atomic_exchange(&own->intents->is_off, true))
        return;
    log_err(LOG_LEVEL_WARN,
            is_off ? "cannot delete from the bucket the note of what is uploaded, so none is "
                     "written from now on: if this mount is killed, its uploads are left to the "
                     "bucket's lifecycle rule"
                   : "the note of what is uploaded is left for the next mount to delete",
            &err, "key", own->object_key, NULL);
}

void write_intent_end(struct write_intent *own, struct call *call, bool has_uploads)
{
    pthread_mutex_lock(&own->lock);
    enum write_intent_state state = own->state;
    pthread_mutex_unlock(&own->lock);
    bool is_there = state == WRITE_INTENT_STORED || state == WRITE_INTENT_UNSURE;
    if (!is_there || has_uploads)
        return;
    if (atomic_load(&own->doubted_ms) == 0 || settle_doubts(own, call))
        delete_object(own, call);
}
