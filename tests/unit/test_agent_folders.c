/* The agents' folders are made whole or not at all, each in a place of its own. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/agent/folders.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

static ino_t inode_at(const char *name)
{
    struct stat status;
    return fstatat(scratch.data, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static ino_t opened(const char *name)
{
    struct fault fault = {0};
    struct stat status = {0};
    OWNED_FD int tree = trees_open(scratch.data, name, &fault);
    if (tree < 0)
        fail_msg("%s", fault.text);
    assert_int_equal(fstat(tree, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    return status.st_ino;
}

static void test_a_folder_is_made_once_and_is_the_same_ever_after(void **state)
{
    ino_t first = opened("orion");
    assert_int_equal(inode_at("agents/orion"), first);
    assert_int_equal(opened("orion"), first);
    assert_int_not_equal(opened("iris"), first);
    OWNED char *command = memory_print("test \"$(ls -A %s/agents)\" = \"iris\norion\"", scratch.path);
    assert_int_equal(system(command), 0); /* and nothing else lies there */
}

static void test_the_folder_that_somebody_made_is_taken_as_it_is(void **state)
{
    assert_int_equal(mkdirat(scratch.data, "agents", 0700), 0);
    assert_int_equal(mkdirat(scratch.data, "agents/orion", 0700), 0);
    assert_int_equal(opened("orion"), inode_at("agents/orion"));
    opened("iris");
    struct stat status;
    assert_int_equal(fstatat(scratch.data, "agents", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

static void test_what_is_no_folder_is_a_fault_and_stays(void **state)
{
    struct fault fault = {0};
    assert_int_equal(mkdirat(scratch.data, "agents", 0755), 0);
    assert_int_equal(symlinkat("/tmp", scratch.data, "agents/orion"), 0);
    assert_int_equal(trees_open(scratch.data, "orion", &fault), -1);
    assert_non_null(strstr(fault.text, "agents/orion"));
    assert_int_not_equal(inode_at("agents/orion"), 0);
    assert_int_equal(renameat(scratch.data, "agents", scratch.data, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", scratch.data, "agents"), 0);
    assert_int_equal(trees_open(scratch.data, "iris", &fault), -1);
    assert_int_equal(inode_at("elsewhere/iris"), 0);
}

static void test_what_a_killed_supervisor_left_unfinished_goes_and_what_has_files_stays(void **state)
{
    trees_sweep(scratch.data); /* no folder is there yet */
    opened("orion");
    assert_int_equal(mkdirat(scratch.data, "agents/.new-1", 0755), 0);
    assert_int_equal(mkdirat(scratch.data, "agents/.new-2", 0755), 0);
    assert_int_equal(mkdirat(scratch.data, "agents/.new-2/file", 0755), 0);
    trees_sweep(scratch.data);
    assert_int_equal(inode_at("agents/.new-1"), 0);
    assert_int_not_equal(inode_at("agents/.new-2/file"), 0);
    assert_int_not_equal(inode_at("agents/orion"), 0);
}

static int flags_of(const char *name)
{
    int flags = 0;
    OWNED_FD int folder = openat(scratch.data, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder >= 0 && ioctl(folder, FS_IOC_GETFLAGS, &flags) == 0 ? flags & FS_TOPDIR_FL : -1;
}

static bool file_system_knows_the_mark(void)
{
    int flags = FS_TOPDIR_FL;
    assert_int_equal(mkdirat(scratch.data, "trial", 0755), 0);
    OWNED_FD int trial = openat(scratch.data, "trial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ioctl(trial, FS_IOC_SETFLAGS, &flags) == 0 && flags_of("trial") == FS_TOPDIR_FL;
}

static void test_whose_folder_it_made_lie_apart_on_the_disk_and_a_persons_is_left_as_it_is(void **state)
{
    if (!file_system_knows_the_mark())
        skip();
    opened("orion");
    assert_int_equal(flags_of("agents"), FS_TOPDIR_FL);
    assert_int_equal(flags_of("agents/orion"), 0);
    assert_int_equal(renameat(scratch.data, "agents", scratch.data, "before"), 0);
    assert_int_equal(mkdirat(scratch.data, "agents", 0755), 0);
    opened("orion");
    assert_int_equal(flags_of("agents"), 0);
}

int main(void)
{
#define PROMISE(name) cmocka_unit_test_setup_teardown(name, scratch_begin, scratch_end)
    const struct CMUnitTest tests[] = {
        PROMISE(test_a_folder_is_made_once_and_is_the_same_ever_after),
        PROMISE(test_the_folder_that_somebody_made_is_taken_as_it_is),
        PROMISE(test_what_is_no_folder_is_a_fault_and_stays),
        PROMISE(test_what_a_killed_supervisor_left_unfinished_goes_and_what_has_files_stays),
        PROMISE(test_whose_folder_it_made_lie_apart_on_the_disk_and_a_persons_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
