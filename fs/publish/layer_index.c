#include "layer_index.h"

#include "../path.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/scope.h"
#include "base/side_by_side.h"
#include "layer_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOURCES_MAX = 64, // objects that one file is put together from
    ASKED_AT_ONCE = 16,
};

static bool is_indexed(size_t layer_index, uint64_t size_bytes)
{
    return layer_index == 0 || size_bytes >= LAYER_INDEX_SIZE_MIN;
}

static bool is_worth_it(uint64_t file_size_bytes)
{
    return file_size_bytes > S3_PART_SIZE_MIN;
}

// ---- finding -----------------------------------------------------------------------------------

static char *entry_key(const struct layer_index *index, const char *digest,
                       enum archive_format format)
{
    struct buf key = BUF_INIT(S3_KEY_SIZE_MAX + 1);
    buf_printf(&key, "%s" PATH_OWN_DIRECTORY "/layers/%s.%s.json", index->prefix,
               digest + strlen("sha256:"), record_format_name(format));
    return buf_take(&key);
}

// What became of one look at the index.
struct finding {
    size_t blob_index;
    char *key; // of the object that the entry names; NULL: nothing
    char *etag;
    struct record *record; // that object's; NULL: nothing
    int error;             // why there will be no publish: cancelled, no memory
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

// A hint that leads nowhere costs speed: it ends nothing but what has ended anyway.
static void note_error(struct finding *finding, const struct err *err)
{
    if (err->errnum == EINTR || err->errnum == ENOMEM)
        finding->error = -err->errnum;
    else if (err->errnum != ENOENT) // no entry, no record: nobody has promised anything
        log_err(err->errnum == ESTALE ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
                "a layer cannot be copied inside the bucket", err, NULL);
}

static void look_up_entry(void *context, size_t i)
{
    const struct search *search = context;
    struct finding *finding = &search->findings[i];
    const char *digest = search->archive->blobs[finding->blob_index].descriptor.digest;
    struct err err = {0};
    auto_free char *key = entry_key(search->index, digest, search->archive->format);
    auto_buf struct buf bytes = BUF_INIT(LAYER_ENTRY_LIMIT);
    if (!key) {
        finding->error = -ENOMEM;
        return;
    }
    if (s3_object_get(search->index->client, search->call, key, LAYER_ENTRY_LIMIT, &bytes, NULL,
                      &err) < 0 ||
        layer_entry_parse(buf_text(&bytes), bytes.size, search->index->prefix, &finding->key,
                          &finding->etag, &err) < 0) {
        err_wrap(&err, "%s", key);
        note_error(finding, &err);
    }
}

static void open_source(void *context, size_t i)
{
    const struct search *search = context;
    const struct layer_index *index = search->index;
    struct finding *finding = &search->findings[i];
    struct record *record = NULL;
    struct err err = {0};
    if (!finding->key || !finding->etag)
        return;
    int error = record_load(index->client, search->call, index->prefix, finding->key, finding->etag,
                            &record, &err);
    if (error == 0)
        error =
            check_object(index, search->call, record->key, record->etag, record->size_bytes, &err);
    if (error < 0)
        note_error(finding, &err);
    else if (record->has_image && record->format == search->archive->format)
        finding->record = TAKE(record);
    record_free(record);
}

static void forget_hint(struct finding *finding)
{
    free(TAKE(finding->key));
    free(TAKE(finding->etag));
}

// Layers mostly lead to one and the same object: it is looked at once.
static void drop_repeated_hints(struct search *search)
{
    for (size_t i = 1; i < search->finding_count; i++) {
        struct finding *finding = &search->findings[i];
        for (size_t k = 0; finding->key && k < i; k++) {
            const struct finding *earlier = &search->findings[k];
            if (earlier->key && strcmp(earlier->key, finding->key) == 0 && earlier->etag &&
                finding->etag && strcmp(earlier->etag, finding->etag) == 0)
                forget_hint(finding);
        }
    }
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
    return (struct stretch){extents[archive_blob_begin(archive, blob_index)].offset, end};
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

static const struct record_midstate *midstate_at(const struct record *record, uint64_t offset)
{
    for (size_t i = 0; i < record->layer_count; i++)
        if (record->layers[i].offset == offset && record->layers[i].has_midstate)
            return &record->layers[i].midstate;
    return NULL;
}

// Both files begin with the same `size` bytes: what hashing the one came to holds for the other.
static void take_midstates(struct layer_runs *runs, const struct archive *archive,
                           const struct record *record, uint64_t size)
{
    for (size_t i = 0; i <= archive->blob_count; i++) {
        uint64_t offset = i < archive->blob_count ? blob_stretch(archive, i).offset
                                                  : blob_stretch(archive, i - 1).end;
        const struct record_midstate *midstate =
            offset <= size ? midstate_at(record, offset) : NULL;
        if (midstate)
            runs->midstates[i] = *midstate;
    }
}

static void add_run(struct layer_runs *runs, const struct archive *archive,
                    const struct record *record, struct plan_run run)
{
    uint64_t first = blob_stretch(archive, 0).offset;
    if (run.offset == first && run.source_offset == first) { // before it is the gzip header at most
        run.size += first;
        run.offset = run.source_offset = 0;
        take_midstates(runs, archive, record, run.size);
    }
    runs->runs[runs->run_count++] = run;
}

// All that the file and the record's object have in common, neighbours joined.
static void add_source(struct layer_runs *runs, const struct archive *archive,
                       struct record *record, bool *covered)
{
    runs->sources[runs->source_count++] = record;
    struct plan_run run = {.source_key = record->key, .source_etag = record->etag};
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
}

static int allocate(const struct archive *archive, struct layer_runs *runs, struct search *search,
                    bool **ret_covered)
{
    size_t count = archive->blob_count;
    runs->sources = calloc(SOURCES_MAX, sizeof(struct record *));
    runs->runs = calloc(SOURCES_MAX * count, sizeof(*runs->runs));
    runs->midstates = calloc(count + 1, sizeof(*runs->midstates));
    search->findings = calloc(count, sizeof(*search->findings));
    *ret_covered = calloc(count, sizeof(**ret_covered));
    return runs->sources && runs->runs && runs->midstates && search->findings && *ret_covered
               ? 0
               : -ENOMEM;
}

// Side by side for blobs [begin, end): the entries, then the objects that these lead to.
static int search_round(struct search *search, struct layer_runs *runs, bool *covered, size_t begin,
                        size_t end)
{
    int error = 0;
    search->finding_count = 0;
    for (size_t i = begin; i < end; i++)
        if (!covered[i] && is_indexed(i, search->archive->blobs[i].descriptor.size_bytes))
            search->findings[search->finding_count++] = (struct finding){.blob_index = i};
    side_by_side(search->finding_count, ASKED_AT_ONCE, look_up_entry, search);
    drop_repeated_hints(search);
    side_by_side(search->finding_count, ASKED_AT_ONCE, open_source, search);
    for (size_t i = 0; i < search->finding_count; i++) {
        struct finding *finding = &search->findings[i];
        if (finding->error < 0)
            error = finding->error;
        else if (finding->record && !covered[finding->blob_index] &&
                 runs->source_count < SOURCES_MAX)
            add_source(runs, search->archive, TAKE(finding->record), covered);
        record_free(finding->record);
        forget_hint(finding);
    }
    return error;
}

int layer_index_find(const struct layer_index *index, struct call *call,
                     const struct archive *archive, struct layer_runs *ret_runs, struct err *err)
{
    *ret_runs = (struct layer_runs){0};
    if (!is_worth_it(archive->size_bytes) || archive->blob_count == 0)
        return 0;
    struct search search = {.index = index, .call = call, .archive = archive};
    auto_free bool *covered = NULL;
    int error = allocate(archive, ret_runs, &search, &covered);
    // The first layer's object is likely to hold most others.
    if (error == 0)
        error = search_round(&search, ret_runs, covered, 0, 1);
    if (error == 0)
        error = search_round(&search, ret_runs, covered, 1, archive->blob_count);
    free(search.findings);
    if (error == 0)
        return 0;
    layer_runs_done(ret_runs);
    return error == -ENOMEM ? err_no_memory(err)
                            : err_set(err, -error, "cancelled while looking for layers");
}

void layer_runs_done(struct layer_runs *runs)
{
    for (size_t i = 0; i < runs->source_count; i++) {
        record_free(runs->sources[i]);
    }
    free(runs->sources);
    free(runs->runs);
    free(runs->midstates);
    *runs = (struct layer_runs){0};
}

static bool is_copied_from(const struct plan *plan, const struct record *source)
{
    for (size_t i = 0; i < plan->part_count; i++)
        if (plan->parts[i].run && plan->parts[i].run->source_key == source->key)
            return true;
    return false;
}

int layer_runs_check(const struct layer_index *index, struct call *call,
                     const struct layer_runs *runs, const struct plan *plan, struct err *err)
{
    for (size_t i = 0; i < runs->source_count; i++) {
        const struct record *source = runs->sources[i];
        if (is_copied_from(plan, source) &&
            check_object(index, call, source->key, source->etag, source->size_bytes, err) < 0)
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
    if (!is_indexed(i, layer->size_bytes))
        return;
    auto_free char *key = entry_key(storing->index, layer->digest, storing->record->format);
    if (!key) {
        atomic_store(&storing->failed, -ENOMEM);
        return;
    }
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
    if (!is_worth_it(record->size_bytes))
        return 0;
    auto_free char *text = layer_entry_format(record->key, record->etag);
    if (!text)
        return err_no_memory(err);
    struct storing storing = {.index = index, .call = call, .record = record, .text = text};
    side_by_side(record->layer_count, ASKED_AT_ONCE, store_entry, &storing);
    int error = atomic_load(&storing.failed);
    if (error < 0)
        return err_set(err, -error, "the index of layers could not be written");
    return 0;
}
