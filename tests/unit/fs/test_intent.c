// Intents: tests/corpus/intent by file name, round trips, hostile JSON; and who is judged dead.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/publish/intent.h"
#include "s3.h"
#include "tests/unit/base/fault_memory.h"
#include "tests/unit/fs/damage.h"
#include "tests/unit/registry/corpus.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT "eda46d8f-330b-4ddc-970a-97ec747cb1b0"
#define OTHER_BOOT "00000000-330b-4ddc-970a-97ec747cb1b0"
#define MACHINE "0123456789abcdef0123456789abcdef"

// ---- parsing -----------------------------------------------------------------------------------

static int parse(const char *bytes, size_t size)
{
    struct intent *intent = (void *)1;
    struct err err = {0};
    int error = intent_parse(bytes, size, &intent, &err);
    if (error < 0) {
        assert_ptr_equal(intent, (void *)1);
        assert_true(error == -EBADMSG || error == -EPROTONOSUPPORT);
        assert_true(*err.text);
        return error;
    }
    // What was taken can be written, and read again.
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    assert_int_equal(intent_format(intent, &json, &err), 0);
    intent_free(intent);
    assert_int_equal(intent_parse(json.bytes, json.size, &intent, &err), 0);
    intent_free(intent);
    return 0;
}

static void check_accepted(const char *name, char *text, size_t size)
{
    check_taken(name, text, size, parse);
}

static void check_rejected(const char *name, char *text, size_t size)
{
    int expected = strncmp(name, "version-newer", 13) == 0 ? -EPROTONOSUPPORT : -EBADMSG;
    if (parse_exactly(text, size, parse) != expected)
        fail_msg("%s was not refused as it should be", name);
    parse_damaged(text, size, parse);
}

static void test_corpus(void **state)
{
    (void)state;
    corpus_replay("intent/accept", check_accepted);
    corpus_replay("intent/reject", check_rejected);
}

static const struct intent_origin origin = {
    .host = "build-7",
    .machine = MACHINE,
    .boot = BOOT,
    .pid_namespace = 4026531836,
    .pid = 1715,
    .started_ticks = 456789,
};

static char *names[] = {(char *)"a.tar", (char *)"b:1.tar.gz"};

static struct intent fixture_intent(void)
{
    return (struct intent){
        .origin = origin,
        .mount = "5e7af04678b23f0e6a8346a7cc33b38b",
        .program = (char *)"0.1.0",
        .directory = (char *)"jps/fix",
        .names = names,
        .name_count = ARRAY_SIZE(names),
    };
}

static void test_bytes(void **state)
{
    (void)state;
    struct intent intent = fixture_intent();
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    struct err err = {0};
    assert_int_equal(intent_format(&intent, &json, &err), 0);
    assert_string_equal(json.bytes,
                        "{\"version\":1,\"host\":\"build-7\",\"machine\":\"" MACHINE "\",\"boot\":"
                        "\"" BOOT "\",\"pid_namespace\":4026531836,\"pid\":1715,\"started\":456789,"
                        "\"mount\":\"5e7af04678b23f0e6a8346a7cc33b38b\",\"program\":\"0.1.0\","
                        "\"directory\":\"jps/fix\",\"names\":[\"a.tar\",\"b:1.tar.gz\"]}\n");
    struct intent *read = NULL;
    assert_int_equal(intent_parse(json.bytes, json.size, &read, &err), 0);
    assert_memory_equal(&read->origin, &origin, sizeof(origin));
    assert_string_equal(read->mount, intent.mount);
    assert_string_equal(read->directory, "jps/fix");
    assert_int_equal(read->name_count, 2);
    assert_string_equal(read->names[1], "b:1.tar.gz");
    intent_free(read);
    intent_free(NULL);
}

// What intent_parse would refuse is not written.
static void test_format_refuses(void **state)
{
    (void)state;
    struct intent intent = fixture_intent();
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    auto_buf struct buf small = BUF_INIT(100);
    struct err err = {0};
    assert_int_equal(intent_format(&intent, &small, &err), -EFBIG);
    intent.name_count = 0;
    assert_int_equal(intent_format(&intent, &json, &err), -EBADMSG);
    intent.name_count = 1;
    intent.directory = (char *)"a/\xFF";
    assert_int_equal(intent_format(&intent, &json, &err), -EBADMSG);
    intent.directory = (char *)"";
    intent.origin.pid = 0;
    assert_int_equal(intent_format(&intent, &json, &err), -EBADMSG);
    assert_int_equal(json.size, 0);
}

// The most that a reference file can name, every byte of it escaped, still fits.
static void test_largest_write(void **state)
{
    (void)state;
    struct intent intent = fixture_intent();
    struct err err = {0};
    char *most[INTENT_NAMES_MAX + 1];
    for (size_t i = 0; i <= INTENT_NAMES_MAX; i++)
        most[i] = (char *)"\x01\x01\x01\x01\x01\x01\x01\x01.tar.gz";
    char directory[S3_KEY_SIZE_MAX + 1];
    memset(directory, '\x01', sizeof(directory));
    for (size_t i = 200; i < sizeof(directory); i += 200)
        directory[i] = '/';
    directory[sizeof(directory) - 1] = '\0';
    intent.directory = directory;
    intent.names = most;
    intent.name_count = INTENT_NAMES_MAX;
    auto_buf struct buf json = BUF_INIT(2 * INTENT_LIMIT);
    assert_int_equal(intent_format(&intent, &json, &err), 0);
    struct intent *read = NULL;
    assert_int_equal(intent_parse(json.bytes, json.size, &read, &err), 0);
    intent_free(read);
    intent.name_count++;
    assert_int_equal(intent_format(&intent, &json, &err), -EBADMSG);
}

// Text that is small and would be large once built, is refused before it is built.
static void test_bombs(void **state)
{
    (void)state;
    static const char *const values[] = {"0,", "[],", "{},", "\"\",", "[[[[]]]],"};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
        buf_append_text(&json, "{\"version\":1,\"more\":[");
        while (json.size < INTENT_LIMIT - 64)
            buf_append_text(&json, values[i]);
        buf_append_text(&json, "0]}");
        struct intent *intent;
        struct err err = {0};
        assert_int_equal(intent_parse(json.bytes, json.size, &intent, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "larger than any"));
    }
    auto_buf struct buf blanks = BUF_INIT(INTENT_LIMIT + 1);
    while (blanks.size <= INTENT_LIMIT)
        buf_append_char(&blanks, ' ');
    assert_int_equal(parse(blanks.bytes, blanks.size), -EBADMSG);
}

static void *allocate(size_t size) // jansson's own allocations, so that they can be made to fail
{
    return malloc(size);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct intent intent = fixture_intent();
    auto_buf struct buf json = BUF_INIT(INTENT_LIMIT);
    struct err err = {0};
    json_set_alloc_funcs(allocate, free);
    assert_int_equal(intent_format(&intent, &json, &err), 0);
    bool was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        auto_buf struct buf again = BUF_INIT(INTENT_LIMIT);
        memory_fail_at(nth);
        int error = intent_format(&intent, &again, &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error < 0, was_refused);
    }
    was_refused = true;
    for (int nth = 1; was_refused; nth++) {
        struct intent *read = NULL;
        memory_fail_at(nth);
        int error = intent_parse(json.bytes, json.size, &read, &err);
        was_refused = memory_has_failed();
        memory_fail_at(0);
        assert_int_equal(error < 0, was_refused);
        intent_free(read);
    }
    json_set_alloc_funcs(malloc, free);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *host, *expected;
    } table[] = {
        {"", NULL, ".prereleasefs/intents/"},
        {"team/one/", NULL, "team/one/.prereleasefs/intents/"},
        {"", "build-7.example.com", ".prereleasefs/intents/build-7.example.com/"},
        {"team/", "b\xC3\xBC/../c", "team/.prereleasefs/intents/b___.._c/"},
        {"", "..", ".prereleasefs/intents/_./"},
        {"", "", ".prereleasefs/intents/_/"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        auto_free char *prefix = intent_prefix(table[i].prefix, table[i].host);
        assert_string_equal(prefix, table[i].expected);
    }
    auto_free char *key = intent_object_key("team/", "h", "0123");
    assert_string_equal(key, "team/.prereleasefs/intents/h/0123.json");
}

// ---- who is dead -------------------------------------------------------------------------------

enum { WRITTEN_MS = 1000 * 1000, BEFORE_MS = WRITTEN_MS - 1, AFTER_MS = WRITTEN_MS + 1 };

static void test_judgement(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *host, *machine, *boot; // of the intent's origin
        uint64_t pid_namespace;
        int64_t booted_ms;
        enum intent_process process;
        uint64_t started_ticks; // of the process seen here
        bool is_dead;
    } table[] = {
        // The same boot
        {"the process is gone", "build-7", MACHINE, BOOT, 5, BEFORE_MS, INTENT_PROCESS_GONE, 0,
         true},
        {"the process runs", "build-7", MACHINE, BOOT, 5, BEFORE_MS, INTENT_PROCESS_RUNS, 456789,
         false},
        {"its number is another's", "build-7", MACHINE, BOOT, 5, BEFORE_MS, INTENT_PROCESS_RUNS,
         456790, true},
        {"it is there but hidden", "build-7", MACHINE, BOOT, 5, BEFORE_MS, INTENT_PROCESS_UNKNOWN,
         0, false},
        {"another container", "build-7", MACHINE, BOOT, 6, BEFORE_MS, INTENT_PROCESS_GONE, 0,
         false},
        {"a container unknown", "build-7", MACHINE, BOOT, 0, BEFORE_MS, INTENT_PROCESS_GONE, 0,
         false},
        {"another host's name", "build-8", MACHINE, BOOT, 5, BEFORE_MS, INTENT_PROCESS_GONE, 0,
         false},
        {"machine unknown, boot the same", "build-7", "", BOOT, 5, BEFORE_MS, INTENT_PROCESS_GONE,
         0, true},
        // Another boot
        {"before this machine booted", "build-7", MACHINE, OTHER_BOOT, 5, AFTER_MS,
         INTENT_PROCESS_RUNS, 456789, true},
        {"before it booted, another container", "build-7", MACHINE, OTHER_BOOT, 6, AFTER_MS,
         INTENT_PROCESS_UNKNOWN, 0, true},
        {"since it booted: a machine like this one", "build-7", MACHINE, OTHER_BOOT, 5, BEFORE_MS,
         INTENT_PROCESS_GONE, 0, false},
        {"another machine of that name", "build-7", "fedcba9876543210fedcba9876543210", OTHER_BOOT,
         5, AFTER_MS, INTENT_PROCESS_GONE, 0, false},
        {"another name of that machine", "build-8", MACHINE, OTHER_BOOT, 5, AFTER_MS,
         INTENT_PROCESS_GONE, 0, false},
        {"machine unknown", "build-7", "", OTHER_BOOT, 5, AFTER_MS, INTENT_PROCESS_GONE, 0, false},
        {"boot unknown", "build-7", MACHINE, "", 5, AFTER_MS, INTENT_PROCESS_GONE, 0, false},
        {"host unknown", "", MACHINE, BOOT, 5, AFTER_MS, INTENT_PROCESS_GONE, 0, false},
    };
    struct intent_origin self = origin;
    self.pid_namespace = 5;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct intent_origin other = {
            .pid_namespace = table[i].pid_namespace,
            .pid = origin.pid,
            .started_ticks = origin.started_ticks,
        };
        strcpy(other.host, table[i].host);
        strcpy(other.machine, table[i].machine);
        strcpy(other.boot, table[i].boot);
        const struct intent_witness witness = {
            .self = &self,
            .booted_ms = table[i].booted_ms,
            .process = table[i].process,
            .started_ticks = table[i].started_ticks,
        };
        if (intent_origin_is_dead(&other, WRITTEN_MS, &witness) != table[i].is_dead)
            fail_msg("%s: judged wrongly", table[i].name);
    }
}

// A mount that knows nothing of itself judges nobody.
static void test_unknown_self(void **state)
{
    (void)state;
    struct intent_origin self = {0};
    struct intent_origin other = {0};
    struct intent_witness witness = {.self = &self, .process = INTENT_PROCESS_GONE};
    witness.booted_ms = AFTER_MS;
    assert_false(intent_origin_is_dead(&other, WRITTEN_MS, &witness));
    assert_false(intent_origin_is_dead(&origin, WRITTEN_MS, &witness));
    strcpy(self.host, origin.host);
    strcpy(self.boot, OTHER_BOOT);
    assert_false(intent_origin_is_dead(&origin, WRITTEN_MS, &witness));
    strcpy(self.boot, BOOT);
    assert_false(intent_origin_is_dead(&origin, WRITTEN_MS, &witness));
    other = self;
    assert_false(intent_origin_is_dead(&other, WRITTEN_MS, &witness));
    other.pid_namespace = self.pid_namespace = 1;
    assert_true(intent_origin_is_dead(&other, WRITTEN_MS, &witness));
}

static void test_own_origin(void **state)
{
    (void)state;
    struct intent_origin self, again;
    intent_origin_read(&self);
    intent_origin_read(&again);
    assert_memory_equal(&self, &again, sizeof(self));
    assert_int_equal(self.pid, getpid());
    assert_int_equal(strlen(self.boot), INTENT_BOOT_SIZE - 1);
    assert_true(self.pid_namespace > 0 && self.started_ticks > 0);
    assert_true(strlen(self.machine) == 0 || strlen(self.machine) == INTENT_MACHINE_SIZE - 1);
    assert_true(intent_uptime_ms() > 0);

    uint64_t started_ticks = 0;
    assert_int_equal(intent_process_look(self.pid, &started_ticks), INTENT_PROCESS_RUNS);
    assert_int_equal(started_ticks, self.started_ticks);
    assert_int_equal(intent_process_look(1, &started_ticks), INTENT_PROCESS_RUNS);
    assert_int_equal(intent_process_look(0, &started_ticks), INTENT_PROCESS_GONE);
    assert_int_equal(intent_process_look(-1, &started_ticks), INTENT_PROCESS_GONE);
    assert_int_equal(intent_process_look(INT64_MAX, &started_ticks), INTENT_PROCESS_GONE);
    assert_int_equal(intent_process_look(INT32_MAX, &started_ticks), INTENT_PROCESS_GONE);
}

// Killed, and its parent has not heard of it: dead all the same.
static void test_dead_process(void **state)
{
    (void)state;
    uint64_t started_ticks = 0;
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    assert_int_equal(intent_process_look(child, &started_ticks), INTENT_PROCESS_RUNS);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(intent_process_look(child, &started_ticks), INTENT_PROCESS_GONE);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(intent_process_look(child, &started_ticks), INTENT_PROCESS_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),         cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_format_refuses), cmocka_unit_test(test_largest_write),
        cmocka_unit_test(test_bombs),          cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_keys),           cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_unknown_self),   cmocka_unit_test(test_own_origin),
        cmocka_unit_test(test_dead_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
