#include "urls.h"

#include "../tsv.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>

static void append_row(const struct snapshot_file *file, struct buf *text)
{
    const struct record *record = file->record;
    const struct record *image = record && record->has_image ? record : NULL;
    char expires[CLOCK_RFC3339_SIZE] = "";

    if (file->url)
        clock_format_rfc3339(file->expires_ms, expires);
    tsv_field(text, file->name);
    buf_append_char(text, '\t');
    tsv_field(text, file->url);
    buf_append_char(text, '\t');
    tsv_field(text, expires);
    buf_printf(text, "\t%" PRIu64 "\t", file->size_bytes);
    tsv_field(text, record ? record->sha256 : NULL);
    buf_append_char(text, '\t');
    tsv_field(text, image ? image->reference : NULL);
    buf_append_char(text, '\t');
    tsv_field(text, image ? image->manifest_digest : NULL);
    buf_append_char(text, '\t');
    tsv_field(text, snapshot_platform(file));
    buf_append_char(text, '\t');
    auto_buf struct buf referrers = BUF_INIT(RECORD_REFERRERS_TEXT_SIZE);
    if (file->referrers)
        (void)record_referrers_text(file->referrers, &referrers);
    tsv_field(text, file->referrers ? buf_text(&referrers) : NULL);
    buf_append_char(text, '\n');
}

int urls_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    buf_append_text(ret_bytes,
                    "file\turl\texpires\tsize\tsha256\timage\tdigest\tplatform\tsignatures\n");
    for (size_t i = 0; i < snapshot->file_count; i++)
        append_row(&snapshot->files[i], ret_bytes);
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the links of %zu files do not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
