// intent.h - what one write is about to upload: one object, stored before the first upload begins
// and deleted when none is left.
//
// It stands at PREFIX.prereleasefs/intents/HOST/RANDOM.json and tells the next mount on that host
// which uploads may be those of a process that has died: see intent_sweep.h. Formatting and
// parsing are pure; parsing is total, since anyone who may write to the bucket may have written
// it. Keys are told as a directory and names below the mount's prefix, so that none can lead
// anywhere else.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "intent_origin.h"
#include "reference_file.h"

#include <stddef.h>
#include <stdint.h>

enum {
    INTENT_ID_SIZE = 33, // 128 random bits in hex
    // Names that one write can have: the shortest line of a reference file is "h.x/a:b\n", and an
    // image's signatures have a name beside its own.
    INTENT_NAMES_MAX = REFERENCE_FILE_LIMIT / 4,
    // Bytes of JSON: each byte of a reference file's lines escaped, ".tar.gz" added to each; and
    // once more with ".signatures".
    INTENT_LIMIT = 18 * REFERENCE_FILE_LIMIT,
};

struct intent {
    struct intent_origin origin;
    char mount[INTENT_ID_SIZE]; // random, for people who compare objects and logs
    char *program;              // this program's version
    char *directory;            // below the mount's prefix; "" for its root
    char **names;               // at least one
    size_t name_count;
};

// EBADMSG for what intent_parse would refuse, EFBIG past the buffer's limit.
int intent_format(const struct intent *intent, struct buf *ret_json, struct err *err);
// EBADMSG for what is no intent; EPROTONOSUPPORT for one that a newer program wrote.
int intent_parse(const char *json, size_t size, struct intent **ret_intent, struct err *err);
void intent_free(struct intent *intent); // accepts NULL
void intent_done(struct intent *intent); // the same for the caller's memory

// Where intents stand, malloc'ed, NULL on no memory: PREFIX.prereleasefs/intents/ and, below it,
// those of one host, ending in '/'. prefix: of a mount, "" or ending in '/'.
char *intent_prefix(const char *prefix, const char *host); // host NULL: of all
char *intent_object_key(const char *prefix, const char *host, const char *id);
