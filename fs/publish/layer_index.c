#include "layer_index.h"

#include "../side_by_side.h"
#include "base/buf.h"
#include "base/scope.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRY_LIMIT = 8 * 1024, // bytes of an entry: a key and an ETag
    ENTRY_VERSION = 1,
    SOURCES_MAX = 64, // objects that one file is put together from
    ASKED_AT_ONCE = 16,
};

// ---- entries -----------------------------------------------------------------------------------

static char *entry_key(const struct layer_index *index, const char *digest)
{
    struct buf key = BUF_INIT(S3_KEY_SIZE_MAX + 1);
    buf_printf(&key, "%s.prereleasefs/layers/%s.json", index->prefix, digest + strlen("sha256:"));
    return buf_take(&key);
}

// Total: an entry is a hint that anyone may have written.
static bool parse_entry(const struct buf *bytes, char **ret_key, char **ret_etag)
{
    json_t *json = json_loadb(buf_text(bytes), bytes->size, JSON_REJECT_DUPLICATES, NULL);
    const char *key = json_string_value(json_object_get(json, "key"));
    const char *etag = json_string_value(json_object_get(json, "etag"));
    bool is_entry = json_integer_value(json_object_get(json, "version")) == ENTRY_VERSION && key &&
                    etag && *key && strlen(key) <= S3_KEY_SIZE_MAX && *etag &&
                    strlen(etag) < S3_ETAG_SIZE;
    if (is_entry) {
        *ret_key = strdup(key);
        *ret_etag = strdup(etag);
        is_entry = *ret_key && *ret_etag;
    }
    json_decref(json);
    return is_entry;
}

static char *format_entry(const struct record *record)
{
    json_t *json = json_pack("{s:i, s:s, s:s}", "version", ENTRY_VERSION, "key", record->key,
                             "etag", record->etag);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

// ---- finding -----------------------------------------------------------------------------------

// What one look at the index brought: the record that an entry leads to, checked against the
// object.
struct finding {
    size_t blob_index;
    struct record *record; // NULL: nothing
    int error;             // the store could not be asked
};

struct search {
    const struct layer_index *index;
    struct call *call;
    const struct archive *archive;
    struct finding *findings;
    size_t finding_count;
};

static bool is_archived(const char *storage_class)
{
    return strcmp(storage_class, "GLACIER") == 0 || strcmp(storage_class, "DEEP_ARCHIVE") == 0;
}

// 0 where the object is what the record says, -ESTALE where it is another, or not there.
static int check_object(const struct layer_index *index, struct call *call, const char *key,
                        const char *etag, uint64_t size_bytes, struct err *err)
{
    struct s3_head head = {0};
    int error = s3_object_head(index->client, call, key, &head, err);
    if (error == -ENOENT)
        return err_set(err, ESTALE, "%s, which holds some of its layers, is gone", key);
    if (error < 0)
        return error;
    if (!record_etag_equal(head.etag, etag) || head.size_bytes != size_bytes ||
        is_archived(head.storage_class))
        error = err_set(err, ESTALE, "%s, which holds some of its layers, is another by now", key);
    s3_head_done(&head);
    return error;
}

static bool is_final(int error)
{
    return error != -ENOENT && error != -ESTALE && error != -EBADMSG && error != -EFBIG &&
           error != -EACCES;
}

static void follow_entry(const struct search *search, struct finding *finding)
{
    const struct layer_index *index = search->index;
    struct err err = {0};
    auto_free char *key =
        entry_key(index, search->archive->blobs[finding->blob_index].descriptor.digest);
    auto_free char *source_key = NULL;
    auto_free char *source_etag = NULL;
    auto_buf struct buf bytes = BUF_INIT(ENTRY_LIMIT);
    if (!key)
        return;
    int error = s3_object_get(index->client, search->call, key, ENTRY_LIMIT, &bytes, NULL, &err);
    if (error < 0) {
        finding->error = is_final(error) ? error : 0;
        return;
    }
    struct record *record = NULL;
    if (!parse_entry(&bytes, &source_key, &source_etag))
        return;
    error = record_load(index->client, search->call, index->prefix, source_key, source_etag,
                        &record, &err);
    if (error == 0)
        error =
            check_object(index, search->call, record->key, record->etag, record->size_bytes, &err);
    if (error == 0 && record->format == search->archive->format)
        finding->record = TAKE(record);
    record_free(record);
    finding->error = error < 0 && is_final(error) ? error : 0;
}

static void look_at(void *context, size_t i)
{
    struct search *search = context;
    follow_entry(search, &search->findings[i]);
}

static const struct record_layer *find_layer(const struct record *record,
                                             const struct registry_descriptor *blob)
{
    for (size_t i = 0; i < record->layer_count; i++)
        if (strcmp(record->layers[i].digest, blob->digest) == 0 &&
            record->layers[i].size_bytes == blob->size_bytes)
            return &record->layers[i];
    return NULL;
}

// ---- runs --------------------------------------------------------------------------------------

// A layer's stretch of the file: tar header, bytes, padding.
struct stretch {
    uint64_t offset;
    uint64_t end;
};

static struct stretch blob_stretch(const struct archive *archive, size_t blob_index)
{
    size_t at = archive->blobs[blob_index].extent_index;
    const struct archive_extent *extents = archive->extents;
    uint64_t end = extents[at].offset + extents[at].size;
    if (at + 1 < archive->extent_count && extents[at + 1].kind == ARCHIVE_ZEROS)
        end += extents[at + 1].size;
    return (struct stretch){extents[at - 1].offset, end};
}

// The layer stands in the source just as it will in the file, header and padding included.
static bool stands_alike(const struct archive *archive, size_t blob_index,
                         const struct record_layer *layer, const struct record *record)
{
    struct stretch stretch = blob_stretch(archive, blob_index);
    uint64_t blob_offset = archive->extents[archive->blobs[blob_index].extent_index].offset;
    return layer->blob_offset - layer->offset == blob_offset - stretch.offset &&
           layer->offset <= record->size_bytes &&
           stretch.end - stretch.offset <= record->size_bytes - layer->offset;
}

// Where in the source a run that began at its first byte ends with a hash that is known.
static const struct sha256_midstate *known_at(const struct record *record, uint64_t offset)
{
    for (size_t i = 0; i < record->layer_count; i++)
        if (record->layers[i].offset == offset && record->layers[i].has_midstate)
            return &record->layers[i].midstate;
    return NULL;
}

// A run that begins both files: their hashes agree as far as it reaches.
static void take_known(struct layer_runs *runs, const struct archive *archive,
                       const struct record *record, uint64_t end)
{
    const struct sha256_midstate *known = known_at(record, end);
    if (!known || end <= runs->known_size)
        return;
    runs->known_size = end;
    runs->known = *known;
    for (size_t i = 1; i < archive->blob_count; i++) {
        uint64_t offset = blob_stretch(archive, i).offset;
        const struct sha256_midstate *midstate = offset < end ? known_at(record, offset) : NULL;
        if (midstate)
            runs->midstates[i] = *midstate;
    }
}

static void add_run(struct layer_runs *runs, const struct archive *archive,
                    const struct record *record, struct plan_run run)
{
    runs->runs[runs->run_count++] = run;
    if (run.offset == 0 && run.source_offset == 0)
        take_known(runs, archive, record, run.size);
}

// All that the file and the record's object have in common, neighbours joined.
static int add_source(struct layer_runs *runs, const struct archive *archive,
                      const struct record *record, bool *covered)
{
    struct layer_source *source = &runs->sources[runs->source_count++];
    *source = (struct layer_source){strdup(record->key), strdup(record->etag), record->size_bytes};
    if (!source->key || !source->etag)
        return -ENOMEM;
    struct plan_run run = {.source_key = source->key, .source_etag = source->etag};
    for (size_t i = 0; i < archive->blob_count; i++) {
        const struct record_layer *layer = find_layer(record, &archive->blobs[i].descriptor);
        if (!layer || !stands_alike(archive, i, layer, record))
            continue;
        covered[i] = true;
        struct stretch stretch = blob_stretch(archive, i);
        bool joins = run.size && run.offset + run.size == stretch.offset &&
                     run.source_offset + run.size == layer->offset;
        if (!joins) {
            if (run.size)
                add_run(runs, archive, record, run);
            run.offset = stretch.offset;
            run.source_offset = layer->offset;
            run.size = 0;
        }
        run.size += stretch.end - stretch.offset;
    }
    if (run.size)
        add_run(runs, archive, record, run);
    return 0;
}

static int allocate(const struct archive *archive, struct layer_runs *runs, struct search *search,
                    bool **ret_covered)
{
    size_t count = archive->blob_count ? archive->blob_count : 1;
    runs->sources = calloc(SOURCES_MAX, sizeof(*runs->sources));
    runs->runs = calloc(SOURCES_MAX * count, sizeof(*runs->runs));
    runs->midstates = calloc(count, sizeof(*runs->midstates));
    search->findings = calloc(count, sizeof(*search->findings));
    *ret_covered = calloc(count, sizeof(**ret_covered));
    return runs->sources && runs->runs && runs->midstates && search->findings && *ret_covered
               ? 0
               : -ENOMEM;
}

static bool is_worth_a_look(const struct archive *archive, size_t blob_index)
{
    return blob_index == 0 ||
           archive->blobs[blob_index].descriptor.size_bytes >= LAYER_INDEX_SIZE_MIN;
}

// Looks at the first layer, whose object is likely to hold most others; then, side by side, at
// those that are still missing.
static int search_rounds(struct search *search, struct layer_runs *runs, bool *covered,
                         struct err *err)
{
    const struct archive *archive = search->archive;
    size_t next = 0;
    size_t round_size = 1;
    while (next < archive->blob_count && runs->source_count < SOURCES_MAX) {
        search->finding_count = 0;
        for (; next < archive->blob_count && search->finding_count < round_size; next++)
            if (!covered[next] && is_worth_a_look(archive, next))
                search->findings[search->finding_count++] = (struct finding){.blob_index = next};
        side_by_side(search->finding_count, ASKED_AT_ONCE, look_at, search);
        int error = 0;
        for (size_t i = 0; i < search->finding_count; i++) {
            struct finding *finding = &search->findings[i];
            error = finding->error < 0 ? finding->error : error;
            if (finding->record && !covered[finding->blob_index] &&
                runs->source_count < SOURCES_MAX)
                error = add_source(runs, archive, finding->record, covered) < 0 ? -ENOMEM : error;
            record_free(finding->record);
        }
        if (error < 0)
            return err_set(err, -error, "the store could not be asked for layers that it holds");
        round_size = archive->blob_count;
    }
    return 0;
}

int layer_index_find(const struct layer_index *index, struct call *call,
                     const struct archive *archive, struct layer_runs *ret_runs, struct err *err)
{
    *ret_runs = (struct layer_runs){0};
    if (archive->format != ARCHIVE_FORMAT_TAR || archive->size_bytes < 2 * LAYER_INDEX_SIZE_MIN)
        return 0;
    struct search search = {.index = index, .call = call, .archive = archive};
    auto_free bool *covered = NULL;
    int error = allocate(archive, ret_runs, &search, &covered) < 0
                    ? err_no_memory(err)
                    : search_rounds(&search, ret_runs, covered, err);
    free(search.findings);
    if (error < 0)
        layer_runs_done(ret_runs);
    return error;
}

void layer_runs_done(struct layer_runs *runs)
{
    for (size_t i = 0; i < runs->source_count; i++) {
        free(runs->sources[i].key);
        free(runs->sources[i].etag);
    }
    free(runs->sources);
    free(runs->runs);
    free(runs->midstates);
    *runs = (struct layer_runs){0};
}

int layer_runs_check(const struct layer_index *index, struct call *call,
                     const struct layer_runs *runs, struct err *err)
{
    for (size_t i = 0; i < runs->source_count; i++) {
        const struct layer_source *source = &runs->sources[i];
        if (check_object(index, call, source->key, source->etag, source->size_bytes, err) < 0)
            return -err->errnum;
    }
    return 0;
}

// ---- storing -----------------------------------------------------------------------------------

struct storing {
    const struct layer_index *index;
    struct call *call;
    const struct record *record;
    const char *text;
    atomic_int failed; // -errno of any
};

static void store_entry(void *context, size_t i)
{
    struct storing *storing = context;
    const struct record_layer *layer = &storing->record->layers[i];
    struct err err = {0};
    if (i != 0 && layer->size_bytes < LAYER_INDEX_SIZE_MIN)
        return;
    auto_free char *key = entry_key(storing->index, layer->digest);
    if (!key)
        return;
    const struct http_piece body = {storing->text, strlen(storing->text)};
    const struct s3_put put = {
        .key = key,
        .body = &body,
        .body_count = 1,
        .content_type = "application/json",
    };
    char etag[S3_ETAG_SIZE];
    int error = s3_object_put(storing->index->client, storing->call, &put, etag, &err);
    if (error < 0)
        atomic_store(&storing->failed, error);
}

int layer_index_store(const struct layer_index *index, struct call *call,
                      const struct record *record, struct err *err)
{
    if (record->format != ARCHIVE_FORMAT_TAR || record->size_bytes < 2 * LAYER_INDEX_SIZE_MIN)
        return 0;
    auto_free char *text = format_entry(record);
    if (!text)
        return err_no_memory(err);
    struct storing storing = {.index = index, .call = call, .record = record, .text = text};
    side_by_side(record->layer_count, ASKED_AT_ONCE, store_entry, &storing);
    int error = atomic_load(&storing.failed);
    if (error < 0)
        return err_set(err, -error, "the index of layers could not be written");
    return 0;
}
