#include "base/json.h"

#include "base/secret.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

// Where memory is out, jansson fails as if the document were wrong, or not at all.
static _Thread_local bool memory_was_out;

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL)
        memory_was_out = true;
    return memory;
}

static void free_wiped(void *memory)
{
    if (memory == NULL)
        return;
    secret_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

static void set_allocator(void)
{
    json_set_alloc_funcs(allocate, free_wiped);
}

void json_document_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_allocator);
}

json_t *json_document_parse(const char *bytes, size_t size, bool is_strict, const char *what,
                            struct err *err)
{
    json_error_t where;
    size_t flags = is_strict ? JSON_REJECT_DUPLICATES : JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    memory_was_out = false;
    json_t *json = json_loadb(bytes, size, flags, &where);
    if (memory_was_out) {
        json_decref(json); // some of it may be missing
        err_no_memory(err);
        return NULL;
    }
    // jansson's own words quote the document, which may hold a secret: only the place is told.
    if (json == NULL) {
        err_set(err, EPROTO, "%s is no JSON that can be read (line %d, column %d)", what,
                where.line, where.column);
        return NULL;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        err_set(err, EPROTO, "%s is JSON, but no object", what);
        return NULL;
    }
    return json;
}

const char *json_document_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool json_document_size(const json_t *object, const char *key, uint64_t *ret_size)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_size = (uint64_t)json_integer_value(value);
    return true;
}
