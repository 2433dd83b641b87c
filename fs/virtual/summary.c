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

static void append_cell(struct buf *text, const char *value)
{
    if (value)
        append_code(text, value);
    else
        buf_append_char(text, '-');
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
    append_cell(text, image ? image->platform : NULL);
    append_cell(text, image ? image->reference : NULL);
    append_cell(text, image ? image->manifest_digest : NULL);
    if (record)
        append_code(text, record->sha256);
    else
        buf_append_text(text, "not known");
    buf_append_text(text, " |\n");
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
    // What is appended next begins a paragraph of its own.
    buf_append_char(ret_bytes, '\n');
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the summary of %zu files does not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
