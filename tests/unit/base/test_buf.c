#include "test.h"

#include "base/buf.h"
#include "fault_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void empty(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(10);
    assert_string_equal(buf_text(&buf), "");
    buf_clear(&buf);
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    assert_string_equal(buf.bytes, ""); // something was appended: the NUL is there
    buf_done(&buf);
    buf_done(&buf);
    buf_done(NULL);
    assert_int_equal(buf.limit, 10);
}

static void text_grows(void **state)
{
    (void)state;
    auto_buf struct buf buf = BUF_INIT(1 << 20);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_append_char(&buf, (char)('a' + i % 26)), 0);
        assert_int_equal(buf.bytes[buf.size], 0);
    }
    assert_int_equal(buf.size, 10000);
    assert_true(buf.capacity <= (1 << 20) + 1);
    buf_clear(&buf);
    assert_string_equal(buf_text(&buf), "");
    assert_int_equal(buf_append_text(&buf, "abc"), 0);
    assert_int_equal(buf_append(&buf, "\0d", 2), 0);
    assert_int_equal(buf_printf(&buf, "%s-%d", "x", 42), 0);
    assert_int_equal(buf.size, 9);
    assert_memory_equal(buf.bytes, "abc\0dx-42", 10);
}

static void limit_is_exact(void **state)
{
    (void)state;
    auto_buf struct buf buf = BUF_INIT(5);
    assert_int_equal(buf_append_text(&buf, "12345"), 0);
    assert_false(buf.is_full);
    assert_true(buf.capacity <= 6);
    assert_int_equal(buf_append_char(&buf, '6'), -E2BIG);
    assert_true(buf.is_full);
    assert_string_equal(buf.bytes, "12345");
    assert_int_equal(buf_append(&buf, "", SIZE_MAX), -E2BIG);
    assert_null(buf_take(&buf));
    buf_clear(&buf);
    assert_false(buf.is_full);
    assert_int_equal(buf_printf(&buf, "%06d", 1), -E2BIG);
    assert_string_equal(buf.bytes, "");
}

static void full_stays_full(void **state)
{
    (void)state;
    auto_buf struct buf buf = BUF_INIT(5);
    assert_int_equal(buf_append_text(&buf, "123"), 0);
    assert_int_equal(buf_append_text(&buf, "456"), -E2BIG);
    assert_int_equal(buf_append_text(&buf, "4"), -E2BIG); // it would fit, and leave a hole
    assert_string_equal(buf.bytes, "123");
    buf_done(&buf);
    assert_int_equal(buf_append_text(&buf, "4"), 0);
}

static void no_limit_and_none_at_all(void **state)
{
    (void)state;
    auto_buf struct buf none = {0};
    assert_int_equal(buf_append_char(&none, 'x'), -E2BIG);
    auto_buf struct buf endless = BUF_INIT(SIZE_MAX - 1);
    assert_int_equal(buf_append_text(&endless, "x"), 0);
    auto_buf struct buf overflowing = BUF_INIT(SIZE_MAX); // no room for the NUL in size_t
    assert_int_equal(buf_append_text(&overflowing, "x"), -E2BIG);
}

static void take_moves(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(5);
    char *text = buf_take(&buf);
    assert_string_equal(text, "");
    free(text);
    buf_append_text(&buf, "abc");
    text = buf_take(&buf);
    assert_string_equal(text, "abc");
    assert_null(buf.bytes);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf_append_text(&buf, "12345"), 0);
    free(text);
    buf_done(&buf);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(1000);
    memory_fail_at(1);
    assert_int_equal(buf_append_text(&buf, "x"), -ENOMEM);
    assert_true(buf.is_full);
    assert_string_equal(buf_text(&buf), "");
    buf_clear(&buf);
    memory_fail_at(1);
    assert_null(buf_take(&buf));
    memory_fail_at(0);

    assert_int_equal(buf_append_text(&buf, "kept"), 0);
    char big[500];
    memset(big, 'x', sizeof(big));
    memory_fail_at(1);
    assert_int_equal(buf_append(&buf, big, sizeof(big)), -ENOMEM);
    memory_fail_at(0);
    assert_string_equal(buf.bytes, "kept");
    assert_true(buf.is_full);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(full_stays_full),
        cmocka_unit_test(no_limit_and_none_at_all),
        cmocka_unit_test(take_moves),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
