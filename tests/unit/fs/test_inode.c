// The table of inodes: one number for one version for as long as the kernel holds it.
#include "tests/unit/base/test.h"

#include "base/scope.h"
#include "fs/inode.h"
#include "tests/unit/base/fault_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what virtual.c has -------------------------------------------------------------------------

static int renderings_held;

struct rendering *rendering_ref(struct rendering *rendering)
{
    renderings_held++;
    return rendering;
}

void rendering_unref(struct rendering *rendering)
{
    renderings_held -= rendering != NULL;
}

static const struct virtual_file urls_tsv = {.name = "urls.tsv", .holds_links = true};
static const struct virtual_file status_tsv = {.name = "status.tsv", .is_live = true};

// -------------------------------------------------------------------------------------------------

static struct tree_entry object(const char *name, const char *etag)
{
    return (struct tree_entry){
        .name = name,
        .size_bytes = 1025,
        .modified_ms = 1500,
        .etag = etag,
        .storage_class = "STANDARD",
    };
}

static const struct inode_style style = {
    .uid = 7,
    .gid = 8,
    .file_mode = 0444,
    .directory_mode = 0775,
    .link_mode = 0440,
    .mounted_ms = 60000,
    .now_ms = 90000,
};

static struct inodes *table(void)
{
    struct inodes *inodes = NULL;
    struct err err = {0};
    assert_int_equal(inodes_new(&inodes, &err), 0);
    return inodes;
}

static void test_root(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct inode *root = inode_of_id(inodes, 1);
    assert_int_equal(root->kind, INODE_DIRECTORY);
    assert_string_equal(root->directory, "");
    assert_int_equal(root->number, 1);
    assert_int_equal(inode_id(inodes, root), 1);
    assert_ptr_equal(inode_of_directory(inodes, ""), root);
    inode_forget(inodes, root, 1000); // it never goes
    assert_ptr_equal(inode_of_id(inodes, 1), root);
    inodes_free(inodes);
    inodes_free(NULL);
}

static void test_one_version_is_one_inode(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct tree_entry first = object("a.tar", "\"1\"");
    struct tree_entry second = object("a.tar", "\"2\"");
    struct tree_entry touched = object("a.tar", "\"1\"");
    touched.modified_ms = 2500;
    struct inode *inode = inode_of_entry(inodes, "d", &first);
    assert_ptr_equal(inode_of_entry(inodes, "d", &first), inode);
    assert_ptr_not_equal(inode_of_entry(inodes, "d", &second), inode);
    assert_ptr_not_equal(inode_of_entry(inodes, "d", &touched), inode);
    assert_ptr_not_equal(inode_of_entry(inodes, "e", &first), inode);
    assert_ptr_equal(inode_of_directory(inodes, "d"), inode_of_directory(inodes, "d"));
    assert_ptr_equal(inode_of_id(inodes, inode_id(inodes, inode)), inode);
    assert_int_equal(inode_number_of_entry("d", &first), inode->number);
    // Reference files come last where entries are sorted by number.
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.ref", i);
        struct tree_entry reference = first;
        reference.name = name;
        uint64_t last = inode_number_of_entry("d", &reference);
        snprintf(name, sizeof(name), "%d.tar", i);
        assert_true(inode_number_of_entry("d", &reference) < last);
    }

    struct tree_entry directory = {.name = "d", .is_directory = true};
    assert_int_equal(inode_number_of_entry("x", &directory),
                     inode_of_directory(inodes, "x/d")->number);
    // While one lookup is left, it is found again.
    inode_forget(inodes, inode, 1);
    assert_ptr_equal(inode_of_entry(inodes, "d", &first), inode);
    inodes_free(inodes);
}

static void test_forgotten(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct rendering rendering = {.bytes = "x", .size = 1, .id = 5};
    struct inode *inode = inode_of_rendering(inodes, "d", &urls_tsv, &rendering);
    assert_ptr_equal(inode_of_rendering(inodes, "d", &urls_tsv, &rendering), inode);
    assert_int_equal(renderings_held, 1);
    inode_ref(inodes, inode);
    inode_forget(inodes, inode, 2);
    assert_int_equal(renderings_held, 1); // a handle has it
    inode_unref(inodes, inode);
    assert_int_equal(renderings_held, 0);
    inode_unref(inodes, NULL);

    struct rendering other = {.bytes = "x", .size = 1, .id = 6};
    assert_ptr_not_equal(inode_of_rendering(inodes, "d", &urls_tsv, &rendering),
                         inode_of_rendering(inodes, "d", &urls_tsv, &other));
    inodes_free(inodes); // what the kernel still holds goes too
    assert_int_equal(renderings_held, 0);
}

static void test_to_write(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct tree_entry entry = object("images.ref", "\"1\"");
    struct inode *known = inode_of_entry(inodes, "d", &entry);
    struct inode *own = inode_to_write(inodes, known);
    assert_ptr_not_equal(own, known);
    assert_int_equal(own->number, known->number); // it is the same version
    assert_string_equal(own->etag, known->etag);
    assert_false(inode_is_immutable(own));
    assert_true(inode_is_immutable(known));
    assert_ptr_equal(inode_of_entry(inodes, "d", &entry), known);
    assert_ptr_equal(inode_look_up(inodes, own), own);
    inode_forget(inodes, own, 2);

    struct rendering rendering = {.bytes = "x", .size = 1, .id = 5};
    known = inode_of_rendering(inodes, "d", &urls_tsv, &rendering);
    assert_int_equal(inode_to_write(inodes, known)->kind, INODE_WRITER);
    inodes_free(inodes);
}

static void test_loners(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct err failure = {.errnum = EACCES, .text = "no role"};
    struct inode *one = inode_of_writer(inodes, "d", "images.ref");
    struct inode *two = inode_of_writer(inodes, "d", "images.ref");
    assert_ptr_not_equal(one, two);
    assert_int_not_equal(one->number, two->number);
    struct inode *failed = inode_of_failure(inodes, "d", &urls_tsv, &failure);
    assert_ptr_not_equal(inode_of_failure(inodes, "d", &urls_tsv, &failure), failed);
    assert_string_equal(failed->failure->text, "no role");
    struct inode *live = inode_of_live(inodes, "d", &status_tsv);
    assert_ptr_equal(inode_of_live(inodes, "d", &status_tsv), live);
    inode_forget(inodes, one, 1);
    inode_forget(inodes, failed, 1);
    inodes_free(inodes);
}

static void test_many(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct inodes *inodes = table();
    static struct inode *made[COUNT];
    char name[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        struct tree_entry entry = object(name, "\"1\"");
        made[i] = i % 3 ? inode_of_entry(inodes, "d", &entry) : inode_of_writer(inodes, "d", name);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        struct tree_entry entry = object(name, "\"1\"");
        if (i % 3)
            assert_ptr_equal(inode_of_entry(inodes, "d", &entry), made[i]);
    }
    for (int i = 0; i < COUNT; i += 2)
        inode_forget(inodes, made[i], 2);
    inodes_free(inodes);
}

static void test_attributes(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct stat attr;
    struct tree_entry entry = object("a.tar", "\"1\"");
    struct inode *inode = inode_of_entry(inodes, "d", &entry);
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_mode, S_IFREG | 0444);
    assert_int_equal(attr.st_size, 1025);
    assert_int_equal(attr.st_blocks, 3);
    assert_int_equal(attr.st_nlink, 1);
    assert_int_equal(attr.st_uid, 7);
    assert_int_equal(attr.st_gid, 8);
    assert_int_equal(attr.st_mtim.tv_sec, 1);
    assert_int_equal(attr.st_mtim.tv_nsec, 500000000);
    assert_true(inode_is_immutable(inode));

    inode_stat(inode_of_directory(inodes, "d"), &style, &attr);
    assert_int_equal(attr.st_mode, S_IFDIR | 0775);
    assert_int_equal(attr.st_mtim.tv_sec, 60);

    struct rendering rendering = {.bytes = "xyz", .size = 3, .rendered_ms = 70000, .id = 1};
    inode_stat(inode_of_rendering(inodes, "d", &urls_tsv, &rendering), &style, &attr);
    assert_int_equal(attr.st_mode, S_IFREG | 0440);
    assert_int_equal(attr.st_size, 3);
    assert_int_equal(attr.st_mtim.tv_sec, 70);

    struct err failure = {.errnum = EACCES};
    inode = inode_of_failure(inodes, "d", &urls_tsv, &failure);
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_size, 0);
    assert_false(inode_is_immutable(inode));

    inode = inode_of_live(inodes, "d", &status_tsv);
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_mode, S_IFREG | 0444);
    assert_int_equal(attr.st_mtim.tv_sec, 90);
    assert_false(inode_is_immutable(inode));
    inodes_free(inodes);
}

// Whoever may write to a directory may replace its reference files, never under releases/.
static void test_written(void **state)
{
    (void)state;
    struct inodes *inodes = table();
    struct stat attr;
    struct tree_entry entry = object("images.ref", "\"1\"");
    struct inode *inode = inode_of_entry(inodes, "d", &entry);
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_mode, S_IFREG | 0664);
    atomic_store(&inode->is_written, true);
    atomic_store(&inode->written_size, 5);
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_size, 5);
    assert_false(inode_is_immutable(inode));
    inode_stat(inode_of_entry(inodes, "releases/v1", &entry), &style, &attr);
    assert_int_equal(attr.st_mode, S_IFREG | 0444);
    inode = inode_of_writer(inodes, "d", "x.ref");
    inode_stat(inode, &style, &attr);
    assert_int_equal(attr.st_size, 0);
    assert_false(inode_is_immutable(inode));
    inodes_free(inodes);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool has_failed = true;
    for (int nth = 1; has_failed; nth++) {
        struct inodes *inodes = NULL;
        struct err err = {0};
        struct tree_entry entry = object("a", "\"1\"");
        memory_fail_at(nth);
        if (inodes_new(&inodes, &err) == 0) {
            struct err failure = {.errnum = EACCES};
            inode_of_entry(inodes, "d", &entry);
            inode_of_directory(inodes, "d");
            inode_of_writer(inodes, "d", "x");
            inode_of_failure(inodes, "d", &urls_tsv, &failure);
            inode_of_live(inodes, "d", &status_tsv);
        }
        has_failed = memory_has_failed();
        memory_fail_at(0);
        inodes_free(inodes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root),       cmocka_unit_test(test_one_version_is_one_inode),
        cmocka_unit_test(test_forgotten),  cmocka_unit_test(test_to_write),
        cmocka_unit_test(test_loners),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_written),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
