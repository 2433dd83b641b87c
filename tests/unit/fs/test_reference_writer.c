// What a reference file's writer does with the writes, flushes and interrupts of real programs.
// The engine is a fake that notes what it is asked and ends when the test says so.
#include "fs/reference_writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct {
    struct publish_request request;
    char file[256];
    int starts;
    int cancels;
    int refusals;
    int refused_errnum;
} fake;

static const struct reference_defaults defaults = {
    .platforms = {.list = {{.os = "linux", .architecture = "amd64"}}, .count = 1}};

const struct reference_defaults *publish_engine_defaults(const struct publish_engine *engine)
{
    (void)engine;
    return &defaults;
}

int publish_start(struct publish_engine *engine, struct publish_request *request,
                  struct publish **ret_publish, struct err *err)
{
    (void)engine;
    (void)err;
    fake.request = *request;
    memcpy(fake.file, request->file_bytes, request->file_size);
    fake.file[request->file_size] = '\0';
    fake.starts++;
    *ret_publish = (struct publish *)&fake;
    return 0;
}

void publish_refuse(struct publish_engine *engine, const char *directory, const char *file,
                    struct audit_who who, const struct err *err)
{
    (void)who;
    (void)engine;
    (void)directory;
    (void)file;
    fake.refusals++;
    fake.refused_errnum = err->errnum;
}

void publish_cancel(struct publish *publish)
{
    (void)publish;
    fake.cancels++;
}

void publish_unref(struct publish *publish)
{
    (void)publish;
}

static void fake_ends(int error)
{
    struct err err = {.errnum = -error};
    reference_lines_free(fake.request.lines, fake.request.line_count);
    fake.request.lines = NULL;
    fake.request.done(fake.request.context, error, &err, error ? "" : "\"etag\"");
}

// ---- the kernel's side
// ---------------------------------------------------------------------------

enum { WAITING = 1 }; // no errno is positive

static void reply(void *context, int error)
{
    *(int *)context = error;
}

static struct writer *writer;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    const struct reference_writer_options options = {.directory = "b/abc", .name = "x.ref"};
    struct err err;
    return reference_writer_new(&options, &writer, &err);
}

static int tear_down(void **state)
{
    (void)state;
    writer_release(writer, false);
    return 0;
}

static int wrote;

static void write_text(uint64_t offset, const char *text)
{
    wrote = WAITING;
    writer_write(writer, offset, text, strlen(text), reply, &wrote);
}

static int flush_now(void)
{
    int flushed = WAITING;
    writer_flush(writer, WRITER_CLOSE, reply, &flushed);
    return flushed;
}

#define LINE_A "r.example/a:1\n"
#define LINE_B "r.example/b:1\n"

// ---- programs
// ------------------------------------------------------------------------------------

static void a_flush_before_any_data_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(flush_now(), 0);
    assert_int_equal(fake.starts, 0);
}

static void a_write_waits_for_its_lines(void **state)
{
    (void)state;
    write_text(0, LINE_A LINE_B);
    assert_int_equal(wrote, WAITING);
    assert_int_equal(fake.request.line_count, 2);
    fake_ends(0);
    assert_int_equal(wrote, 0);
    assert_int_equal(flush_now(), 0);
    assert_int_equal(fake.starts, 1);
}

static void a_line_in_pieces_is_acted_on_when_complete(void **state)
{
    (void)state;
    write_text(0, "r.example/");
    assert_int_equal(wrote, 0);
    assert_int_equal(fake.starts, 0);
    write_text(10, "a:1\nr.exa");
    assert_int_equal(wrote, WAITING);
    assert_int_equal(fake.request.line_count, 1);
    assert_string_equal(fake.file, LINE_A);
    fake_ends(0);
    write_text(19, "mple/b:1\n");
    assert_int_equal(fake.request.lines[0].line_number, 2);
    assert_string_equal(fake.file, LINE_A LINE_B);
    assert_string_equal(fake.request.own_etag, "\"etag\"");
    fake_ends(0);
    assert_int_equal(wrote, 0);
}

static void a_last_line_without_newline_waits_in_flush(void **state)
{
    (void)state;
    write_text(0, "r.example/a:1");
    assert_int_equal(wrote, 0);
    int flushed = WAITING;
    writer_flush(writer, WRITER_CLOSE, reply, &flushed);
    assert_int_equal(flushed, WAITING);
    fake_ends(-ENOENT);
    assert_int_equal(flushed, -ENOENT);
}

static void comments_alone_publish_and_store_nothing(void **state)
{
    (void)state;
    write_text(0, "# nothing\n\n");
    assert_int_equal(wrote, 0);
    assert_int_equal(flush_now(), 0);
    assert_int_equal(fake.starts, 0);
}

static void comments_behind_published_lines_are_stored(void **state)
{
    (void)state;
    write_text(0, LINE_A);
    fake_ends(0);
    write_text(strlen(LINE_A), "# the end");
    assert_int_equal(wrote, 0);
    int flushed = WAITING;
    writer_flush(writer, WRITER_CLOSE, reply, &flushed);
    assert_int_equal(fake.request.line_count, 0);
    assert_string_equal(fake.file, LINE_A "# the end");
    fake_ends(0);
    assert_int_equal(flushed, 0);
}

static void one_bad_line_refuses_the_write_and_the_handle(void **state)
{
    (void)state;
    write_text(0, LINE_A "nonsense\n");
    assert_int_equal(wrote, -EINVAL);
    assert_int_equal(fake.starts, 0);
    assert_int_equal(fake.refused_errnum, EINVAL);
    write_text(0, LINE_A); // bash goes on at offset 0 after a failed write
    assert_int_equal(wrote, -EINVAL);
    assert_int_equal(flush_now(), -EINVAL);
}

static void a_handle_that_failed_stays_failed(void **state)
{
    (void)state;
    write_text(0, LINE_A);
    fake_ends(-EACCES);
    assert_int_equal(wrote, -EACCES);
    write_text(strlen(LINE_A), LINE_B);
    assert_int_equal(wrote, -EACCES);
    assert_int_equal(fake.starts, 1);
}

static void an_interrupt_answers_at_once_and_the_close_cancels(void **state)
{
    (void)state;
    write_text(0, LINE_A);
    writer_interrupt(writer, &wrote, -EINTR);
    assert_int_equal(wrote, -EINTR);
    assert_int_equal(fake.cancels, 0);
    int flushed = WAITING;
    writer_flush(writer, WRITER_CLOSE, reply, &flushed);
    assert_int_equal(fake.cancels, 1);
    fake_ends(-EINTR);
    assert_int_equal(flushed, -EINTR);
}

static void a_continued_cp_reattaches(void **state)
{
    (void)state;
    write_text(0, LINE_A);
    writer_interrupt(writer, &wrote, -EINTR);
    assert_int_equal(wrote, -EINTR);
    write_text(0, LINE_A);
    assert_int_equal(wrote, WAITING);
    assert_int_equal(fake.starts, 1);
    fake_ends(0);
    assert_int_equal(wrote, 0);
}

static void a_cp_continued_too_late_gets_the_result(void **state)
{
    (void)state;
    write_text(0, LINE_A);
    writer_interrupt(writer, &wrote, -EINTR);
    fake_ends(0);
    write_text(0, LINE_A);
    assert_int_equal(wrote, 0);
    assert_int_equal(fake.starts, 1);
    assert_int_equal(flush_now(), 0);
}

static void an_interrupt_of_another_request_changes_nothing(void **state)
{
    (void)state;
    int other;
    write_text(0, LINE_A);
    writer_interrupt(writer, &other, -EINTR);
    assert_int_equal(wrote, WAITING);
    fake_ends(0);
}

static void random_writes_are_refused(void **state)
{
    (void)state;
    write_text(100, LINE_A);
    assert_int_equal(wrote, -EOPNOTSUPP);
}

static void a_file_over_the_limit_is_refused(void **state)
{
    (void)state;
    char comment[4096];
    memset(comment, '#', sizeof(comment));
    uint64_t offset = 0;
    do {
        wrote = WAITING;
        writer_write(writer, offset, comment, sizeof(comment), reply, &wrote);
        offset += sizeof(comment);
    } while (wrote == 0 && offset <= REFERENCE_FILE_LIMIT);
    assert_int_equal(wrote, -EFBIG);
    assert_int_equal(offset, REFERENCE_FILE_LIMIT + sizeof(comment));
}

static void open_to_append(const char *base)
{
    writer_release(writer, false);
    const struct reference_writer_options options = {
        .directory = "b/abc",
        .name = "x.ref",
        .base = base,
        .base_size = strlen(base),
    };
    struct err err;
    assert_int_equal(reference_writer_new(&options, &writer, &err), 0);
}

static void comments_behind_what_is_there_are_stored(void **state)
{
    (void)state;
    open_to_append(LINE_A);
    write_text(strlen(LINE_A), "# more\n");
    assert_int_equal(fake.request.line_count, 0);
    assert_string_equal(fake.file, LINE_A "# more\n");
    fake_ends(0);
    assert_int_equal(wrote, 0);
}

static void nothing_is_appended_to_half_a_line(void **state)
{
    (void)state;
    open_to_append(LINE_A "# end");
    assert_int_equal(flush_now(), 0);
    write_text(strlen(LINE_A "# end"), LINE_B);
    assert_int_equal(wrote, -EINVAL);
}

static void an_append_acts_on_the_new_lines_alone(void **state)
{
    (void)state;
    open_to_append(LINE_A);
    write_text(strlen(LINE_A), LINE_B);
    assert_int_equal(fake.request.line_count, 1);
    assert_string_equal(fake.request.lines[0].reference.repository, "b");
    assert_int_equal(fake.request.lines[0].line_number, 2);
    assert_string_equal(fake.file, LINE_A LINE_B);
    fake_ends(0);
    assert_int_equal(wrote, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flush_before_any_data_does_nothing),
        TEST(a_write_waits_for_its_lines),
        TEST(a_line_in_pieces_is_acted_on_when_complete),
        TEST(a_last_line_without_newline_waits_in_flush),
        TEST(comments_alone_publish_and_store_nothing),
        TEST(comments_behind_published_lines_are_stored),
        TEST(one_bad_line_refuses_the_write_and_the_handle),
        TEST(a_handle_that_failed_stays_failed),
        TEST(an_interrupt_answers_at_once_and_the_close_cancels),
        TEST(a_continued_cp_reattaches),
        TEST(a_cp_continued_too_late_gets_the_result),
        TEST(an_interrupt_of_another_request_changes_nothing),
        TEST(random_writes_are_refused),
        TEST(a_file_over_the_limit_is_refused),
        TEST(an_append_acts_on_the_new_lines_alone),
        TEST(comments_behind_what_is_there_are_stored),
        TEST(nothing_is_appended_to_half_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
