#include "page.h"

#include "html.h"
#include "page_css.h"
#include "words.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

static int append_policy(struct buf *page)
{
    uint8_t digest[SHA256_SIZE];

    sha256_of(page_css, strlen(page_css), digest);
    auto_free char *hash = digest_base64(digest, sizeof(digest));
    if (!hash)
        return -ENOMEM;
    return html_format(page,
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                       "style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n",
                       hash);
}

int page_begin(struct buf *page, const char *title)
{
    buf_append_text(page,
                    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    int error = append_policy(page);
    buf_append_text(page, "<meta name=\"viewport\" content=\"width=device-width, "
                          "initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
                          "<meta name=\"robots\" content=\"noindex, nofollow\">\n<title>");
    buf_append_text(page, title);
    html_format(page, "</title>\n<style>");
    buf_append_text(page, page_css);
    buf_append_text(page, "</style>\n</head>\n<body>\n");
    return error;
}

void page_end(struct buf *page, int64_t now_ms, const char *program_version)
{
    buf_append_text(page, "<footer>\n<p>Made on ");
    page_time(page, now_ms);
    html_format(page,
                " by prereleasefs %s. This page holds no script and loads nothing from "
                "elsewhere.</p>\n</footer>\n</body>\n</html>\n",
                program_version);
}

void page_time(struct buf *page, int64_t ms)
{
    char machine[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(ms, machine);
    html_format(page, "<time datetime=\"%s\">", machine);
    words_moment(page, ms);
    buf_append_text(page, "</time>");
}

static void append_count(struct buf *page, uint64_t count, const char *one, const char *several,
                         bool *is_first)
{
    if (count == 0)
        return;
    if (!*is_first)
        buf_append_text(page, ", ");
    *is_first = false;
    words_number(page, count);
    html_format(page, " %s", count == 1 ? one : several);
}

void page_referrers(struct buf *page, const struct record_referrers *referrers)
{
    const uint64_t *counts = referrers->statements;
    bool is_first = true;

    append_count(page, counts[REGISTRY_SIGNATURE], "signature", "signatures", &is_first);
    append_count(page, counts[REGISTRY_ATTESTATION], "attestation", "attestations", &is_first);
    append_count(page, counts[REGISTRY_SBOM], "SBOM", "SBOMs", &is_first);
    append_count(page, counts[REGISTRY_OTHER_REFERRER], "other document", "other documents",
                 &is_first);
    append_count(page, referrers->buildx, "attestation by the builder inside the file",
                 "attestations by the builder inside the file", &is_first);
    append_count(page, referrers->left_out, "document that could not be carried",
                 "documents that could not be carried", &is_first);
    if (is_first)
        buf_append_text(page, "none found");
    if (referrers->verified_by[0] != '\0')
        html_format(page,
                    "; one was checked when it was published, with the key whose SHA-256 is "
                    "<code>%s</code>",
                    referrers->verified_by);
}

void page_size(struct buf *page, uint64_t bytes)
{
    words_size(page, bytes);
    if (bytes < 1000)
        return;
    buf_append_text(page, " (");
    words_number(page, bytes);
    buf_append_text(page, " bytes)");
}
