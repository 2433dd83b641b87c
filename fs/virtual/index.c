#include "index.h"

#include "html.h"
#include "page.h"
#include "words.h"

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

static void append_moment(struct buf *page, int64_t ms)
{
    if (ms > 0)
        page_time(page, ms);
    else
        buf_append_text(page, "-");
}

static void append_header(const struct snapshot *snapshot, struct buf *page)
{
    buf_append_text(page, "<header>\n<p class=\"kind\">Container images by build</p>\n<h1>");
    append_title(snapshot, page);
    buf_append_text(page, "</h1>\n");
    if (*snapshot->directory)
        buf_append_text(page, "<p><a href=\"../index.html\">Up</a></p>\n");
    if (snapshot->is_cut)
        buf_append_text(page,
                        "<p class=\"notice\">There is more below here than this page was made "
                        "from: what comes last by name is missing. The directories' own "
                        "pages show it.</p>\n");
    buf_append_text(page, "</header>\n");
}

static void append_child(const struct snapshot_child *child, struct buf *page)
{
    buf_append_text(page, "<tr><td>");
    append_link(page, child->name, child->has_index ? "index.html" : "", child->name);
    buf_append_text(page, "</td><td>");
    append_moment(page, child->modified_ms);
    buf_append_text(page, "</td><td>");
    if (child->is_unknown) {
        buf_append_text(page, "-</td><td>-");
    } else {
        words_number(page, child->build_count);
        buf_append_text(page, "</td><td>");
        words_size(page, child->size_bytes);
    }
    buf_append_text(page, "</td></tr>\n");
}

// What holds nothing but files stands among the builds.
static void append_children(const struct snapshot *snapshot, struct buf *page)
{
    bool has_begun = false;

    for (size_t i = 0; i < snapshot->child_count; i++) {
        const struct snapshot_child *child = &snapshot->children[i];
        if (!child->has_index && !child->is_unknown)
            continue;
        if (!has_begun)
            buf_append_text(page,
                            "<section aria-labelledby=\"directories\">\n<h2 id=\"directories\">"
                            "Directories</h2>\n<table>\n<thead><tr><th>Name</th><th>Newest</th>"
                            "<th>Builds</th><th>Size</th></tr></thead>\n<tbody>\n");
        has_begun = true;
        append_child(child, page);
    }
    if (has_begun)
        buf_append_text(page, "</tbody>\n</table>\n</section>\n");
}

static void append_build(const struct snapshot *snapshot, const struct snapshot_build *build,
                         struct buf *page)
{
    buf_append_text(page, "<tr><td>");
    append_link(page, build->path, snapshot->has_reports ? "report.html" : "", build->path);
    buf_append_text(page, "</td><td>");
    append_moment(page, build->modified_ms);
    buf_append_text(page, "</td><td>");
    words_number(page, build->file_count);
    buf_append_text(page, "</td><td>");
    words_size(page, build->size_bytes);
    buf_append_text(page, "</td></tr>\n");
}

static void append_builds(const struct snapshot *snapshot, struct buf *page)
{
    size_t shown =
        snapshot->build_count < INDEX_BUILDS_MAX ? snapshot->build_count : INDEX_BUILDS_MAX;

    buf_append_text(page, "<section aria-labelledby=\"builds\">\n<h2 id=\"builds\">Builds</h2>\n");
    if (shown == 0) {
        buf_append_text(page, "<p>There are none yet.</p>\n</section>\n");
        return;
    }
    buf_append_text(page, "<table>\n<thead><tr><th>Build</th><th>Newest file</th><th>Files</th>"
                          "<th>Size</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < shown; i++)
        append_build(snapshot, &snapshot->builds[i], page);
    buf_append_text(page, "</tbody>\n</table>\n");
    if (shown < snapshot->build_count) {
        buf_append_text(page, "<p>And ");
        append_count(page, snapshot->build_count - shown, " older build", " older builds");
        buf_append_text(page, ", which the directories&#39; own pages show.</p>\n");
    }
    buf_append_text(page, "</section>\n");
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
