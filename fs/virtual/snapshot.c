#include "snapshot.h"

#include "../publish/reference_file.h"
#include "../revision.h"

#include <string.h>

bool snapshot_is_archive(const struct snapshot_file *file)
{
    enum archive_format format;

    if (file->record && file->record->has_image)
        return !file->record->artifact_type;
    return reference_name_format(file->name, &format) && !reference_name_is_signatures(file->name);
}

bool snapshot_is_layout(const struct snapshot_file *file)
{
    return file->record && file->record->has_image &&
           file->record->format != ARCHIVE_FORMAT_PAYLOAD;
}

static bool is_of_chart(const struct snapshot_file *file)
{
    return file->record && file->record->artifact_type &&
           strcmp(file->record->artifact_type, REGISTRY_HELM_CONFIG) == 0;
}

bool snapshot_is_chart(const struct snapshot_file *file)
{
    return is_of_chart(file) && file->record->format == ARCHIVE_FORMAT_PAYLOAD;
}

bool snapshot_is_chart_layout(const struct snapshot_file *file)
{
    return is_of_chart(file) && file->record->format != ARCHIVE_FORMAT_PAYLOAD;
}

const char *snapshot_platform(const struct snapshot_file *file)
{
    if (!file->record || !file->record->has_image ||
        strcmp(file->record->platform, REGISTRY_NO_PLATFORM) == 0)
        return NULL;
    return file->record->platform;
}

bool snapshot_is_gzip(const struct snapshot_file *file)
{
    enum archive_format format;

    if (file->record && file->record->has_image)
        return file->record->format == ARCHIVE_FORMAT_TAR_GZ;
    return reference_name_format(file->name, &format) && format == ARCHIVE_FORMAT_TAR_GZ;
}

bool snapshot_has_provenance(const struct snapshot_file *file)
{
    for (size_t i = 0; file->record && i < REGISTRY_FACT_COUNT; i++)
        if (file->record->provenance.facts[i])
            return true;
    return false;
}

const char *snapshot_misfit(const struct snapshot *snapshot, const struct snapshot_file *file)
{
    size_t size = strcspn(file->name, "/");

    if (!file->record)
        return NULL;
    if (file->name[size] == '/') // of a branch's files, "abc1234/runtime:main.tar"
        return revision_misfit(&file->record->provenance, file->name, size);
    return revision_misfit_in(&file->record->provenance, snapshot->directory);
}

int snapshot_title(const struct snapshot *snapshot, struct buf *text)
{
    if (snapshot->title)
        return buf_append_text(text, snapshot->title);
    if (snapshot->is_release)
        return buf_printf(text, "Release %s", snapshot->build);
    if (snapshot->is_branch)
        return buf_printf(text, "Prerelease %s", snapshot->branch);
    if (*snapshot->branch)
        return buf_printf(text, "Prerelease %s, %s", snapshot->branch, snapshot->build);
    if (*snapshot->build)
        return buf_printf(text, "Prerelease %s", snapshot->build);
    return buf_printf(text, "Files of %s", snapshot->bucket);
}

const char *snapshot_host(const struct snapshot *snapshot)
{
    const char *scheme_end = strstr(snapshot->origin, "://");

    return scheme_end ? scheme_end + strlen("://") : snapshot->origin;
}

const char *snapshot_place(const struct snapshot *snapshot)
{
    return *snapshot->directory ? snapshot->directory : snapshot->bucket;
}
