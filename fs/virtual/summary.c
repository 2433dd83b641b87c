#include "summary.h"

#include "escape.h"
#include "words.h"

#include "base/scope.h"

#include <errno.h>

// As code, which GitHub neither links nor takes for a mention.
static void append_code(struct buf *text, const char *value)
{
    buf_append_text(text, "<code>");
    escape_markdown(text, value);
    buf_append_text(text, "</code>");
}

static void append_value(struct buf *text, const char *value)
{
    if (value)
        append_code(text, value);
    else
        buf_append_char(text, '-');
}

static void append_cell(struct buf *text, const char *value)
{
    append_value(text, value);
    buf_append_text(text, " | ");
}

static void append_row(const struct snapshot_file *file, struct buf *text)
{
    const struct record *record = file->record;
    const struct record *image = record && record->has_image ? record : NULL;

    buf_append_text(text, "| ");
    append_cell(text, file->name);
    words_size(text, file->size_bytes);
    buf_append_text(text, " | ");
    append_cell(text, snapshot_platform(file));
    append_cell(text, image ? image->reference : NULL);
    append_cell(text, image ? image->manifest_digest : NULL);
    if (record)
        append_code(text, record->sha256);
    else
        buf_append_text(text, "not known");
    buf_append_text(text, " |\n");
}

// ---- what the images say of themselves
// -----------------------------------------------------------

static bool has_provenance(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->file_count; i++)
        if (snapshot_has_provenance(&snapshot->files[i]))
            return true;
    return false;
}

static void append_provenance(const struct snapshot *snapshot, struct buf *text)
{
    static const enum registry_fact shown[] = {REGISTRY_FACT_SOURCE, REGISTRY_FACT_REVISION,
                                               REGISTRY_FACT_VERSION, REGISTRY_FACT_CREATED,
                                               REGISTRY_FACT_BUILDER};

    buf_append_text(text,
                    "\n| As it says itself | Source | Revision | Version | Created | Built by "
                    "|\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < snapshot->file_count; i++) {
        const struct snapshot_file *file = &snapshot->files[i];
        if (!snapshot_has_provenance(file))
            continue;
        buf_append_text(text, "| ");
        append_code(text, file->name);
        for (size_t k = 0; k < ARRAY_SIZE(shown); k++) {
            buf_append_text(text, " | ");
            append_value(text, file->record->provenance.facts[shown[k]]);
        }
        buf_append_text(text, " |\n");
    }
}

static void append_chart_steps(const struct snapshot *snapshot, struct buf *text)
{
    for (size_t i = 0; i < snapshot->file_count; i++) {
        if (!snapshot_is_chart(&snapshot->files[i]))
            continue;
        buf_append_text(text, "\nHelm chart: <code>helm install RELEASE ");
        escape_markdown(text, snapshot->files[i].download_name);
        buf_append_text(text, "</code>\n");
    }
}

static void append_misfits(const struct snapshot *snapshot, struct buf *text)
{
    for (size_t i = 0; i < snapshot->file_count; i++) {
        const char *misfit = snapshot_misfit(snapshot, &snapshot->files[i]);
        if (!misfit)
            continue;
        buf_append_text(text, "\n**Warning:** ");
        append_code(text, snapshot->files[i].name);
        buf_append_text(text, " states revision ");
        append_code(text, misfit);
        buf_append_text(text, ", which is another than its build's.\n");
    }
}

static void append_totals(const struct snapshot *snapshot, struct buf *text)
{
    uint64_t size_bytes = 0;

    for (size_t i = 0; i < snapshot->file_count; i++)
        size_bytes += snapshot->files[i].size_bytes;
    words_number(text, snapshot->file_count);
    buf_append_text(text, snapshot->file_count == 1 ? " file, " : " files, ");
    words_size(text, size_bytes);
    buf_append_text(text, ", in ");
    append_code(text, snapshot->bucket);
    buf_append_text(text, ", ");
    append_code(text, snapshot->directory);
    buf_append_text(text, "\n\n");
}

int summary_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    auto_buf struct buf title = BUF_INIT(ret_bytes->limit);

    snapshot_title(snapshot, &title);
    ret_bytes->is_full |= title.is_full; // its limit is the text's
    buf_append_text(ret_bytes, "### ");
    escape_markdown(ret_bytes, buf_text(&title));
    buf_append_text(ret_bytes, "\n\n");
    append_totals(snapshot, ret_bytes);
    buf_append_text(ret_bytes, "| File | Size | Platform | Image | Digest | SHA-256 |\n"
                               "| --- | ---: | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < snapshot->file_count; i++)
        append_row(&snapshot->files[i], ret_bytes);
    if (has_provenance(snapshot))
        append_provenance(snapshot, ret_bytes);
    append_chart_steps(snapshot, ret_bytes);
    append_misfits(snapshot, ret_bytes);
    // What is appended next begins a paragraph of its own.
    buf_append_char(ret_bytes, '\n');
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the summary of %zu files does not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
