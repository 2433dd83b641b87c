#include "../base/test.h"
#include "corpus.h"

#include "registry/challenge.h"

#include "base/buf.h"

#include <errno.h>
#include <string.h>

static void render_field(struct buf *text, const char *name, const char *value)
{
    if (value != NULL)
        buf_printf(text, " %s=<%s>", name, value);
}

static void check_accept(const char *name, char *text, size_t size)
{
    (void)size;
    static const char *const schemes[] = {"other", "basic", "bearer"};
    auto_buf struct buf is = BUF_INIT(64 * 1024);
    struct challenges challenges;
    const char *header = corpus_line(&text);
    if (registry_challenges_parse(header == NULL ? "" : header, &challenges) < 0)
        fail_msg("%s is refused", name);
    for (size_t i = 0; i < challenges.count; i++) {
        const struct challenge *challenge = &challenges.list[i];
        buf_append_text(&is, schemes[challenge->scheme]);
        render_field(&is, "realm", challenge->realm);
        render_field(&is, "service", challenge->service);
        render_field(&is, "scope", challenge->scope);
        render_field(&is, "error", challenge->error);
        buf_append_char(&is, '\n');
    }
    registry_challenges_done(&challenges);
    if (strcmp(buf_text(&is), text) != 0)
        fail_msg("%s: is\n%snot\n%s", name, buf_text(&is), text);
}

static void check_reject(const char *name, char *text, size_t size)
{
    (void)size;
    struct challenges challenges;
    if (registry_challenges_parse(corpus_line(&text), &challenges) != -EINVAL)
        fail_msg("%s is accepted", name);
}

static void parses(void **state)
{
    (void)state;
    corpus_replay("challenge/accept", check_accept);
    corpus_replay("challenge/reject", check_reject);
    registry_challenges_done(NULL);
}

// Every text of the corpus, cut at every place: whatever comes of it, it is answered.
static void cut_everywhere(const char *name, char *text, size_t size)
{
    (void)name;
    size_t line = strcspn(text, "\n");
    (void)size;
    for (size_t cut = line < 300 ? line : 300; cut > 0; cut--) {
        struct challenges challenges;
        text[cut] = '\0';
        if (registry_challenges_parse(text, &challenges) == 0)
            registry_challenges_done(&challenges);
    }
}

static void is_total(void **state)
{
    (void)state;
    corpus_replay("challenge/accept", cut_everywhere);
    corpus_replay("challenge/reject", cut_everywhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(is_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
