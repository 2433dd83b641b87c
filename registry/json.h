// json.h - what this room needs of jansson: strict parsing of small documents, and fields that
// are there and of the right type, or absent.
//
// Tokens and passwords pass through these documents, so jansson's memory is wiped when it is
// freed (registry_json_setup, once, before the first parse).
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void registry_json_setup(void); // any number of times, from any thread

// An object, or NULL with *err EPROTO; `what` begins the sentence ("the manifest of X").
// Duplicate keys are refused where `is_strict`: two readers might see two documents in it.
json_t *registry_json_parse(const char *bytes, size_t size, bool is_strict, const char *what,
                            struct err *err);

// Total: NULL, or false, where the field is absent or of another type.
const char *registry_json_text(const json_t *object, const char *key);
bool registry_json_size(const json_t *object, const char *key, uint64_t *ret_size); // 0 or more

static inline void json_scope(json_t **json)
{
    json_decref(*json);
}
#define auto_json __attribute__((cleanup(json_scope)))
