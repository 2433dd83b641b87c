#include "sums.h"

#include <errno.h>

int sums_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    for (size_t i = 0; i < snapshot->file_count; i++) {
        const struct snapshot_file *file = &snapshot->files[i];
        // The download name in the comment too: a name as it stands may hold a line break.
        if (file->record)
            buf_printf(ret_bytes, "%s  %s\n", file->record->sha256, file->download_name);
        else
            buf_printf(ret_bytes, "# %s: its sha256 is not known\n", file->download_name);
    }
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the sums of %zu files do not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
