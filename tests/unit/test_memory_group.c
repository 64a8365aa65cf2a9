/* How a worker that wasn't made in its control group moves there, by either version's file. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/memory_group.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

/* The text that was written to a file of the folder's; "-": there is none. */
static char *content(int folder, const char *name)
{
    char *text = NULL;
    size_t length;
    return files_read(folder, name, 100, &text, &length, NULL, NULL) == 1 ? text : memory_text("-");
}

static void test_a_worker_moves_itself_by_the_file_that_its_groups_version_has(void **state)
{
    char path[] = "/tmp/memory-group-XXXXXX";
    assert_non_null(mkdtemp(path));
    OWNED_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    memory_group_enter(folder); /* a group that has gone */
    memory_group_enter(-1);     /* made in its group, or without one */
    assert_true(files_write(folder, "cgroup.procs", "", 0, false, NULL));
    memory_group_enter(folder);
    OWNED char *second = content(folder, "cgroup.procs");
    assert_string_equal(second, "0");
    assert_true(files_write(folder, "cgroup.procs", "", 0, false, NULL));
    assert_true(files_write(folder, "tasks", "", 0, false, NULL));
    memory_group_enter(folder);
    OWNED char *first = content(folder, "tasks"), *left = content(folder, "cgroup.procs");
    assert_string_equal(first, "0");
    assert_string_equal(left, "");
    unlinkat(folder, "tasks", 0);
    unlinkat(folder, "cgroup.procs", 0);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_moves_itself_by_the_file_that_its_groups_version_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
