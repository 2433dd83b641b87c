#include "report_steps.h"

#include "html.h"

#include <string.h>

static void section_begin(struct buf *page, const char *id, const char *heading)
{
    html_format(page, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id, id, heading);
}

static void section_end(struct buf *page)
{
    buf_append_text(page, "</section>\n");
}

// A heading and, under it, a line of commands for every file that `wants` picks.
static void commands(const struct snapshot *snapshot, struct buf *page, const char *heading,
                     bool (*wants)(const struct snapshot_file *file),
                     void (*append)(const struct snapshot_file *file, struct buf *page))
{
    html_format(page, "<h3>%s</h3>\n<pre><code>", heading);
    for (size_t i = 0; i < snapshot->file_count; i++) {
        if (wants(&snapshot->files[i]))
            append(&snapshot->files[i], page);
    }
    buf_append_text(page, "</code></pre>\n");
}

static bool has_any(const struct snapshot *snapshot,
                    bool (*wants)(const struct snapshot_file *file))
{
    for (size_t i = 0; i < snapshot->file_count; i++) {
        if (wants(&snapshot->files[i]))
            return true;
    }
    return false;
}

// ---- download ----------------------------------------------------------------------------------

void report_download_steps(struct buf *page)
{
    section_begin(page, "download", "Download");
    buf_append_text(
        page,
        "<h3>In a browser</h3>\n"
        "<p>Press a file\xE2\x80\x99s button. It is saved under the name given as "
        "\xE2\x80\x9CSaved as\xE2\x80\x9D.</p>\n"
        "<h3>Linux, macOS</h3>\n"
        "<p>Open the commands under a file, copy the one for your system whole (links are long), "
        "and run it where the file is to be saved. If it is interrupted, run the same command "
        "again in the same place: it goes on where it stopped.</p>\n"
        "<h3>Windows</h3>\n"
        "<p>The same in PowerShell. Windows 10 and newer bring <code>curl.exe</code>, which goes "
        "on after an interruption; Invoke-WebRequest begins again.</p>\n"
        "<h3>By script</h3>\n"
        "<p>If <code>download.sh</code> (Linux, macOS) or <code>download.ps1</code> (Windows) came "
        "with this page, it downloads and verifies all files, and goes on after an interruption: "
        "<code>sh download.sh</code>, or <code>powershell -ExecutionPolicy Bypass -File "
        "download.ps1</code>. With <code>--load</code> (<code>-Load</code>) it also loads the "
        "images into Docker or podman.</p>\n"
        "<h3>When a link has expired</h3>\n"
        "<p>It answers 403. A link is checked when a download begins: one that is running goes "
        "on, but beginning or resuming needs a link that lives. A fresh page has fresh links to "
        "the same files, and a download that was cut off can be resumed with them: see <a "
        "href=\"#questions\">whom to ask</a>.</p>\n");
    section_end(page);
}

// ---- verify ------------------------------------------------------------------------------------

static bool has_sha256(const struct snapshot_file *file)
{
    return file->record != NULL;
}

static void append_sum(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "%s  %s\n", file->record->sha256, file->download_name);
}

static void append_certutil(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "certutil -hashfile %s SHA256\n", file->download_name);
}

static void append_file_hash(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "(Get-FileHash %s -Algorithm SHA256).Hash -eq '%s'\n", file->download_name,
                file->record->sha256);
}

static void append_sums(const struct snapshot *snapshot, struct buf *page, const char *heading,
                        const char *program)
{
    html_format(page, "<h3>%s</h3>\n<pre><code>%s &lt;&lt;'EOF'\n", heading, program);
    for (size_t i = 0; i < snapshot->file_count; i++) {
        if (has_sha256(&snapshot->files[i]))
            append_sum(&snapshot->files[i], page);
    }
    buf_append_text(page, "EOF\n</code></pre>\n");
}

static bool has_signatures(const struct snapshot_file *file)
{
    return file->signatures;
}

// cosign reads an image and what is about it from one directory: not an artifact's file alone.
static bool can_cosign(const struct snapshot_file *file)
{
    return file->signatures && snapshot_is_layout(file);
}

static void append_cosign(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "mkdir %s.layout\n", file->download_name);
    html_format(page, "tar -xf %s -C %s.layout\n", file->download_name, file->download_name);
    html_format(page, "tar -xf %s -C %s.layout\n", file->signatures->download_name,
                file->download_name);
    html_format(page,
                "cosign verify --key cosign.pub --insecure-ignore-tlog=true --local-image "
                "%s.layout\n",
                file->download_name);
}

static void append_cosign_steps(const struct snapshot *snapshot, struct buf *page)
{
    if (!has_any(snapshot, can_cosign))
        return;
    buf_append_text(page, "<h3>Signatures</h3>\n<p>With cosign, and the signer\xE2\x80\x99s public "
                          "key as <code>cosign.pub</code>; nothing is asked of any server:</p>\n");
    commands(snapshot, page, "cosign", can_cosign, append_cosign);
}

void report_verify_steps(const struct snapshot *snapshot, struct buf *page)
{
    section_begin(page, "verify", "Verify");
    if (!has_any(snapshot, has_sha256)) {
        buf_append_text(page, "<p>No SHA-256 of these files is known, so there is nothing to "
                              "compare them with.</p>\n");
        section_end(page);
        return;
    }
    buf_append_text(
        page, "<p>Run the one for your system in the directory where the files were saved. Every "
              "file must answer <code>OK</code>. Any other answer means that the file "
              "arrived damaged or incomplete: delete it and download it again.</p>\n");
    append_sums(snapshot, page, "Linux", "sha256sum -c -");
    append_sums(snapshot, page, "macOS", "shasum -a 256 -c -");
    commands(snapshot, page, "Windows PowerShell: every line must answer True", has_sha256,
             append_file_hash);
    commands(snapshot, page, "Windows Command Prompt: compare with the SHA-256 given above",
             has_sha256, append_certutil);
    append_cosign_steps(snapshot, page);
    section_end(page);
}

// ---- load --------------------------------------------------------------------------------------

static void append_docker(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "docker load --input %s\n", file->download_name);
}

static void append_podman(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "podman load --input %s\n", file->download_name);
}

static void append_containerd(const struct snapshot_file *file, struct buf *page)
{
    // ctr 1.x reads no gzip.
    if (snapshot_is_gzip(file))
        html_format(page, "gunzip --stdout %s | sudo ctr --namespace k8s.io images import -\n",
                    file->download_name);
    else
        html_format(page, "sudo ctr --namespace k8s.io images import %s\n", file->download_name);
}

static void append_engines(const struct snapshot *snapshot, struct buf *page)
{
    buf_append_text(page, "<p>Nothing has to be unpacked first. Each file is an OCI image layout "
                          "and a <code>docker save</code> archive at once. Once loaded, an image "
                          "goes by the name given as \xE2\x80\x9CLoads as\xE2\x80\x9D.</p>\n");
    commands(snapshot, page, "Docker (19.03 or newer)", snapshot_is_archive, append_docker);
    commands(snapshot, page, "podman", snapshot_is_archive, append_podman);
    commands(snapshot, page, "containerd, as Kubernetes nodes run it", snapshot_is_archive,
             append_containerd);
    buf_append_text(page, "<p>On Kubernetes, import on every node that may run the image, and set "
                          "<code>imagePullPolicy: IfNotPresent</code>, so that the node does not "
                          "ask a registry.</p>\n");
}

static void append_helm(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "helm install RELEASE %s\n", file->download_name);
}

// "ghcr.io/owner/chart:1.2.3": a tag is safe in a command (record.h).
static void append_helm_pull(const struct snapshot_file *file, struct buf *page)
{
    const char *tag = file->record->tag, *slash = strrchr(tag, '/');
    const char *name = slash ? slash + 1 : tag;
    size_t size = strcspn(name, ":");

    buf_append_text(page, "helm install RELEASE \"oci://$REGISTRY/");
    html_bytes(page, name, size);
    html_format(page, "\" --version %s\n", name[size] ? name + size + 1 : "");
}

void report_load_steps(const struct snapshot *snapshot, struct buf *page)
{
    section_begin(page, "load", "Load");
    if (has_any(snapshot, snapshot_is_archive))
        append_engines(snapshot, page);
    else
        buf_append_text(page, "<p>None of these files is known to be a container image.</p>\n");
    if (has_any(snapshot, snapshot_is_chart))
        commands(snapshot, page, "Helm charts, under a release\xE2\x80\x99s name of your choice",
                 snapshot_is_chart, append_helm);
    if (has_any(snapshot, snapshot_is_chart_layout))
        commands(snapshot, page, "Helm charts in OCI layouts, once pushed as described below",
                 snapshot_is_chart_layout, append_helm_pull);
    section_end(page);
}

// ---- on into another registry ------------------------------------------------------------------

// The end of a word in double quotes, and of its line: "ghcr.io/owner/app:1" goes to
// "$REGISTRY/app:1". A tag is safe in a command (record.h).
static void append_target(const struct snapshot_file *file, struct buf *page)
{
    const char *slash = strrchr(file->record->tag, '/');

    html_format(page, "$REGISTRY/%s\"\n", slash ? slash + 1 : file->record->tag);
}

// Some of an index's platforms: it names others that the file does not hold, so that nobody can
// copy it whole. (All of them may have been named; the record does not say.)
static bool is_partial(const struct snapshot_file *file)
{
    return snapshot_is_layout(file) && strchr(file->record->platform, ',') &&
           !file->record->is_all_platforms;
}

// Each under a tag of its own. What the parser takes is safe in a command.
static void append_each_platform(const struct snapshot_file *file, const char *behind,
                                 struct buf *page)
{
    struct registry_platforms platforms;
    struct err ignored = {0};
    const char *slash = strrchr(file->record->tag, '/');

    if (registry_platforms_parse(file->record->platform, &platforms, &ignored) < 0)
        return;
    for (size_t i = 0; i < platforms.count; i++) {
        const struct registry_platform *platform = &platforms.list[i];
        bool has_variant = *platform->variant;
        html_format(page, "skopeo --override-os %s", platform->os);
        html_format(page, " --override-arch %s", platform->architecture);
        if (has_variant)
            html_format(page, " --override-variant %s", platform->variant);
        html_format(page, " copy --preserve-digests oci-archive:%s%s \"docker://$REGISTRY/%s-%s",
                    file->download_name, behind, slash ? slash + 1 : file->record->tag,
                    platform->architecture);
        html_format(page, "%s%s\"\n", has_variant ? "-" : "", platform->variant);
    }
}

static void append_skopeo(const struct snapshot_file *file, struct buf *page)
{
    // skopeo before 1.14 reads no gzip.
    bool is_gzip = snapshot_is_gzip(file);

    if (is_gzip)
        html_format(page, "gunzip --stdout %s &gt;%s.tar\n", file->download_name,
                    file->download_name);
    if (is_partial(file)) {
        append_each_platform(file, is_gzip ? ".tar" : "", page);
        return;
    }
    html_format(page, "skopeo copy --all --preserve-digests oci-archive:%s%s \"docker://",
                file->download_name, is_gzip ? ".tar" : "");
    append_target(file, page);
}

static void append_crane(const struct snapshot_file *file, struct buf *page)
{
    html_format(page, "mkdir %s.layout &amp;&amp; tar -xf %s -C %s.layout\n", file->download_name,
                file->download_name, file->download_name);
    html_format(page, "crane push %s.layout \"", file->download_name);
    append_target(file, page);
}

static bool is_image_layout(const struct snapshot_file *file)
{
    return snapshot_is_layout(file) && !file->record->artifact_type && !is_partial(file);
}

static void append_by_digest(const struct snapshot_file *file, struct buf *page)
{
    const char *slash = strrchr(file->record->tag, '/');
    const char *name = slash ? slash + 1 : file->record->tag;

    buf_append_text(page, "$REGISTRY/");
    html_bytes(page, name, strcspn(name, ":"));
    html_format(page, "@%s\n", file->record->manifest_digest);
}

void report_push_steps(const struct snapshot *snapshot, struct buf *page)
{
    section_begin(page, "push", "Push into your own registry");
    if (!has_any(snapshot, snapshot_is_layout)) {
        buf_append_text(page, "<p>Nothing is known of these files that could be pushed under a "
                              "name.</p>\n");
        section_end(page);
        return;
    }
    buf_append_text(page,
                    "<p>An image keeps its digest on the way, so that your registry, your scanners "
                    "and your deployments can all name it by the digest on this page. Say first "
                    "where it goes, and log in there (<code>skopeo login</code>, <code>crane auth "
                    "login</code>):</p>\n<pre><code>REGISTRY=registry.example.com/prerelease"
                    "</code></pre>\n");
    commands(snapshot, page, "With skopeo", snapshot_is_layout, append_skopeo);
    if (has_any(snapshot, is_image_layout)) {
        commands(snapshot, page, "With crane", is_image_layout, append_crane);
        commands(snapshot, page, "Then deploy by digest", is_image_layout, append_by_digest);
    }
    section_end(page);
}

void report_air_gap_notes(struct buf *page)
{
    section_begin(page, "air-gap", "Air-gapped networks");
    buf_append_text(
        page,
        "<ul>\n<li><strong>What to carry over:</strong> the files under the names given as "
        "\xE2\x80\x9CSaved as\xE2\x80\x9D, and the list of sums under <a href=\"#verify\">"
        "Verify</a> (or <code>SHA256SUMS</code>, if it came with this page). Verify again on the "
        "inside.</li>\n"
        "<li><strong>No way out is needed:</strong> loading and pushing ask no registry and no "
        "server of ours. Each file holds its whole image.</li>\n"
        "<li><strong>Scanning:</strong> a scanner that reads <code>docker save</code> archives or "
        "OCI image layouts reads these files as they are.</li>\n"
        "<li><strong>Media that hold no file over 4 GB:</strong> <code>split --bytes=3G FILE "
        "FILE.</code> before, <code>cat FILE.* &gt; FILE</code> behind, then verify.</li>\n"
        "<li><strong>This page:</strong> it works without a network, but its links can be used by "
        "whoever finds it until they expire. A printed copy holds none.</li>\n</ul>\n");
    section_end(page);
}

// ---- security ----------------------------------------------------------------------------------

// What a proxy has to let through: "https://host:443" in parts, or as it is.
static void append_origin(const struct snapshot *snapshot, struct buf *page)
{
    const char *host = strstr(snapshot->origin, "://");
    const char *port = strrchr(snapshot->origin, ':');

    if (!host || port <= host) {
        html_format(page, "<code>%s</code>", snapshot->origin);
        return;
    }
    buf_append_text(page, "<code>");
    html_bytes(page, host + 3, (size_t)(port - host - 3));
    html_format(page, "</code>, TCP port <code>%s</code> (%s)", port + 1,
                strncmp(snapshot->origin, "https:", 6) == 0 ? "HTTPS" : "HTTP");
}

static void append_signature_notes(const struct snapshot *snapshot, struct buf *page)
{
    if (has_any(snapshot, has_signatures))
        buf_append_text(
            page,
            "<li><strong>What a signature proves:</strong> that whoever holds a certain key signed "
            "the image\xE2\x80\x99s digest, wherever the file came from since. That takes the "
            "signer\xE2\x80\x99s public key, which this page cannot give you: get it by a way that "
            "you trust. The files of signatures hold all that the registry had about the images, "
            "nothing left out by choice; whether it is genuine is yours to check, as under <a "
            "href=\"#verify\">Verify</a>.</li>\n");
    else
        buf_append_text(page,
                        "<li><strong>Signatures:</strong> what was found of them is said with each "
                        "image. \xE2\x80\x9CNone found\xE2\x80\x9D means that the registry was "
                        "asked when the image was published, and had none.</li>\n");
}

void report_security_notes(const struct snapshot *snapshot, struct buf *page)
{
    section_begin(page, "security", "Security: what your reviewers ask");
    buf_append_text(page, "<ul>\n<li><strong>What to allow in the proxy or firewall:</strong> ");
    append_origin(snapshot, page);
    buf_append_text(
        page,
        ", method GET. The links lead nowhere else and do not redirect.</li>\n"
        "<li><strong>What a link can do:</strong> read one file until it expires. It cannot list, "
        "change or delete anything, and it gives access to nothing else.</li>\n"
        "<li><strong>Who can use it:</strong> whoever holds this page or a link, from anywhere, "
        "until the expiry. Keep both out of tickets, chats and logs that others read.</li>\n"
        "<li><strong><code>curl -I</code> answers 403, and that is normal:</strong> a link is "
        "signed for GET, not for HEAD. For the same reason download tools that ask with HEAD first "
        "(BITS is one) fail. To test a link, fetch its first byte: <code>curl --fail --range 0-0 "
        "--output - LINK | wc -c</code> prints 1.</li>\n"
        "<li><strong>What a matching SHA-256 proves:</strong> that the file arrived as it was "
        "stored. It does not prove who made it: whoever could alter this page could alter both. "
        "To be sure of the author, get the digests by another way that you trust, such as a "
        "signed mail or a call, and compare.</li>\n");
    append_signature_notes(snapshot, page);
    if (has_any(snapshot, snapshot_has_provenance))
        buf_append_text(
            page,
            "<li><strong>What \xE2\x80\x9Cstated\xE2\x80\x9D and \xE2\x80\x9C"
            "attested\xE2\x80\x9D mean:</strong> stated is what the image\xE2\x80\x99s own labels "
            "or annotations say, attested what its builder wrote beside it. Neither was checked: "
            "it is as true as whoever could push the image is honest.</li>\n");
    if (has_any(snapshot, has_sha256))
        buf_append_text(
            page,
            "<li><strong>What is inside an image\xE2\x80\x99s file:</strong> its layers, "
            "configuration and manifest exactly as the registry served them, each checked against "
            "its digest. The manifest digest given above is that of the manifest in the file "
            "(<code>index.json</code> names it), so that the file can be compared with the "
            "registry at any time.</li>\n");
    buf_append_text(page, "</ul>\n");
    section_end(page);
}

void report_questions(const struct snapshot *snapshot, struct buf *page)
{
    section_begin(page, "questions", "Questions, expired links");
    if (snapshot->contact)
        html_format(page, "<p>Ask <strong>%s</strong>.", snapshot->contact);
    else
        buf_append_text(page, "<p>Ask whoever sent you this page.");
    html_format(page,
                " When the links have expired, ask for a fresh page of <code>%s</code>; "
                "the files stay the same, and so do their SHA-256 sums.</p>\n",
                snapshot_place(snapshot));
    section_end(page);
}
