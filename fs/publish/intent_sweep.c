#include "intent_sweep.h"

#include "../first_failure.h"
#include "../path.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/side_by_side.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASKED_AT_ONCE = 8,
    UPLOADS_SEEN_MAX = 100 * 1000, // of one listing, which holds longer keys too
    LOOK_AT_CLOCK_MS = 100,
};

// ---- suspects ----------------------------------------------------------------------------------

void intent_suspects_free(struct intent_suspect *suspects, size_t count)
{
    for (size_t i = 0; suspects && i < count; i++) {
        free(suspects[i].object_key);
        intent_free(suspects[i].intent);
    }
    free(suspects);
}

static int take_dead(struct intent_list *list, struct intent_suspect **ret_suspects,
                     size_t *ret_count, struct err *err)
{
    struct intent_suspect *suspects = calloc(list->count + 1, sizeof(*suspects));
    size_t count = 0;
    if (!suspects)
        return err_no_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        struct intent_stored *stored = &list->items[i];
        if (!stored->is_dead)
            continue;
        struct intent_suspect *suspect = &suspects[count++];
        suspect->object_key = TAKE(stored->object_key);
        suspect->written_ms = stored->written_ms;
        suspect->intent = TAKE(stored->intent);
    }
    *ret_suspects = suspects;
    *ret_count = count;
    return 0;
}

int intent_sweep_find(const struct intent_place *place, struct call *call,
                      struct intent_suspect **ret_suspects, size_t *ret_count, struct err *err)
{
    auto_free char *folder = intent_prefix(place->prefix, place->self->host);
    struct intent_list list = {0};
    if (!folder)
        return err_no_memory(err);
    int error = intent_list_find(place, call, folder, &list, err);
    if (error == 0)
        error = intent_list_read(place, call, &list, err);
    if (error == 0)
        error = take_dead(&list, ret_suspects, ret_count, err);
    intent_list_done(&list);
    return error;
}

// ---- their uploads -----------------------------------------------------------------------------

// An upload that may be a suspect's.
struct stray {
    struct intent_suspect *suspect;
    char *key;
    char *id;
    int64_t initiated_ms;
    const struct stray *twin; // the same upload, found for another suspect; NULL: none before this
    bool is_claimed;          // it may as well be that of a process that lives
    bool is_aborted;
};

struct hunt {
    const struct intent_place *place;
    struct call *call;
    struct intent_suspect *suspects;
    size_t suspect_count;
    struct first_failure failure;

    pthread_mutex_t lock; // guards what follows, and what the suspects' are filled with
    struct stray *strays;
    size_t stray_count;
    size_t stray_capacity;
};

static void set_unclear(struct hunt *hunt, struct intent_suspect *suspect, const struct err *err)
{
    pthread_mutex_lock(&hunt->lock);
    suspect->is_unclear = true;
    pthread_mutex_unlock(&hunt->lock);
    if (err)
        first_failure_note(&hunt->failure, err);
}

// Takes over the texts. False where there is no room.
static bool add_stray_locked(struct hunt *hunt, struct stray stray)
{
    if (hunt->stray_count == hunt->stray_capacity) {
        size_t capacity = 2 * hunt->stray_capacity + 16;
        struct stray *strays = reallocarray(hunt->strays, capacity, sizeof(*strays));
        hunt->strays = strays ? strays : hunt->strays;
        hunt->stray_capacity = strays ? capacity : hunt->stray_capacity;
    }
    if (stray.key && stray.id && hunt->stray_count < hunt->stray_capacity &&
        hunt->stray_count < INTENT_STRAYS_MAX) {
        hunt->strays[hunt->stray_count++] = stray;
        return true;
    }
    free(stray.key);
    free(stray.id);
    return false;
}

// One listing of the uploads of one key.
struct look {
    struct hunt *hunt;
    struct intent_suspect *suspect;
    const char *key;
    size_t seen_count;
};

static int on_upload(void *context, const struct s3_upload *upload, int64_t initiated_ms)
{
    struct look *look = context;
    if (++look->seen_count > UPLOADS_SEEN_MAX)
        return -EFBIG;
    if (strcmp(upload->key, look->key) != 0 ||
        initiated_ms < look->suspect->written_ms - INTENT_CLOCKS_APART_MS)
        return 0;
    const struct stray stray = {
        .suspect = look->suspect,
        .key = strdup(upload->key),
        .id = strdup(upload->id),
        .initiated_ms = initiated_ms,
    };
    pthread_mutex_lock(&look->hunt->lock);
    bool is_added = add_stray_locked(look->hunt, stray);
    pthread_mutex_unlock(&look->hunt->lock);
    return is_added ? 0 : -ENOMEM;
}

static void look_at_name(struct hunt *hunt, struct intent_suspect *suspect, const char *name)
{
    struct err err = {0};
    auto_free char *key = path_key(hunt->place->prefix, suspect->intent->directory, name);
    if (key && strlen(key) > S3_KEY_SIZE_MAX) // no upload can have it
        return;
    struct look look = {.hunt = hunt, .suspect = suspect, .key = key};
    int error =
        key ? s3_multipart_list(hunt->place->client, hunt->call, key, on_upload, &look, &err)
            : err_no_memory(&err);
    if (error < 0)
        set_unclear(hunt, suspect, &err);
}

// The i-th of all suspects' names.
static void look_at(void *context, size_t i)
{
    struct hunt *hunt = context;
    struct intent_suspect *suspect = hunt->suspects;
    for (; i >= suspect->intent->name_count; suspect++)
        i -= suspect->intent->name_count;
    if (first_failure_is_final(&hunt->failure))
        set_unclear(hunt, suspect, NULL);
    else
        look_at_name(hunt, suspect, suspect->intent->names[i]);
}

static void list_strays(struct hunt *hunt)
{
    size_t name_count = 0;
    for (size_t i = 0; i < hunt->suspect_count; i++) {
        hunt->suspects[i].is_unclear = false;
        name_count += hunt->suspects[i].intent->name_count;
    }
    side_by_side(name_count, ASKED_AT_ONCE, look_at, hunt);
}

// ---- who else may own them ---------------------------------------------------------------------

static bool names_key(const struct intent *intent, const char *mount_prefix, const char *key)
{
    size_t prefix_size = strlen(mount_prefix);
    size_t directory_size = strlen(intent->directory);
    if (strncmp(key, mount_prefix, prefix_size) != 0 ||
        strncmp(key + prefix_size, intent->directory, directory_size) != 0)
        return false;
    const char *name = key + prefix_size + directory_size;
    if (directory_size > 0 && *name++ != '/')
        return false;
    for (size_t i = 0; i < intent->name_count; i++)
        if (strcmp(intent->names[i], name) == 0)
            return true;
    return false;
}

static void claim(struct hunt *hunt, const char *mount_prefix, const struct intent_stored *stored)
{
    if (stored->is_dead || (!stored->intent && !stored->is_newer))
        return;
    for (size_t i = 0; i < hunt->stray_count; i++) {
        struct stray *stray = &hunt->strays[i];
        if (stray->initiated_ms >= stored->written_ms - INTENT_CLOCKS_APART_MS &&
            (stored->is_newer || names_key(stored->intent, mount_prefix, stray->key)))
            stray->is_claimed = true;
    }
}

static bool is_suspect(const struct hunt *hunt, const char *object_key)
{
    for (size_t i = 0; i < hunt->suspect_count; i++)
        if (strcmp(hunt->suspects[i].object_key, object_key) == 0)
            return true;
    return false;
}

// Of a list only those that can own any of the strays: they alone need to be read.
static void keep_claimants(const struct hunt *hunt, struct intent_list *list)
{
    int64_t oldest_ms = clock_now_ms(hunt->place->clock) - INTENT_CLAIM_MAX_MS;
    int64_t latest_ms = oldest_ms;
    for (size_t i = 0; i < hunt->stray_count; i++)
        if (hunt->strays[i].initiated_ms + INTENT_CLOCKS_APART_MS > latest_ms)
            latest_ms = hunt->strays[i].initiated_ms + INTENT_CLOCKS_APART_MS;
    size_t kept_count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct intent_stored *stored = &list->items[i];
        if (stored->written_ms >= oldest_ms && stored->written_ms <= latest_ms &&
            !is_suspect(hunt, stored->object_key))
            list->items[kept_count++] = *stored;
        else
            free(stored->object_key);
    }
    list->count = kept_count;
}

// Lets all mounts with that prefix claim what may be theirs.
static int ask_mounts(struct hunt *hunt, const char *mount_prefix, struct err *err)
{
    auto_free char *folder = intent_prefix(mount_prefix, NULL);
    struct intent_list list = {0};
    if (!folder)
        return err_no_memory(err);
    int error = intent_list_find(hunt->place, hunt->call, folder, &list, err);
    if (error == 0) {
        keep_claimants(hunt, &list);
        error = intent_list_read(hunt->place, hunt->call, &list, err);
    }
    for (size_t i = 0; error == 0 && i < list.count; i++)
        claim(hunt, mount_prefix, &list.items[i]);
    intent_list_done(&list);
    // An account that may not look outside its own prefix has that to itself.
    if (error == -EACCES && strcmp(mount_prefix, hunt->place->prefix) != 0) {
        log_err(LOG_LEVEL_DEBUG, "intents of mounts with another prefix cannot be seen", err,
                "prefix", mount_prefix, NULL);
        return 0;
    }
    return error;
}

// A mount can have any of the directories above as its prefix, from the bucket's root down to the
// suspect's own.
static int ask_along(struct hunt *hunt, const struct intent_suspect *suspect, struct err *err)
{
    auto_free char *path = path_list_prefix(hunt->place->prefix, suspect->intent->directory);
    size_t size = 0;
    for (;;) {
        auto_free char *mount_prefix = path ? strndup(path, size) : NULL;
        if (!mount_prefix)
            return err_no_memory(err);
        int error = ask_mounts(hunt, mount_prefix, err);
        if (error < 0 || !path[size])
            return error;
        size += strcspn(path + size, "/") + 1;
    }
}

static bool has_strays(const struct hunt *hunt, const struct intent_suspect *suspect)
{
    for (size_t i = 0; i < hunt->stray_count; i++)
        if (hunt->strays[i].suspect == suspect)
            return true;
    return false;
}

static bool is_asked_already(const struct hunt *hunt, const struct intent_suspect *suspect)
{
    for (const struct intent_suspect *before = hunt->suspects; before < suspect; before++)
        if (strcmp(before->intent->directory, suspect->intent->directory) == 0 &&
            has_strays(hunt, before))
            return true;
    return false;
}

static int ask_all(struct hunt *hunt, struct err *err)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < hunt->suspect_count; i++) {
        const struct intent_suspect *suspect = &hunt->suspects[i];
        if (has_strays(hunt, suspect) && !is_asked_already(hunt, suspect))
            error = ask_along(hunt, suspect, err);
    }
    return error;
}

// ---- aborting ----------------------------------------------------------------------------------

static int abort_stray(struct hunt *hunt, const struct stray *stray, struct err *err)
{
    auto_free struct s3_upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return err_no_memory(err);
    snprintf(upload->key, sizeof(upload->key), "%s", stray->key);
    snprintf(upload->id, sizeof(upload->id), "%s", stray->id);
    if (s3_multipart_abort(hunt->place->client, hunt->call, upload, err) < 0)
        return -err->errnum;
    char pid[24];
    snprintf(pid, sizeof(pid), "%" PRId64, stray->suspect->intent->origin.pid);
    log_event(LOG_LEVEL_INFO, "aborted an upload that nobody goes on with", "key", stray->key,
              "pid", pid, "mount", stray->suspect->intent->mount, NULL);
    return 0;
}

static void settle_stray(void *context, size_t i)
{
    struct hunt *hunt = context;
    struct stray *stray = &hunt->strays[i];
    struct err err = {0};
    if (stray->is_claimed)
        log_event(LOG_LEVEL_DEBUG, "an upload that may be a living mount's is left alone", "key",
                  stray->key, NULL);
    if (stray->is_claimed || stray->twin || first_failure_is_final(&hunt->failure))
        return;
    stray->is_aborted = abort_stray(hunt, stray, &err) == 0;
    if (!stray->is_aborted)
        first_failure_note(&hunt->failure, &err);
}

static void find_twins(struct hunt *hunt)
{
    for (size_t i = 1; i < hunt->stray_count; i++)
        for (size_t k = 0; k < i && !hunt->strays[i].twin; k++)
            if (strcmp(hunt->strays[k].id, hunt->strays[i].id) == 0 &&
                strcmp(hunt->strays[k].key, hunt->strays[i].key) == 0)
                hunt->strays[i].twin = &hunt->strays[k];
}

static void settle_strays(struct hunt *hunt)
{
    find_twins(hunt);
    side_by_side(hunt->stray_count, ASKED_AT_ONCE, settle_stray, hunt);
    for (size_t i = 0; i < hunt->stray_count; i++) {
        const struct stray *stray = &hunt->strays[i];
        if (stray->twin ? stray->twin->is_aborted : stray->is_aborted)
            stray->suspect->aborted_count++;
        else
            stray->suspect->is_unclear = true;
    }
}

int intent_sweep_abort(const struct intent_place *place, struct call *call,
                       struct intent_suspect *suspects, size_t count, struct err *err)
{
    struct hunt hunt = {
        .place = place,
        .call = call,
        .suspects = suspects,
        .suspect_count = count,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    first_failure_init(&hunt.failure);
    list_strays(&hunt);
    struct err ask_err = {0};
    if (hunt.stray_count > 0 && ask_all(&hunt, &ask_err) < 0) {
        // Without knowing whose they may be, none is touched.
        for (size_t i = 0; i < hunt.stray_count; i++)
            set_unclear(&hunt, hunt.strays[i].suspect, &ask_err);
    } else {
        settle_strays(&hunt);
    }
    for (size_t i = 0; i < hunt.stray_count; i++) {
        free(hunt.strays[i].key);
        free(hunt.strays[i].id);
    }
    free(hunt.strays);
    pthread_mutex_destroy(&hunt.lock);
    return first_failure_take(&hunt.failure, err);
}

// ---- all of it ---------------------------------------------------------------------------------

int intent_sweep_wait(const struct intent_place *place, struct call *call, struct err *err)
{
    int64_t until_ms = clock_monotonic_ms(place->clock) + INTENT_SETTLE_MS;
    while (clock_monotonic_ms(place->clock) < until_ms)
        if (!call_sleep(call, LOOK_AT_CLOCK_MS))
            return err_set(err, EINTR, "cancelled");
    return 0;
}

static int delete_clear(const struct intent_place *place, struct call *call,
                        const struct intent_suspect *suspects, size_t count, struct err *err)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < count; i++)
        if (!suspects[i].is_unclear)
            error = s3_object_delete(place->client, call, suspects[i].object_key, err);
    return error;
}

static int sweep_twice(const struct intent_place *place, struct call *call,
                       struct intent_suspect *suspects, size_t count, struct err *err)
{
    int error = intent_sweep_abort(place, call, suspects, count, err);
    if (error == -EACCES || error == -EINTR)
        return error;
    error = intent_sweep_wait(place, call, err);
    if (error < 0)
        return error;
    error = intent_sweep_abort(place, call, suspects, count, err);
    struct err delete_err = {0};
    if (delete_clear(place, call, suspects, count, &delete_err) < 0 && error == 0) {
        *err = delete_err;
        return -err->errnum;
    }
    return error;
}

int intent_sweep_run(const struct intent_place *place, struct call *call, struct err *err)
{
    struct intent_suspect *suspects = NULL;
    size_t count = 0;
    int error = intent_sweep_find(place, call, &suspects, &count, err);
    if (error == 0 && count > 0)
        error = sweep_twice(place, call, suspects, count, err);
    intent_suspects_free(suspects, count);
    return error;
}
