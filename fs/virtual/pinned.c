#include "pinned.h"

#include "escape.h"

#include "../path.h"
#include "../publish/reference_file.h"

#include <errno.h>
#include <string.h>

enum { LINE_LIMIT = 8 * 1024 };

static int append_pinned(const struct record *record, const char *name, struct buf *line,
                         struct err *err)
{
    struct registry_reference reference = {0};
    int error = registry_reference_parse(record->reference, &reference, err);

    if (error < 0)
        return error;
    buf_printf(line, "%s/%s", reference.host, reference.repository);
    if (reference.tag)
        buf_printf(line, ":%s", reference.tag);
    buf_printf(line, "@%s %s", record->source_digest, name);
    if (record->is_all_platforms)
        buf_append_text(line, " platform=all");
    else if (strcmp(record->platform, REGISTRY_NO_PLATFORM) != 0)
        buf_printf(line, " platform=%s", record->platform);
    buf_printf(line, " tag=%s\n", record->tag);
    registry_reference_done(&reference);
    return line->is_full ? err_no_memory(err) : 0;
}

// Whether a publish takes the line for what it is meant to be: a name may hold a blank or a '='.
static int check(const struct buf *line, const char *name, enum archive_format format,
                 struct err *err)
{
    static const struct reference_defaults defaults = {0};
    struct reference_line *lines = NULL;
    size_t count = 0;
    int error = reference_file_parse(buf_text(line), line->size, 1, &defaults, &lines, &count, err);

    if (error == 0 && (count != 1 || strcmp(lines[0].name, name) != 0 || lines[0].format != format))
        error = err_set(err, EINVAL, "the line means something else");
    reference_lines_free(lines, count);
    return error;
}

static int append_file(const struct snapshot_file *file, struct buf *text, struct err *err)
{
    auto_buf struct buf line = BUF_INIT(LINE_LIMIT);
    const char *name = path_last(file->name);
    bool is_image = file->record && file->record->has_image;
    int error = is_image ? append_pinned(file->record, name, &line, err) : 0;

    if (is_image && error == 0)
        error = check(&line, name, file->record->format, err);
    if (error == -ENOMEM)
        return error;
    if (is_image && error == 0)
        return buf_append(text, buf_text(&line), line.size);
    buf_append_text(text, "# ");
    escape_text(text, name);
    if (file->record && file->record->referrers.of[0] != '\0')
        return buf_append_text(text, ": published along with its image\n");
    return buf_append_text(text, is_image ? ": its name fits no line; cp copies it\n"
                                          : ": not known to be published from a registry; cp "
                                            "copies it\n");
}

int pinned_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    for (size_t i = 0; i < snapshot->file_count && !ret_bytes->is_full; i++) {
        if (append_file(&snapshot->files[i], ret_bytes, err) == -ENOMEM)
            return err_no_memory(err);
    }
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the references of %zu files do not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
