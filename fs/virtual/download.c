#include "download.h"

#include "download_ps1.h"
#include "download_sh.h"
#include "escape.h"

#include "../path.h"
#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

// Lines of the scripts, in place of which something is filled in.
#define FACTS "#@ facts\n"
#define FILES "    #@ files\n"
// Without it Windows PowerShell takes the script for something else than UTF-8.
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

typedef int (*append_word)(struct buf *script, const char *word);

static void append_fact(struct buf *script, const char *assignment, const char *value,
                        append_word append)
{
    buf_append_text(script, assignment);
    append(script, value);
    buf_append_char(script, '\n');
}

static void append_title(const struct snapshot *snapshot, struct buf *script,
                         const char *assignment, append_word append)
{
    auto_buf struct buf title = BUF_INIT(script->limit);

    snapshot_title(snapshot, &title);
    script->is_full |= title.is_full; // its limit is the script's
    append_fact(script, assignment, buf_text(&title), append);
}

static const char *whom(const struct snapshot *snapshot)
{
    return snapshot->contact ? snapshot->contact : "whoever sent you this script";
}

// Tells the versions of all files apart, so that none is gone on with where another began; the same
// in a branch's script and in a build's.
static uint64_t mark(const struct snapshot_file *file)
{
    return path_hash(path_last(file->name)) ^ (path_hash(file->etag) << 1);
}

static const char *sha256_of_file(const struct snapshot_file *file)
{
    return file->record ? file->record->sha256 : "-";
}

static const char *kind(const struct snapshot_file *file)
{
    return snapshot_is_archive(file) ? "image" : snapshot_is_chart(file) ? "chart" : "other";
}

static void append_sh_file(const struct snapshot_file *file, struct buf *script)
{
    char expires[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(file->expires_ms, expires);
    buf_append_text(script, "    entry ");
    escape_shell_word(script, file->download_name);
    buf_printf(script, " %" PRIu64 " %s %016" PRIx64 " %s %s %" PRId64 " ", file->size_bytes,
               sha256_of_file(file), mark(file), kind(file), expires, file->expires_ms / 1000);
    escape_shell_word(script, file->url);
    buf_append_char(script, '\n');
}

static void append_ps1_file(const struct snapshot_file *file, struct buf *script)
{
    char expires[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(file->expires_ms, expires);
    buf_append_text(script, "    @{ Name = ");
    escape_powershell_word(script, file->download_name);
    buf_printf(script,
               "; Size = %" PRIu64 "; Sha256 = '%s'; Mark = '%016" PRIx64
               "'; Kind = '%s'; Expires = '%s'; ExpiresSeconds = %" PRId64 "; Link = ",
               file->size_bytes, sha256_of_file(file), mark(file), kind(file), expires,
               file->expires_ms / 1000);
    escape_powershell_word(script, file->url);
    buf_append_text(script, " }\n");
}

struct language {
    const char *script;
    const char *title, *build, *server, *whom; // assignments
    append_word append;
    void (*append_file)(const struct snapshot_file *file, struct buf *script);
};

static void append_facts(const struct snapshot *snapshot, const struct language *language,
                         struct buf *script)
{
    append_title(snapshot, script, language->title, language->append);
    append_fact(script, language->build, snapshot_place(snapshot), language->append);
    append_fact(script, language->server, snapshot_host(snapshot), language->append);
    append_fact(script, language->whom, whom(snapshot), language->append);
}

static int render(const struct snapshot *snapshot, const struct language *language,
                  struct buf *ret_bytes, struct err *err)
{
    const char *facts = strstr(language->script, FACTS);
    const char *files = strstr(language->script, FILES);

    buf_append(ret_bytes, language->script, (size_t)(facts - language->script));
    append_facts(snapshot, language, ret_bytes);
    facts += strlen(FACTS);
    buf_append(ret_bytes, facts, (size_t)(files - facts));
    for (size_t i = 0; i < snapshot->file_count; i++)
        language->append_file(&snapshot->files[i], ret_bytes);
    buf_append_text(ret_bytes, files + strlen(FILES));
    if (ret_bytes->is_full)
        return err_set(err, EFBIG,
                       "the script of %zu files does not fit into memory (%zu bytes at most)",
                       snapshot->file_count, ret_bytes->limit);
    return 0;
}

int download_sh_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    static const struct language sh = {
        download_sh, "title=", "build=", "host=", "whom=", escape_shell_word, append_sh_file};

    return render(snapshot, &sh, ret_bytes, err);
}

int download_ps1_render(const struct snapshot *snapshot, struct buf *ret_bytes, struct err *err)
{
    static const struct language ps1 = {download_ps1,   "$Title = ", "$Build = ",
                                        "$Server = ",   "$Whom = ",  escape_powershell_word,
                                        append_ps1_file};

    buf_append_text(ret_bytes, BYTE_ORDER_MARK);
    return render(snapshot, &ps1, ret_bytes, err);
}
