#include "virtual.h"

#include "collect.h"
#include "download.h"
#include "index.h"
#include "pinned.h"
#include "rendering.h"
#include "report.h"
#include "summary.h"
#include "sums.h"
#include "urls.h"
#include "virtual_private.h"

#include "../path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SETTLING_REUSE_MS = 2 * 1000,           // while a record may still be on its way
    RENDERED_BYTES_MAX = 256 * 1024 * 1024, // of one generated file; 10,000 links take 20 MB
    LIFE_SHARE = 10, // a rendering is reused for at most 1/LIFE_SHARE of its links' life
};

// ---- the table ---------------------------------------------------------------------------------

// A generated file is a row here and a renderer of its own.
static const struct virtual_file sha256sums = {.name = "SHA256SUMS", .render = sums_render};
static const struct virtual_file download_ps1 = {
    .name = "download.ps1", .holds_links = true, .render = download_ps1_render};
static const struct virtual_file download_sh = {
    .name = "download.sh", .holds_links = true, .render = download_sh_render};
static const struct virtual_file index_html = {
    .name = "index.html", .is_index = true, .render = index_render};
static const struct virtual_file pinned_ref = {.name = "pinned.ref", .render = pinned_render};
static const struct virtual_file report_html = {
    .name = "report.html", .holds_links = true, .render = report_render};
static const struct virtual_file status_tsv = {.name = "status.tsv", .is_live = true};
static const struct virtual_file summary_md = {.name = "summary.md", .render = summary_render};
static const struct virtual_file urls_tsv = {
    .name = "urls.tsv", .holds_links = true, .render = urls_render};

const struct virtual_file *const virtual_files[] = {
    &sha256sums,  &download_ps1, &download_sh, &index_html, &pinned_ref,
    &report_html, &status_tsv,   &summary_md,  &urls_tsv,   NULL,
};

const struct virtual_file *virtual_find(const char *name)
{
    for (const struct virtual_file *const *file = virtual_files; *file; file++) {
        if (strcmp((*file)->name, name) == 0)
            return *file;
    }
    return NULL;
}

// ---- the renderings of one mount ---------------------------------------------------------------

struct virtuals {
    struct collect_options collect;
    struct status *status;
    struct renderings *renderings;
    char *contact;
    char *title;
};

int virtuals_new(const struct virtuals_options *options, struct virtuals **ret_virtuals,
                 struct err *err)
{
    struct virtuals *virtuals = calloc(1, sizeof(*virtuals));

    if (!virtuals)
        return err_no_memory(err);
    virtuals->contact = options->contact ? strdup(options->contact) : NULL;
    virtuals->title = options->title ? strdup(options->title) : NULL;
    virtuals->status = options->status;
    virtuals->collect = (struct collect_options){
        .tree = options->tree,
        .records = options->records,
        .client = options->client,
        .presigner = options->presigner,
        .clock = options->clock,
        .expires_s = options->expires_s,
        .min_expires_s = options->min_expires_s,
        .contact = virtuals->contact,
        .title = virtuals->title,
    };
    int error = (options->contact && !virtuals->contact) || (options->title && !virtuals->title)
                    ? err_no_memory(err)
                    : renderings_new(options->clock, &virtuals->renderings, err);
    if (error < 0) {
        virtuals_free(virtuals);
        return error;
    }
    *ret_virtuals = virtuals;
    return 0;
}

void virtuals_free(struct virtuals *virtuals)
{
    if (!virtuals)
        return;
    renderings_free(virtuals->renderings);
    free(virtuals->contact);
    free(virtuals->title);
    free(virtuals);
}

void virtuals_sweep(struct virtuals *virtuals)
{
    renderings_sweep(virtuals->renderings);
}

const struct collect_options *virtuals_collect_options(const struct virtuals *virtuals)
{
    return &virtuals->collect;
}

int virtuals_check_presigner(const struct virtuals *virtuals, const char *what, struct err *err)
{
    if (virtuals->collect.presigner)
        return 0;
    return err_set(err, EACCES,
                   "%s holds links, and this mount cannot make any: mount with -o "
                   "presign_role=ARN (a read-only role) or -o presign_profile=NAME (a read-only "
                   "user)",
                   what);
}

// ---- where they stand --------------------------------------------------------------------------

static bool holds_directories(const struct tree_listing *listing)
{
    return listing->count > listing->file_count + listing->symlink_count;
}

static bool holds_files(const struct tree_listing *listing)
{
    if (listing->file_count == 0)
        return false;
    for (size_t i = 0; i < listing->count; i++) {
        if (collect_wants(&listing->entries[i]))
            return true;
    }
    return false;
}

bool virtual_exists(struct virtuals *virtuals, const struct virtual_file *file,
                    const struct tree_listing *listing)
{
    if (file->is_live)
        return status_has(virtuals->status, listing->directory) ||
               tree_is_made_here(virtuals->collect.tree, listing->directory);
    return file->is_index ? holds_directories(listing)
                          : holds_files(listing) || collect_is_branch(listing);
}

bool virtual_is_listed(struct virtuals *virtuals, const struct virtual_file *file,
                       const struct tree_listing *listing)
{
    return (virtuals->collect.presigner || !file->holds_links) &&
           virtual_exists(virtuals, file, listing);
}

// ---- rendering ---------------------------------------------------------------------------------

struct rendering_job {
    struct virtuals *virtuals;
    const struct virtual_file *file;
    struct tree_listing *listing;
};

static bool looks_below(const struct rendering_job *job)
{
    return job->file->is_index || collect_is_branch(job->listing);
}

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Whoever is handed the bytes later still gets links that live nearly as long as they could, and
// never shorter than min_expires.
static int64_t reuse_ms(const struct collect_options *options, const struct collection *collection)
{
    int64_t reuse = collection->is_settling ? SETTLING_REUSE_MS : VIRTUAL_REUSE_MS;

    if (collection->soonest_ms == INT64_MAX)
        return reuse;
    int64_t life = collection->soonest_ms - clock_now_ms(options->clock);
    reuse = min_ms(reuse, life / LIFE_SHARE);
    reuse = min_ms(reuse, life - (int64_t)options->min_expires_s * 1000);
    return reuse > 0 ? reuse : 0;
}

// A branch whose builds hold no tarballs yet.
static int check_files(const struct rendering_job *job, const struct collection *collection,
                       struct err *err)
{
    if (job->file->is_index || collection->snapshot.file_count > 0)
        return 0;
    return err_set(err, ENOENT, "no build in %s/ holds a tarball yet", job->listing->directory);
}

static int make(void *context, struct call *call, struct buf *ret_bytes, int64_t *ret_reuse_ms,
                struct err *err)
{
    const struct rendering_job *job = context;
    const struct collect_options *options = &job->virtuals->collect;
    struct collection collection;
    int error = job->file->is_index ? collect_index(options, call, job->listing, &collection, err)
                                    : collect(options, call, job->listing, job->file->holds_links,
                                              &collection, err);

    if (error < 0)
        return error;
    error = check_files(job, &collection, err);
    if (error == 0)
        error = job->file->render(&collection.snapshot, ret_bytes, err);
    if (error == 0)
        *ret_reuse_ms = job->file->is_index ? INT64_MAX : reuse_ms(options, &collection);
    // What is below changes without the listing: that is believed as long as any listing.
    if (error == 0 && looks_below(job))
        *ret_reuse_ms = min_ms(*ret_reuse_ms, tree_list_ttl_ms(options->tree));
    collection_done(&collection);
    return error;
}

static int render_listing(const struct rendering_job *job, struct call *call,
                          struct rendering **ret_rendering, struct err *err)
{
    const char *directory = job->listing->directory;
    struct rendering_wanted wanted = {
        .file = job->file,
        .directory = directory,
        .listing_version = job->listing->version + (looks_below(job) ? job->listing->changes : 0),
        .make = make,
        .context = (void *)job,
        .limit_bytes = RENDERED_BYTES_MAX,
    };

    if (!virtual_exists(job->virtuals, job->file, job->listing))
        return err_set(err, ENOENT, "there is no %s: %s/ holds no %s", job->file->name, directory,
                       job->file->is_index ? "directories" : "files");
    if (!job->file->is_index && job->listing->file_count > VIRTUAL_FILES_MAX)
        return err_set(err, EFBIG,
                       "%s/ holds %zu files, and %s is made of %d at most: put them into several "
                       "directories",
                       directory, job->listing->file_count, job->file->name, VIRTUAL_FILES_MAX);
    int error = renderings_get(job->virtuals->renderings, call, &wanted, ret_rendering, err);
    return error < 0 ? err_wrap(err, "%s%s%s", directory, *directory ? "/" : "", job->file->name)
                     : 0;
}

int virtual_render(struct virtuals *virtuals, struct call *call, const struct virtual_file *file,
                   struct tree_listing *listing, struct rendering **ret_rendering, struct err *err)
{
    const struct rendering_job job = {.virtuals = virtuals, .file = file, .listing = listing};

    if (file->is_live)
        return err_set(err, EINVAL, "%s is live: it has no fixed bytes", file->name);
    if (file->holds_links && virtuals_check_presigner(virtuals, file->name, err) < 0)
        return -err->errnum;
    return render_listing(&job, call, ret_rendering, err);
}
