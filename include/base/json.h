// json.h - reading small JSON documents with jansson: strictly parsed, and fields that are there
// and of the right type, or absent.
//
// Tokens and passwords pass through these documents, so jansson's memory is wiped when it is
// freed (json_document_setup, once, before the first parse).
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void json_document_setup(void); // any number of times, from any thread

// An object, or NULL with *err EPROTO; `what` begins the sentence ("the manifest of X").
// Duplicate keys are refused where `is_strict`: two readers might see two documents in it.
json_t *json_document_parse(const char *bytes, size_t size, bool is_strict, const char *what,
                            struct err *err);

// Total: NULL, or false, where the field is absent or of another type.
const char *json_document_text(const json_t *object, const char *key);
bool json_document_size(const json_t *object, const char *key, uint64_t *ret_size); // 0 or more

static inline void json_scope(json_t **json)
{
    json_decref(*json);
}
#define auto_json __attribute__((cleanup(json_scope)))
