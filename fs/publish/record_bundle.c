#include "record_bundle.h"

#include "../path.h"
#include "base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t bundle_count(size_t tarball_count)
{
    size_t count = 1;

    while (count < BUNDLE_COUNT_MAX && count * BUNDLE_RECORDS < tarball_count)
        count *= 2;
    return count;
}

size_t bundle_index(const char *key, size_t count)
{
    return path_hash(key) % count;
}

char *bundle_object_key(const char *prefix, const char *directory, size_t index, size_t count)
{
    char hex[SHA256_HEX_SIZE];
    char *key = NULL;

    // A directory's name may be nearly as long as a key can be.
    sha256_hex_of(directory, strlen(directory), hex);
    int size = asprintf(&key, "%s%s/bundles/%s/%zu-of-%zu.jsonl", prefix, PATH_OWN_DIRECTORY, hex,
                        index, count);
    return size < 0 ? NULL : key;
}

int bundle_append(struct buf *text, const struct record *record)
{
    struct record without_layers = *record;
    auto_buf struct buf line = BUF_INIT(RECORD_LIMIT);
    struct err err = {0};

    without_layers.layers = NULL;
    without_layers.layer_count = 0;
    int error = record_format(&without_layers, &line, &err);
    if (error < 0)
        return error;
    if (line.size > text->limit - text->size)
        return -E2BIG;
    return buf_append(text, line.bytes, line.size);
}

size_t bundle_read(const char *text, size_t size,
                   void (*on_record)(void *context, struct record *record), void *context)
{
    size_t refused = 0;

    for (const char *end = text + size; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_size = (size_t)((newline ? newline : end) - text);
        struct record *record = NULL;
        struct err err = {0};
        if (record_parse(text, line_size, &record, &err) == 0)
            on_record(context, record);
        else
            refused++;
        text += line_size + 1;
    }
    return refused;
}
