#include "intent_list.h"

#include "../first_failure.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/side_by_side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_AT_ONCE = 8 };

void intent_list_done(struct intent_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].object_key);
        intent_free(list->items[i].intent);
    }
    free(list->items);
    *list = (struct intent_list){0};
}

static int add_page(struct intent_list *list, const struct s3_page *page, const char *folder,
                    struct err *err)
{
    if (list->count + page->object_count > INTENTS_MAX)
        return err_set(err, EFBIG, "more than %d objects stand below %s", INTENTS_MAX, folder);
    struct intent_stored *items =
        reallocarray(list->items, list->count + page->object_count + 1, sizeof(*items));
    if (!items)
        return err_no_memory(err);
    list->items = items;
    for (size_t i = 0; i < page->object_count; i++) {
        char *key = strdup(page->objects[i].key);
        if (!key)
            return err_no_memory(err);
        items[list->count++] = (struct intent_stored){
            .object_key = key,
            .written_ms = page->objects[i].modified_ms,
        };
    }
    return 0;
}

int intent_list_find(const struct intent_place *place, struct call *call, const char *folder,
                     struct intent_list *list, struct err *err)
{
    auto_free char *token = NULL;
    int error;
    do {
        struct s3_page page = {0};
        error = s3_list_page(place->client, call, folder, NULL, NULL, token, S3_LIST_PAGE_KEYS,
                             &page, err);
        if (error < 0)
            return error;
        error = add_page(list, &page, folder, err);
        free(token);
        token = TAKE(page.next_token);
        s3_page_done(&page);
    } while (error == 0 && token);
    return error;
}

// ---- reading -----------------------------------------------------------------------------------

static bool is_dead(const struct intent_place *place, const struct intent_stored *stored)
{
    const struct intent_origin *origin = &stored->intent->origin;
    struct intent_witness witness = {
        .self = place->self,
        .booted_ms = clock_now_ms(place->clock) - intent_uptime_ms(),
    };
    if (origin->pid_namespace == place->self->pid_namespace)
        witness.process = intent_process_look(origin->pid, &witness.started_ticks);
    return intent_origin_is_dead(origin, stored->written_ms, &witness);
}

struct reading {
    const struct intent_place *place;
    struct call *call;
    struct intent_list *list;
    struct first_failure failure;
};

static void read_one(void *context, size_t i)
{
    struct reading *reading = context;
    struct intent_stored *stored = &reading->list->items[i];
    struct err err = {0};
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    if (first_failure_is_final(&reading->failure))
        return;
    int error = s3_object_get(reading->place->client, reading->call, stored->object_key,
                              INTENT_LIMIT, &json, NULL, &err);
    if (error == -ENOENT) // its write has ended
        return;
    bool is_read = error == 0;
    if (is_read)
        error = intent_parse(buf_text(&json), json.size, &stored->intent, &err);
    if (error == -ENOMEM || (!is_read && error != -EFBIG)) {
        first_failure_note(&reading->failure, &err);
        return;
    }
    stored->is_newer = error == -EPROTONOSUPPORT;
    stored->is_dead = error == 0 && is_dead(reading->place, stored);
    if (error < 0)
        log_err(LOG_LEVEL_DEBUG, "an intent cannot be read and is left alone", &err, "key",
                stored->object_key, NULL);
}

int intent_list_read(const struct intent_place *place, struct call *call, struct intent_list *list,
                     struct err *err)
{
    struct reading reading = {.place = place, .call = call, .list = list};
    first_failure_init(&reading.failure);
    side_by_side(list->count, READ_AT_ONCE, read_one, &reading);
    return first_failure_take(&reading.failure, err);
}
