#include "index.h"

#include "html.h"
#include "page.h"
#include "words.h"

#include "../path.h"
#include "base/url.h"

#include <errno.h>
#include <string.h>

static void append_title(const struct snapshot *snapshot, struct buf *page)
{
    if (*snapshot->directory)
        html_format(page, "%s", snapshot->directory);
    else if (snapshot->title)
        html_format(page, "%s", snapshot->title);
    else
        html_format(page, "Builds in %s", snapshot->bucket);
}

// A relative link: ':' too is encoded, or what stands before it would be a scheme. Nothing that
// url_encode leaves needs escaping.
static void append_link(struct buf *page, const char *path, const char *file, const char *label)
{
    buf_append_text(page, "<a href=\"");
    url_encode(page, path, strlen(path), true);
    buf_append_char(page, '/');
    buf_append_text(page, file);
    html_format(page, "\">%s</a>", label);
}

static void append_count(struct buf *page, size_t count, const char *one, const char *many)
{
    words_number(page, count);
    buf_append_text(page, count == 1 ? one : many);
}

static void section_begin(struct buf *page, const char *id, const char *heading)
{
    html_format(page, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id, id, heading);
}

static void append_date(struct buf *page, int64_t ms)
{
    buf_append_text(page, "</td><td class=\"date\">");
    if (ms > 0)
        page_time(page, ms);
    else
        buf_append_char(page, '-');
    buf_append_text(page, "</td>");
}

// The end of a row; a phone leaves the count out.
static void append_numbers(struct buf *page, size_t count, uint64_t size_bytes)
{
    buf_append_text(page, "<td class=\"number wide\">");
    words_number(page, count);
    buf_append_text(page, "</td><td class=\"number\">");
    words_size(page, size_bytes);
    buf_append_text(page, "</td></tr>\n");
}

static void append_table_head(struct buf *page, const char *name, const char *date,
                              const char *count)
{
    html_format(page,
                "<table>\n<thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th>"
                "<th scope=\"col\" class=\"number wide\">%s</th><th scope=\"col\" "
                "class=\"number\">Size</th></tr></thead>\n<tbody>\n",
                name, date, count);
}

static void append_header(const struct snapshot *snapshot, struct buf *page)
{
    buf_append_text(page, "<header>\n<p class=\"kind\">Container images by build</p>\n<h1>");
    append_title(snapshot, page);
    buf_append_text(page, "</h1>\n");
    if (*snapshot->directory)
        buf_append_text(page, "<p><a href=\"../index.html\">Up</a></p>\n");
    if (snapshot->is_branch && snapshot->has_reports)
        buf_append_text(page, "<p><a href=\"report.html\">The newest of each image on one "
                              "page</a></p>\n");
    if (snapshot->is_cut)
        buf_append_text(page,
                        "<p class=\"notice\">There is more below here than this page was made "
                        "from: what comes last by name is missing. The directories' own "
                        "pages show it.</p>\n");
    buf_append_text(page, "</header>\n");
}

static void append_child(const struct snapshot *snapshot, const struct snapshot_child *child,
                         struct buf *page)
{
    buf_append_text(page, "<tr><td>");
    append_link(page, child->name, child->has_index ? "index.html" : "", child->name);
    if (child->is_branch && snapshot->has_reports) {
        buf_append_text(page, " <span class=\"quiet\">(");
        append_link(page, child->name, "report.html", "newest on one page");
        buf_append_text(page, ")</span>");
    }
    append_date(page, child->modified_ms);
    if (child->is_unknown)
        buf_append_text(page, "<td class=\"number wide\">-</td><td class=\"number\">-</td></tr>\n");
    else
        append_numbers(page, child->build_count, child->size_bytes);
}

// What holds nothing but files stands among the builds.
static void append_children(const struct snapshot *snapshot, struct buf *page)
{
    bool has_begun = false;

    for (size_t i = 0; i < snapshot->child_count; i++) {
        const struct snapshot_child *child = &snapshot->children[i];
        if (!child->has_index && !child->is_unknown)
            continue;
        if (!has_begun) {
            section_begin(page, "directories", "Directories");
            append_table_head(page, "Name", "Newest", "Builds");
        }
        has_begun = true;
        append_child(snapshot, child, page);
    }
    if (has_begun)
        buf_append_text(page, "</tbody>\n</table>\n</section>\n");
}

static void append_build(const struct snapshot *snapshot, const struct snapshot_build *build,
                         struct buf *page)
{
    buf_append_text(page, "<tr><td>");
    append_link(page, build->path, snapshot->has_reports ? "report.html" : "", build->path);
    append_date(page, build->modified_ms);
    append_numbers(page, build->file_count, build->size_bytes);
}

static bool is_release(const struct snapshot *snapshot, const struct snapshot_build *build)
{
    return !*snapshot->directory && path_is_under_releases(build->path);
}

// Those of one kind among the newest `count`.
static void append_kind(const struct snapshot *snapshot, struct buf *page, size_t count,
                        bool releases, const char *id, const char *heading)
{
    bool has_begun = false;

    for (size_t i = 0; i < count; i++) {
        const struct snapshot_build *build = &snapshot->builds[i];
        if (is_release(snapshot, build) != releases)
            continue;
        if (!has_begun) {
            section_begin(page, id, heading);
            append_table_head(page, releases ? "Release" : "Build", "Newest file", "Files");
        }
        has_begun = true;
        append_build(snapshot, build, page);
    }
    if (has_begun)
        buf_append_text(page, "</tbody>\n</table>\n</section>\n");
}

static void append_builds(const struct snapshot *snapshot, struct buf *page)
{
    size_t shown =
        snapshot->build_count < INDEX_BUILDS_MAX ? snapshot->build_count : INDEX_BUILDS_MAX;

    append_kind(snapshot, page, shown, true, "releases", "Releases");
    append_kind(snapshot, page, shown, false, "builds", "Builds");
    if (shown == 0)
        buf_append_text(page, "<p>There are no builds here yet.</p>\n");
    if (shown < snapshot->build_count) {
        buf_append_text(page, "<p>And ");
        append_count(page, snapshot->build_count - shown, " older build", " older builds");
        buf_append_text(page, ", which the directories&#39; own pages show.</p>\n");
    }
}

int index_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    auto_buf struct buf title = BUF_INIT(ret_bytes->limit);

    append_title(snapshot, &title);
    ret_bytes->is_full |= title.is_full; // its limit is the page's
    if (page_begin(ret_bytes, buf_text(&title)) == -ENOMEM)
        return err_no_memory(err);
    append_header(snapshot, ret_bytes);
    buf_append_text(ret_bytes, "<main>\n");
    append_children(snapshot, ret_bytes);
    append_builds(snapshot, ret_bytes);
    buf_append_text(ret_bytes, "</main>\n");
    page_end(ret_bytes, snapshot->now_ms, snapshot->version);
    if (ret_bytes->is_full)
        return err_set(err, EFBIG, "the page of %zu builds does not fit into memory",
                       snapshot->build_count);
    return 0;
}
