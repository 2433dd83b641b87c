// All uploads of a mount.
#include "upload_private.h"

#include <stdlib.h>
#include <string.h>

int upload_engine_new(struct store_place *place, struct upload_engine **ret_engine, struct err *err)
{
    struct upload_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return err_no_memory(err);
    engine->place = place;
    pthread_mutex_init(&engine->lock, NULL);
    call_wait_init(&engine->has_ended);
    if (workers_new("file", place->parallel, &engine->workers, err) < 0) {
        upload_engine_free(engine);
        return -err->errnum;
    }
    *ret_engine = engine;
    return 0;
}

void upload_engine_free(struct upload_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    for (struct upload *upload = engine->first; upload; upload = upload->next)
        call_cancel(&upload->call);
    while (engine->alive)
        pthread_cond_wait(&engine->has_ended, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
    workers_free(engine->workers);
    pthread_cond_destroy(&engine->has_ended);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

void engine_hold(struct upload_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->alive++;
    pthread_mutex_unlock(&engine->lock);
}

void engine_let_go(struct upload_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->alive--;
    pthread_cond_broadcast(&engine->has_ended);
    pthread_mutex_unlock(&engine->lock);
}

void engine_remember(struct upload *upload)
{
    struct upload_engine *engine = upload->engine;
    pthread_mutex_lock(&engine->lock);
    upload->next = engine->first;
    upload->at = &engine->first;
    if (engine->first)
        engine->first->at = &upload->next;
    engine->first = upload;
    pthread_mutex_unlock(&engine->lock);
}

void engine_forget(struct upload *upload)
{
    struct upload_engine *engine = upload->engine;
    pthread_mutex_lock(&engine->lock);
    if (upload->at) {
        *upload->at = upload->next;
        if (upload->next)
            upload->next->at = upload->at;
    }
    pthread_mutex_unlock(&engine->lock);
}

// The engine's lock comes before an upload's.
static bool is_ending_locked(struct upload_engine *engine, const char *directory, const char *name)
{
    bool is_ending = false;
    for (struct upload *upload = engine->first; upload && !is_ending; upload = upload->next) {
        if ((name && strcmp(upload->name, name) != 0) || strcmp(upload->directory, directory) != 0)
            continue;
        pthread_mutex_lock(&upload->lock);
        is_ending = upload->is_released || upload->is_last;
        pthread_mutex_unlock(&upload->lock);
    }
    return is_ending;
}

bool upload_engine_wait(struct upload_engine *engine, struct call *call, const char *directory,
                        const char *name, int64_t limit_ms)
{
    const struct clock *clock = clock_system();
    int64_t until_ms = clock_monotonic_ms(clock) + limit_ms;
    bool has_waited = false;
    pthread_mutex_lock(&engine->lock);
    while (is_ending_locked(engine, directory, name) && clock_monotonic_ms(clock) < until_ms &&
           call_wait(call, &engine->has_ended, &engine->lock))
        has_waited = true;
    pthread_mutex_unlock(&engine->lock);
    return has_waited;
}
