#include "test.h"

#include "base/scope.h"
#include "base/secret.h"
#include "fault_memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void copies(void **state)
{
    (void)state;
    char text[] = "hush";
    auto_secret struct secret *secret = secret_from_text(text);
    secret_wipe(text, sizeof(text));
    assert_memory_equal(text, "\0\0\0\0", 5);
    assert_string_equal(secret_text(secret), "hush");
    assert_int_equal(secret_size(secret), 4);
    auto_secret struct secret *copy = secret_copy(secret);
    assert_ptr_not_equal(secret_text(copy), secret_text(secret));
    assert_string_equal(secret_text(copy), "hush");
}

static void null_and_empty(void **state)
{
    (void)state;
    secret_free(NULL);
    assert_null(secret_copy(NULL));
    assert_null(secret_from_text(NULL));
    assert_string_equal(secret_text(NULL), "");
    assert_int_equal(secret_size(NULL), 0);
    secret_wipe(NULL, 0);
    auto_secret struct secret *empty = secret_new(NULL, 0);
    assert_non_null(empty);
    assert_string_equal(secret_text(empty), "");
}

static void bytes_with_nul_and_many_pages(void **state)
{
    (void)state;
    auto_secret struct secret *secret = secret_new("a\0b", 3);
    assert_int_equal(secret_size(secret), 3);
    assert_memory_equal(secret_text(secret), "a\0b", 4);

    static char big[3 * 4096];
    memset(big, 'x', sizeof(big));
    auto_secret struct secret *large = secret_new(big, sizeof(big));
    assert_int_equal(secret_size(large), sizeof(big));
    assert_memory_equal(secret_text(large), big, sizeof(big));
    assert_int_equal(secret_text(large)[sizeof(big)], 0);
    assert_null(secret_new(big, SIZE_MAX));
}

static void joins(void **state)
{
    (void)state;
    auto_secret struct secret *secret = secret_join("Bearer ", "abc", "", ".def", NULL);
    assert_string_equal(secret_text(secret), "Bearer abc.def");
    assert_int_equal(secret_size(secret), 14);
    auto_secret struct secret *one = secret_join("x", NULL);
    assert_string_equal(secret_text(one), "x");
}

// "dd" in VmFlags is MADV_DONTDUMP.
static void stays_out_of_core_dumps(void **state)
{
    (void)state;
    auto_secret struct secret *secret = secret_from_text("hush");
    uintptr_t wanted = (uintptr_t)secret_text(secret);
    FILE *maps = fopen("/proc/self/smaps", "re");
    if (!maps)
        skip();
    char line[512];
    bool is_inside = false;
    bool is_left_out = false;
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from;
        unsigned long to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_inside = wanted >= from && wanted < to;
        else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            is_left_out = strstr(line, " dd") != NULL;
    }
    fclose(maps);
    assert_true(is_left_out);
}

// What secret.c gives back to the kernel is looked at on its way there.
static size_t released_size;
static bool was_wiped;

int munmap(void *region, size_t size)
{
    static const char zeros[2 * 4096];
    released_size = size;
    was_wiped = size <= sizeof(zeros) && memcmp(region, zeros, size) == 0;
    return (int)syscall(SYS_munmap, region, size);
}

static void wiped_on_release(void **state)
{
    (void)state;
    static char text[5000];
    memset(text, 'x', sizeof(text));
    struct secret *secrets[] = {
        secret_new(text, sizeof(text)),
        secret_from_text("hush"),
        secret_join("Basic ", "aHVzaA==", NULL),
    };
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        size_t size = secret_size(secrets[i]);
        was_wiped = false;
        secret_free(secrets[i]);
        assert_true(was_wiped);
        assert_true(released_size > size);
    }
    { // at the end of a scope as well
        was_wiped = false;
        auto_secret struct secret *secret = secret_from_text("hush");
        assert_non_null(secret);
    }
    assert_true(was_wiped);

    char buffer[] = "hush";
    secret_wipe(buffer, sizeof(buffer));
    assert_memory_equal(buffer, "\0\0\0\0", sizeof(buffer));
}

static void out_of_memory(void **state)
{
    (void)state;
    auto_secret struct secret *secret = secret_from_text("x");
    memory_fail_at(1);
    assert_null(secret_from_text("x"));
    memory_fail_at(1);
    assert_null(secret_copy(secret));
    memory_fail_at(1);
    assert_null(secret_join("a", "b", NULL));
    memory_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),
        cmocka_unit_test(null_and_empty),
        cmocka_unit_test(bytes_with_nul_and_many_pages),
        cmocka_unit_test(joins),
        cmocka_unit_test(stays_out_of_core_dumps),
        cmocka_unit_test(wiped_on_release),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests_name("base/secret", tests, NULL, NULL);
}
