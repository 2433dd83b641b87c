// download.sh and download.ps1: what is filled in, and that hostile texts stay words.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/virtual/download.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/snapshot_fixture.h"

#include <errno.h>
#include <unistd.h>

typedef int (*render_script)(const struct snapshot *snapshot, struct buf *ret_bytes,
                             struct err *err);

static char *render(render_script renderer, const struct snapshot *snapshot)
{
    struct buf script = BUF_INIT(1 << 20);
    struct err err = {0};
    assert_int_equal(renderer(snapshot, &script, &err), 0);
    return buf_take(&script);
}

static void says(const char *script, const char *text)
{
    if (!strstr(script, text))
        fail_msg("the script does not say: %s", text);
}

static void test_what_is_filled_in(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.contact = "Jane O'Neill";
    auto_free char *sh = render(download_sh_render, &fixture.snapshot);
    assert_memory_equal(sh, "#!/bin/sh\n", 10);
    says(sh, "title='Prerelease jps/fix-login, abc1234'\nbuild='jps/fix-login/abc1234'\n"
             "host='bucket.s3.eu-west-1.amazonaws.com:443'\nwhom='Jane O'\\''Neill'\n");
    says(sh, "    entry 'notes____plans_.pdf' 512 - ");
    says(sh, " other 2026-11-21T14:14:33Z 1795270473 '" FIXTURE_URL("notes.pdf") "'\n");
    says(sh, "    entry 'runtime_main.tar' 1000000 " FIXTURE_HEX " ");
    says(sh, " image 2026-11-21T14:14:33Z 1795270473 '" FIXTURE_URL("runtime%3Amain.tar") "'\n");

    auto_free char *ps1 = render(download_ps1_render, &fixture.snapshot);
    assert_memory_equal(ps1, "\xEF\xBB\xBF# download.ps1", 17);
    says(ps1, "$Title = 'Prerelease jps/fix-login, abc1234'\n$Build = 'jps/fix-login/abc1234'\n"
              "$Server = 'bucket.s3.eu-west-1.amazonaws.com:443'\n$Whom = 'Jane O''Neill'\n");
    says(ps1, "    @{ Name = 'runtime_main.tar'; Size = 1000000; Sha256 = '" FIXTURE_HEX "'; Mark");
    says(ps1, "'; Kind = 'image'; Expires = '2026-11-21T14:14:33Z'; ExpiresSeconds = 1795270473; "
              "Link = '" FIXTURE_URL("runtime%3Amain.tar") "' }\n");
    says(ps1, "UNTESTED");
    fixture_done(&fixture);
}

// Another version of a file has another mark, so that neither goes on with the other's bytes; the
// same version keeps it in every fresh script.
static void test_marks(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    auto_free char *before = render(download_sh_render, &fixture.snapshot);
    auto_free char *again = render(download_sh_render, &fixture.snapshot);
    assert_string_equal(before, again);
    fixture.files[2].etag = "\"other\"";
    auto_free char *after = render(download_sh_render, &fixture.snapshot);
    assert_string_not_equal(before, after);
    fixture_done(&fixture);
}

// The shell takes hostile texts for words: it lists the files, and nothing else happens.
static void test_hostile_texts_in_a_shell(void **state)
{
    (void)state;
    static const char evil[] = "'; touch canary #\n$(touch canary)`touch canary`\\'\"\x1b[2J\r";
    struct fixture fixture;
    char directory[] = "/tmp/test-download-XXXXXX";
    char path[100];
    char command[400];
    fixture_init(&fixture);
    fixture.snapshot.title = evil;
    fixture.snapshot.contact = evil;
    fixture.snapshot.directory = evil;
    fixture.snapshot.origin = evil;
    for (size_t i = 0; i < 3; i++)
        fixture.files[i].url = evil;
    auto_free char *script = render(download_sh_render, &fixture.snapshot);
    assert_null(strchr(script, '\x1b'));
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/download.sh", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(script, file);
    fclose(file);
    snprintf(command, sizeof(command),
             "cd %s && sh download.sh --list >out && test \"$(ls)\" = 'download.sh\nout' && "
             "test $(wc -l <out) = 10 && grep -qx runtime_main.tar out; code=$?; rm -r %s; "
             "exit $code",
             directory, directory);
    assert_int_equal(system(command), 0);
    fixture_done(&fixture);
}

// What PowerShell's tokenizer does with a script: outside comments and words, nothing of a hostile
// text may stand.
static void test_hostile_texts_in_powershell(void **state)
{
    (void)state;
    static const char evil[] = "\xE2\x80\x99; REMOVE \xE2\x80\x98'; REMOVE \n REMOVE $(REMOVE)";
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.snapshot.title = evil;
    fixture.snapshot.contact = evil;
    fixture.snapshot.directory = evil;
    fixture.snapshot.origin = evil;
    fixture.files[1].url = evil;
    auto_free char *script = render(download_ps1_render, &fixture.snapshot);
    bool is_word = false;
    size_t found = 0;
    for (const char *at = script; *at; at++) {
        size_t quote = *at == '\'' ? 1 : 0;
        if (strncmp(at, "\xE2\x80", 2) == 0 && at[2] >= '\x98' && at[2] <= '\x9B')
            quote = 3;
        if (!is_word && *at == '#')
            at += strcspn(at, "\n");
        if (strncmp(at, "REMOVE", 6) == 0) {
            assert_true(is_word);
            found++;
        }
        is_word ^= quote > 0;
        at += quote > 1 ? quote - 1 : 0;
        assert_false(is_word && *at == '\n');
    }
    assert_false(is_word);
    assert_int_equal(found, 5 * 4);
    fixture_done(&fixture);
}

static void test_limit_and_no_memory(void **state)
{
    (void)state;
    static const render_script renderers[] = {download_sh_render, download_ps1_render};
    struct fixture fixture;
    struct err err = {0};
    fixture_init(&fixture);
    for (size_t i = 0; i < ARRAY_SIZE(renderers); i++) {
        auto_free char *whole = render(renderers[i], &fixture.snapshot);
        for (size_t limit = 1; limit < strlen(whole); limit += 97) {
            auto_buf struct buf script = BUF_INIT(limit);
            assert_int_equal(renderers[i](&fixture.snapshot, &script, &err), -EFBIG);
        }
        bool has_failed = true;
        for (int nth = 1; has_failed; nth++) {
            auto_buf struct buf script = BUF_INIT(1 << 20);
            memory_fail_at(nth);
            int error = renderers[i](&fixture.snapshot, &script, &err);
            has_failed = memory_has_failed();
            memory_fail_at(0);
            if (error == 0)
                assert_string_equal(buf_text(&script), whole);
            assert_true(has_failed || error == 0);
        }
    }
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_filled_in),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_hostile_texts_in_a_shell),
        cmocka_unit_test(test_hostile_texts_in_powershell),
        cmocka_unit_test(test_limit_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
