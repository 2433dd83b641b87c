#include "report.h"

#include "html.h"
#include "page.h"
#include "report_steps.h"
#include "words.h"

#include "../path.h"

#include <errno.h>
#include <string.h>

// ---- small pieces ------------------------------------------------------------------------------

// When a link dies; in words as seen from the moment at which the page was made.
static void append_expiry(struct buf *page, int64_t expires_ms, int64_t now_ms)
{
    buf_append_text(page, "<strong>");
    page_time(page, expires_ms);
    buf_append_text(page, "</strong>, ");
    words_span(page, expires_ms - now_ms);
    buf_append_text(page, " after this page was made");
}

static void fact(struct buf *page, const char *label, const char *value)
{
    html_format(page, "<div><dt>%s</dt><dd>%s</dd></div>\n", label, value);
}

static void fact_code(struct buf *page, const char *label, const char *value)
{
    html_format(page, "<div><dt>%s</dt><dd><code>%s</code></dd></div>\n", label, value);
}

static void fact_begin(struct buf *page, const char *label)
{
    html_format(page, "<div><dt>%s</dt><dd>", label);
}

static void fact_end(struct buf *page)
{
    buf_append_text(page, "</dd></div>\n");
}

// ---- the whole build ---------------------------------------------------------------------------

static const char *build_label(const struct snapshot *snapshot)
{
    if (snapshot->is_release)
        return "Version";
    return path_is_commit(snapshot->build, strlen(snapshot->build)) ? "Commit" : "Build";
}

static void append_name(const struct snapshot *snapshot, struct buf *page)
{
    auto_buf struct buf title = BUF_INIT(page->limit);

    snapshot_title(snapshot, &title);
    page->is_full |= title.is_full; // its limit is the page's
    html_text(page, buf_text(&title));
}

static int append_head(const struct snapshot *snapshot, struct buf *page)
{
    auto_buf struct buf title = BUF_INIT(page->limit);

    append_name(snapshot, &title);
    page->is_full |= title.is_full; // its limit is the page's
    return page_begin(page, buf_text(&title));
}

struct totals {
    uint64_t size_bytes;
    int64_t modified_ms; // of the newest file
    int64_t expires_ms;  // of the link that dies first; 0 where there is none
};

static struct totals count_totals(const struct snapshot *snapshot)
{
    struct totals totals = {0};

    for (size_t i = 0; i < snapshot->file_count; i++) {
        const struct snapshot_file *file = &snapshot->files[i];
        totals.size_bytes += file->size_bytes;
        if (file->modified_ms > totals.modified_ms)
            totals.modified_ms = file->modified_ms;
        if (file->url && (totals.expires_ms == 0 || file->expires_ms < totals.expires_ms))
            totals.expires_ms = file->expires_ms;
    }
    return totals;
}

static bool has_images(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->file_count; i++)
        if (snapshot_is_archive(&snapshot->files[i]))
            return true;
    return false;
}

static void append_header(const struct snapshot *snapshot, const struct totals *totals,
                          struct buf *page)
{
    html_format(page, "<header>\n<p class=\"kind\">%s for download</p>\n<h1>",
                has_images(snapshot) ? "Container images" : "Files");
    append_name(snapshot, page);
    buf_append_text(page, "</h1>\n<dl>\n");
    if (*snapshot->branch)
        fact(page, "Branch", snapshot->branch);
    if (*snapshot->build)
        fact_code(page, build_label(snapshot), snapshot->build);
    fact_begin(page, "Published");
    page_time(page, totals->modified_ms);
    fact_end(page);
    fact_begin(page, "Content");
    words_number(page, snapshot->file_count);
    buf_append_text(page, snapshot->file_count == 1 ? " file, " : " files, ");
    page_size(page, totals->size_bytes);
    fact_end(page);
    if (totals->expires_ms) {
        fact_begin(page, "Links expire");
        append_expiry(page, totals->expires_ms, snapshot->now_ms);
        fact_end(page);
    }
    if (snapshot->contact)
        fact(page, "Contact", snapshot->contact);
    buf_append_text(page, "</dl>\n</header>\n");
}

static void append_navigation(struct buf *page)
{
    buf_append_text(page, "<nav aria-label=\"On this page\">\n<ul>\n"
                          "<li><a href=\"#files\">Files</a></li>\n"
                          "<li><a href=\"#download\">Download</a></li>\n"
                          "<li><a href=\"#verify\">Verify</a></li>\n"
                          "<li><a href=\"#load\">Load</a></li>\n"
                          "<li><a href=\"#push\">Your registry</a></li>\n"
                          "<li><a href=\"#air-gap\">Air gap</a></li>\n"
                          "<li><a href=\"#security\">Security</a></li>\n"
                          "<li><a href=\"#questions\">Questions</a></li>\n</ul>\n</nav>\n");
}

static void append_confidential(const struct totals *totals, struct buf *page)
{
    if (!totals->expires_ms)
        return;
    buf_append_text(page, "<p class=\"notice\"><strong>Treat this page as confidential.</strong> "
                          "Whoever holds it can download these files, without any further "
                          "password, until the links expire. Do not post it, and pass it on only "
                          "to people who should have the files.</p>\n"
                          "<p class=\"paper\">This printed copy holds no links: they are in the "
                          "page itself.</p>\n");
}

// ---- one file ----------------------------------------------------------------------------------

// What the image says of itself, as text: what looks like a link leads wherever its author likes.
static void append_provenance(const struct registry_provenance *provenance, struct buf *page)
{
    static const char *const labels[REGISTRY_FACT_COUNT] = {
        [REGISTRY_FACT_SOURCE] = "Stated source",
        [REGISTRY_FACT_REVISION] = "Stated revision",
        [REGISTRY_FACT_VERSION] = "Stated version",
        [REGISTRY_FACT_CREATED] = "Stated date",
        [REGISTRY_FACT_BUILDER] = "Attested builder",
        [REGISTRY_FACT_BUILT_FROM] = "Attested source",
        [REGISTRY_FACT_BUILT_REVISION] = "Attested revision",
    };
    for (size_t i = 0; i < REGISTRY_FACT_COUNT; i++)
        if (provenance->facts[i])
            fact_code(page, labels[i], provenance->facts[i]);
}

static void append_misfit(const struct snapshot *snapshot, const struct snapshot_file *file,
                          struct buf *page)
{
    const char *misfit = snapshot_misfit(snapshot, file);
    if (misfit)
        html_format(
            page,
            "<p class=\"notice\"><strong>This image states another revision than its "
            "build\xE2\x80\x99s:</strong> <code>%s</code>. Ask whether it is the one that was "
            "meant.</p>\n",
            misfit);
}

static void append_image_facts(const struct snapshot_file *file, struct buf *page)
{
    const struct record *record = file->record;
    fact_code(page, record->artifact_type ? "Reference" : "Image", record->reference);
    if (record->artifact_type)
        fact_code(page, "Artifact", record->artifact_type);
    else
        fact_code(page, "Loads as", record->tag);
    if (snapshot_platform(file))
        fact_code(page, "Platform", record->platform);
    fact_code(page, "Manifest digest", record->manifest_digest);
    if (strcmp(record->source_digest, record->manifest_digest) != 0)
        fact_code(page, "Index digest", record->source_digest);
    if (!record->artifact_type)
        fact_code(page, "Image ID", record->config_digest);
    append_provenance(&record->provenance, page);
    if (record->has_zstd_layers)
        fact(page, "Note",
             "Its layers are compressed with zstd: docker load needs Docker 23 or newer. podman, "
             "skopeo and containerd load it too.");
}

// What was found about the image, and where it is.
static void append_signatures(const struct snapshot_file *file, struct buf *page)
{
    fact_begin(page, "Signatures");
    if (!file->referrers)
        buf_append_text(page, "not looked for when it was published");
    else
        page_referrers(page, file->referrers);
    if (file->signatures)
        html_format(page, ", in <code>%s</code>", file->signatures->download_name);
    else if (file->referrers && record_referrers_are_carried(file->referrers))
        buf_append_text(page, "; the file that holds them is not among these");
    buf_append_text(page, " (see <a href=\"#security\">Security</a>)");
    fact_end(page);
}

// The same program by two names, and words in two shells' quotes.
static void append_curl(const struct snapshot_file *file, struct buf *page, const char *heading,
                        const char *program, int (*append_word)(struct buf *, const char *))
{
    html_format(page, "<h4>%s</h4>\n<pre><code>%s --fail --continue-at - --output %s ", heading,
                program, file->download_name);
    append_word(page, file->url);
    buf_append_text(page, "</code></pre>\n");
}

static void append_commands(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "<details>\n<summary>Commands to download %s</summary>\n",
                file->download_name);
    append_curl(file, page, "Linux, macOS", "curl", html_shell_word);
    append_curl(file, page, "Windows 10 and newer, in PowerShell", "curl.exe",
                html_powershell_word);
    buf_append_text(page, "<h4>Older Windows, in PowerShell</h4>\n<pre><code>"
                          "$ProgressPreference = &#39;SilentlyContinue&#39;\n"
                          "Invoke-WebRequest -UseBasicParsing -Uri ");
    html_powershell_word(page, file->url);
    html_format(page, " -OutFile %s</code></pre>\n</details>\n", file->download_name);
}

// The card's first lines: what it is, and the way to it.
static void append_top(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "<div class=\"top\">\n<div><h3>%s</h3>\n<p class=\"quiet\">",
                path_last(file->name));
    words_size(page, file->size_bytes);
    if (snapshot_platform(file))
        html_format(page, " \xC2\xB7 %s", snapshot_platform(file));
    buf_append_text(page, "</p></div>\n");
    if (file->url)
        html_format(page, "<a class=\"button\" rel=\"noreferrer\" href=\"%s\">Download %s</a>\n",
                    file->url, file->download_name);
    buf_append_text(page, "</div>\n");
}

// Of a branch's tarballs, which build they are of.
static void append_build(const struct snapshot_file *file, struct buf *page)
{
    size_t size = strcspn(file->name, "/");

    if (file->name[size] != '/')
        return;
    fact_begin(page, "Commit");
    buf_append_text(page, "<code>");
    html_bytes(page, file->name, size);
    buf_append_text(page, "</code>");
    fact_end(page);
}

static void append_file(const struct snapshot *snapshot, const struct snapshot_file *file,
                        struct buf *page)
{
    buf_append_text(page, "<article class=\"card\">\n");
    append_top(file, page);
    buf_append_text(page, "<dl>\n");
    append_build(file, page);
    if (file->record)
        fact_code(page, "File\xE2\x80\x99s SHA-256", file->record->sha256);
    else
        fact(page, "File\xE2\x80\x99s SHA-256",
             "not known: nothing was recorded of this file when it was stored");
    fact_begin(page, "Size");
    page_size(page, file->size_bytes);
    fact_end(page);
    fact_code(page, "Saved as", file->download_name);
    if (file->url) {
        fact_begin(page, "Link expires");
        page_time(page, file->expires_ms);
        fact_end(page);
    }
    if (file->record && file->record->has_image) {
        append_image_facts(file, page);
        append_signatures(file, page);
    }
    buf_append_text(page, "</dl>\n");
    append_misfit(snapshot, file, page);
    if (file->url)
        append_commands(file, page);
    buf_append_text(page, "</article>\n");
}

static void append_files(const struct snapshot *snapshot, struct buf *page)
{
    buf_append_text(page, "<section aria-labelledby=\"files\">\n<h2 id=\"files\">Files</h2>\n");
    for (size_t i = 0; i < snapshot->file_count; i++)
        append_file(snapshot, &snapshot->files[i], page);
    buf_append_text(page, "</section>\n");
}

int report_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    struct totals totals = count_totals(snapshot);

    if (append_head(snapshot, ret_bytes) == -ENOMEM)
        return err_no_memory(err);
    append_header(snapshot, &totals, ret_bytes);
    append_navigation(ret_bytes);
    buf_append_text(ret_bytes, "<main>\n");
    append_confidential(&totals, ret_bytes);
    append_files(snapshot, ret_bytes);
    report_download_steps(ret_bytes);
    report_verify_steps(snapshot, ret_bytes);
    report_load_steps(snapshot, ret_bytes);
    report_push_steps(snapshot, ret_bytes);
    report_air_gap_notes(ret_bytes);
    report_security_notes(snapshot, ret_bytes);
    report_questions(snapshot, ret_bytes);
    buf_append_text(ret_bytes, "</main>\n");
    page_end(ret_bytes, snapshot->now_ms, snapshot->version);
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the page of %zu files does not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}
