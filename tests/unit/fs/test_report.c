// report.html: what it says, that it is well formed, and that nothing in a name becomes markup.
#include "tests/unit/base/test.h"

#include "base/digest.h"
#include "base/scope.h"
#include "fs/virtual/report.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <ctype.h>
#include <errno.h>

enum { NESTING_MAX = 32 };

static char *render(const struct snapshot *snapshot)
{
    struct buf page = BUF_INIT(1 << 20);
    struct err err = {0};
    assert_int_equal(report_render(snapshot, &page, &err), 0);
    return buf_take(&page);
}

static void says(const char *page, const char *text)
{
    if (!strstr(page, text))
        fail_msg("the page does not say: %s", text);
}

static void says_not(const char *page, const char *text)
{
    if (strstr(page, text))
        fail_msg("the page says: %s", text);
}

static size_t count_of(const char *page, const char *text)
{
    size_t count = 0;
    while ((page = strstr(page, text))) {
        page++;
        count++;
    }
    return count;
}

static void test_content(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.title = "Fix for SSO";
    fixture.snapshot.contact = "Jane <jane@example.com>";
    fixture.records[1]->has_zstd_layers = true;
    fixture.records[1]->source_digest[7] = '0';
    fixture.files[2].referrers = &(struct record_referrers){
        .is_known = true,
        .statements = {[REGISTRY_SIGNATURE] = 2, [REGISTRY_SBOM] = 1},
        .left_out = 1,
    };
    auto_free char *page = render(&fixture.snapshot);
    static const char *const sentences[] = {
        "<!DOCTYPE html>\n<html lang=\"en\">",
        "<title>Fix for SSO</title>",
        "<h1>Fix for SSO</h1>",
        "<dt>Branch</dt><dd>jps/fix-login</dd>",
        "<dt>Commit</dt><dd><code>abc1234</code></dd>",
        "<time datetime=\"2026-11-21T01:16:33Z\">Saturday 21 November 2026, 01:16 UTC</time>",
        "3 files, 2.00 MB (2,000,512 bytes)",
        "<strong><time datetime=\"2026-11-21T14:14:33Z\">Saturday 21 November 2026, 14:14 "
        "UTC</time>"
        "</strong>, 11 hours 58 minutes after this page was made",
        "<dt>Contact</dt><dd>Jane &lt;jane@example.com&gt;</dd>",
        "Treat this page as confidential",
        // a file
        "<h3>runtime:main.tar</h3>",
        "href=\"https://bucket.s3.eu-west-1.amazonaws.com/runtime%3Amain.tar?X-Amz-Date=1&amp;"
        "X-Amz-Signature=abc\">Download runtime_main.tar</a>",
        "<p class=\"quiet\">1.00 MB \xC2\xB7 linux/amd64</p>",
        "<dt>Saved as</dt><dd><code>runtime_main.tar</code></dd>",
        "<dt>Image</dt><dd><code>" FIXTURE_REFERENCE "</code></dd>",
        "<dt>Loads as</dt><dd><code>" FIXTURE_REFERENCE "</code></dd>",
        "<dt>Platform</dt><dd><code>linux/amd64</code></dd>",
        "<dt>Manifest digest</dt><dd><code>" FIXTURE_DIGEST "</code></dd>",
        "<dt>Index digest</dt><dd><code>sha256:0c9a3ce0",
        "<dt>Image ID</dt><dd><code>" FIXTURE_DIGEST "</code></dd>",
        "SHA-256</dt><dd><code>" FIXTURE_HEX "</code></dd>",
        "needs Docker 23 or newer",
        "<dt>Signatures</dt><dd>not looked for when it was published (see",
        "<dt>Signatures</dt><dd>2 signatures, 1 SBOM, 1 document that could not be carried; the "
        "file that holds them is not among these (see",
        "not known: nothing was recorded",
        // steps
        "curl --fail --continue-at - --output runtime_main.tar &#39;https://bucket.s3.eu-west-1."
        "amazonaws.com/runtime%3Amain.tar?X-Amz-Date=1&amp;X-Amz-Signature=abc&#39;",
        "Invoke-WebRequest -UseBasicParsing -Uri &#39;https://",
        "curl.exe --fail --continue-at - --output runtime_main.tar &#39;https://",
        "sha256sum -c - &lt;&lt;'EOF'\n" FIXTURE_HEX "  runtime-api_latest.tar.gz\n" FIXTURE_HEX
        "  runtime_main.tar\nEOF\n",
        "shasum -a 256 -c - &lt;&lt;'EOF'\n",
        "certutil -hashfile runtime_main.tar SHA256\n",
        "(Get-FileHash runtime_main.tar -Algorithm SHA256).Hash -eq '" FIXTURE_HEX "'\n",
        "docker load --input runtime_main.tar\n",
        "podman load --input runtime_main.tar\n",
        "sudo ctr --namespace k8s.io images import runtime_main.tar\n",
        "gunzip --stdout runtime-api_latest.tar.gz | sudo ctr --namespace k8s.io images import -\n",
        "skopeo copy --all --preserve-digests oci-archive:runtime_main.tar "
        "\"docker://$REGISTRY/runtime:174c691-nikolaik\"\n",
        "gunzip --stdout runtime-api_latest.tar.gz &gt;runtime-api_latest.tar.gz.tar\nskopeo copy "
        "--all --preserve-digests "
        "oci-archive:runtime-api_latest.tar.gz.tar "
        "\"docker://$REGISTRY/runtime:174c691-nikolaik\"\n",
        "mkdir runtime_main.tar.layout &amp;&amp; tar -xf runtime_main.tar -C "
        "runtime_main.tar.layout\n"
        "crane push runtime_main.tar.layout \"$REGISTRY/runtime:174c691-nikolaik\"\n",
        "$REGISTRY/runtime@" FIXTURE_DIGEST "\n",
        "<h2 id=\"air-gap\">",
        // what reviewers ask
        "<code>bucket.s3.eu-west-1.amazonaws.com</code>, TCP port <code>443</code> (HTTPS)",
        "<code>curl -I</code> answers 403",
        "It does not prove who made it",
        "said with each image.",
        "Ask <strong>Jane &lt;jane@example.com&gt;</strong>.",
        "a fresh page of <code>jps/fix-login/abc1234</code>",
        "by prereleasefs 0.1.0",
    };
    for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
        says(page, sentences[i]);
    // A document is not loaded into an engine.
    says_not(page, "load --input notes");
    fixture_done(&fixture);
}

static void test_signatures(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct record_referrers found = {.is_known = true};
    fixture.files[2].referrers = &found;
    auto_free char *none = render(&fixture.snapshot);
    says(none, "<dt>Signatures</dt><dd>none found (see");
    says_not(none, "cosign verify");

    found.statements[REGISTRY_SIGNATURE] = 1;
    found.buildx = 2;
    fixture.files[0].name = "runtime:main.signatures.tar";
    fixture.files[0].download_name = "runtime_main.signatures.tar";
    fixture.files[2].signatures = &fixture.files[0];
    auto_free char *page = render(&fixture.snapshot);
    says(page, "<dt>Signatures</dt><dd>1 signature, 2 attestations by the builder inside the file, "
               "in <code>runtime_main.signatures.tar</code> (see");
    says(page, "tar -xf runtime_main.signatures.tar -C runtime_main.tar.layout\n"
               "cosign verify --key cosign.pub --insecure-ignore-tlog=true --local-image "
               "runtime_main.tar.layout\n");
    says(page, "What a signature proves");
    says_not(page, "load --input runtime_main.signatures");
    fixture_done(&fixture);
}

static void test_kinds_of_builds(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *commit = render(&fixture.snapshot);
    says(commit, "<h1>Prerelease jps/fix-login, abc1234</h1>");
    says(commit, "Ask whoever sent you this page.");
    says_not(commit, "Index digest");
    says_not(commit, "Docker 23");

    fixture.snapshot.build = "nightly";
    auto_free char *build = render(&fixture.snapshot);
    says(build, "<dt>Build</dt><dd><code>nightly</code></dd>");

    fixture.snapshot.directory = "releases/v1.2.3";
    fixture.snapshot.is_release = true;
    fixture.snapshot.branch = "";
    fixture.snapshot.build = "v1.2.3";
    auto_free char *release = render(&fixture.snapshot);
    says(release, "<h1>Release v1.2.3</h1>");
    says(release, "<dt>Version</dt><dd><code>v1.2.3</code></dd>");
    says_not(release, "<dt>Branch</dt>");

    fixture.snapshot.directory = fixture.snapshot.branch = "jps/fix-login";
    fixture.snapshot.is_release = false;
    fixture.snapshot.is_branch = true;
    fixture.snapshot.build = "";
    fixture.files[1].name = "abc1234/api:1.tar";
    auto_free char *branch = render(&fixture.snapshot);
    says(branch, "<h1>Prerelease jps/fix-login</h1>");
    says(branch, "<h3>api:1.tar</h3>");
    says(branch, "<dt>Commit</dt><dd><code>abc1234</code></dd>");
    assert_int_equal(count_of(branch, "<dt>Commit</dt>"), 1);

    fixture.snapshot.is_branch = false;
    fixture.snapshot.branch = "";
    fixture.files[1].name = "api:1.tar";
    fixture.snapshot.directory = "";
    fixture.snapshot.is_release = false;
    fixture.snapshot.build = "";
    auto_free char *root = render(&fixture.snapshot);
    says(root, "<h1>Files of bucket</h1>");
    says(root, "a fresh page of <code>bucket</code>");
    fixture_done(&fixture);
}

static void test_nothing_known(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (size_t i = 0; i < 3; i++) {
        fixture.files[i].record = NULL;
        fixture.files[i].url = NULL;
    }
    fixture.snapshot.origin = "nowhere";
    auto_free char *page = render(&fixture.snapshot);
    says(page, "No SHA-256 of these files is known");
    // Losing records costs detail, not the way to load what was published.
    says(page, "docker load --input runtime_main.tar\n");
    says(page, "gunzip --stdout runtime-api_latest.tar.gz |");
    says_not(page, "class=\"button\"");
    says_not(page, "confidential.");
    says(page, "<code>nowhere</code>");

    fixture.snapshot.file_count = 1;
    auto_free char *document = render(&fixture.snapshot);
    says(document, "None of these files is known to be a container image");
    fixture_done(&fixture);
}

// ---- form --------------------------------------------------------------------------------------

// Start and end tags match; answers how many elements there were.
static size_t check_nesting(const char *page)
{
    char open[NESTING_MAX][16];
    size_t depth = 0;
    size_t count = 0;
    for (const char *at = page; (at = strchr(at, '<')); at++) {
        char name[16] = "";
        bool is_end = at[1] == '/';
        size_t size = 0;
        for (const char *c = at + 1 + is_end; isalnum((unsigned char)*c) && size < 15; c++)
            name[size++] = *c;
        assert_true(size > 0 || at[1] == '!');
        if (size == 0 || strcmp(name, "meta") == 0)
            continue;
        if (!is_end) {
            assert_true(depth < NESTING_MAX);
            memcpy(open[depth++], name, sizeof(name));
            count++;
        } else {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        }
    }
    assert_int_equal(depth, 0);
    return count;
}

static void test_form(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *page = render(&fixture.snapshot);
    assert_true(check_nesting(page) > 100);
    assert_int_equal(count_of(page, "<h1>"), 1);
    assert_int_equal(count_of(page, "<main>"), 1);
    // Every link within the page leads to one place.
    for (const char *at = page; (at = strstr(at, "href=\"#")); at++) {
        char id[64];
        snprintf(id, sizeof(id), "id=\"%.*s\"", (int)strcspn(at + 7, "\""), at + 7);
        assert_int_equal(count_of(page, id), 1);
    }
    // Every other is a download, and tells nobody where it was found.
    assert_int_equal(count_of(page, "href=\"http"), 3);
    assert_int_equal(count_of(page, "rel=\"noreferrer\" href=\"http"), 3);
    static const char *const never[] = {"<script", " src=", " style=", "<link", "<img",
                                        "@import", "url(",  "<iframe", "<form", "javascript:"};
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        says_not(page, never[i]);
    fixture_done(&fixture);
}

// Without its links the page is small.
static void test_weight(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *page = render(&fixture.snapshot);
    assert_true(strlen(page) < 40000);
    fixture_done(&fixture);
}

// The policy admits this very style sheet and nothing else.
static void test_policy(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *page = render(&fixture.snapshot);
    const char *style = strstr(page, "<style>") + strlen("<style>");
    const char *end = strstr(style, "</style>");
    uint8_t digest[SHA256_SIZE];
    char policy[300];
    sha256_of(style, (size_t)(end - style), digest);
    auto_free char *hash = digest_base64(digest, sizeof(digest));
    snprintf(policy, sizeof(policy),
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
             "style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">",
             hash);
    says(page, policy);
    assert_true(strstr(page, policy) < style);
    says(page, "<meta name=\"referrer\" content=\"no-referrer\">");
    fixture_done(&fixture);
}

// What an image says of itself is shown as text, and a revision that does not fit is warned of.
static void test_provenance(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *silent = render(&fixture.snapshot);
    says_not(silent, "Stated");
    says_not(silent, "Attested");
    struct registry_provenance *provenance = &fixture.records[1]->provenance;
    provenance->facts[REGISTRY_FACT_SOURCE] = strdup("javascript:alert(1)");
    provenance->facts[REGISTRY_FACT_REVISION] = strdup("abc1234def");
    provenance->facts[REGISTRY_FACT_BUILDER] = strdup("https://github.com/o/a/actions/runs/1");
    auto_free char *page = render(&fixture.snapshot);
    says(page, "<dt>Stated source</dt><dd><code>javascript:alert(1)</code></dd>");
    says(page, "<dt>Stated revision</dt><dd><code>abc1234def</code></dd>");
    says(page, "<dt>Attested builder</dt><dd><code>https://github.com/o/a/actions/runs/1</code>");
    says(page, "attested what its builder wrote beside it");
    says_not(page, "href=\"javascript");
    says_not(page, "another revision");
    fixture.snapshot.build = "fff1234";
    fixture.snapshot.directory = "jps/fix-login/fff1234";
    auto_free char *warned = render(&fixture.snapshot);
    says(warned, "<p class=\"notice\"><strong>This image states another revision than its "
                 "build\xE2\x80\x99s:</strong> <code>abc1234def</code>");
    // Of a branch's page the file's own build counts.
    fixture.snapshot.directory = "jps/fix-login";
    fixture.files[2].name = "abc1234/runtime:main.tar";
    auto_free char *branch = render(&fixture.snapshot);
    says_not(branch, "another revision");
    fixture.files[2].name = "fff1234/runtime:main.tar";
    auto_free char *warned_branch = render(&fixture.snapshot);
    says(warned_branch, "another revision");
    fixture_done(&fixture);
}

// Every text that somebody else chose, hostile.
static void test_hostile_texts(void **state)
{
    (void)state;
    static const char evil[] = "\"'><script>alert(1)</script>\xE2\x80\xAE&\x1b</code></title>";
    struct fixture fixture;
    fixture_init(&fixture);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < REGISTRY_FACT_COUNT; k++)
            fixture.records[i]->provenance.facts[k] = strdup("abc1234");
    auto_free char *before = render(&fixture.snapshot);
    size_t elements = check_nesting(before);
    fixture.snapshot.title = evil;
    fixture.snapshot.contact = evil;
    fixture.snapshot.directory = evil;
    fixture.snapshot.branch = evil;
    fixture.snapshot.build = evil;
    fixture.snapshot.bucket = evil;
    fixture.snapshot.origin = evil;
    fixture.snapshot.version = evil;
    for (size_t i = 0; i < 3; i++) {
        fixture.files[i].name = evil;
        fixture.files[i].url = evil;
    }
    for (size_t i = 0; i < 2; i++) {
        struct record *record = fixture.records[i];
        char **texts[] = {&record->reference, &record->tag, &record->platform};
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
            free(*texts[k]);
            *texts[k] = strdup(evil);
        }
        for (size_t k = 0; k < REGISTRY_FACT_COUNT; k++) {
            free(record->provenance.facts[k]);
            record->provenance.facts[k] = strdup(evil);
        }
    }
    auto_free char *page = render(&fixture.snapshot);
    says_not(page, "<script");
    says_not(page, "\xE2\x80\xAE");
    says_not(page, "\x1b");
    says(page, "[U+202E]");
    // (a title adds a contact, an origin that is no URL takes a <code> away; what a name holds
    // before a '/' is taken for a build)
    size_t now = check_nesting(page);
    assert_in_range(now, elements, elements + 4 + 3 * 4);
    fixture_done(&fixture);
}

static void test_limit_and_no_memory(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {0};
    fixture_init(&fixture);
    auto_free char *whole = render(&fixture.snapshot);
    for (size_t limit = 1; limit < strlen(whole); limit += 97) {
        auto_buf struct buf page = BUF_INIT(limit);
        assert_int_equal(report_render(&fixture.snapshot, &page, &err), -EFBIG);
    }
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        auto_buf struct buf page = BUF_INIT(1 << 20);
        memory_fail_at(nth);
        int error = report_render(&fixture.snapshot, &page, &err);
        has_failed = memory_has_failed();
        memory_fail_at(0);
        // A page is whole, or there is none.
        if (error == 0)
            assert_string_equal(buf_text(&page), whole);
        if (!has_failed)
            assert_int_equal(error, 0);
    }
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_kinds_of_builds),
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_limit_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
