/* Writes of many files under few flushes, of which one fails: no file is told as written that a power cut may take. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "supervisor/store/batch.h"
#include "tests/unit/cmocka.h"

enum { FLUSHES_MAX = 40 };

static int flushes, fails_at;

static bool flush_fails(void)
{
    errno = EIO;
    return ++flushes == fails_at;
}

/* In place of the C library's: the linker takes these first. */
int fsync(int fd)
{
    return flush_fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return flush_fails() ? -1 : (int)syscall(SYS_syncfs, fd);
}

static size_t done_of(int data, size_t count)
{
    OWNED_BATCH struct batch batch = {0};
    struct fault fault;
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        struct buffer text = {0};
        OWNED char *folder = memory_print("agents/a%zu/iac/inbox", i);
        buffer_print(&text, "text %zu", i);
        batch_add(&batch, folder, "one", &text, true);
    }
    flushes = 0;
    batch_flush(data, &batch);
    for (size_t i = 0; i < count; i++)
        done += batch_result(&batch, i, &fault) == WRITE_DONE;
    return done;
}

static void no_file_is_done_whose_flush_failed(void **state)
{
    static const size_t counts[] = {1, 2, 7};
    char folder[] = "/tmp/test_batch.XXXXXX";
    assert_non_null(mkdtemp(folder));
    OWNED_FD int data = files_open_path(folder, NULL);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fails_at = 0;
        assert_int_equal(done_of(data, counts[i]), counts[i]);
        int all = flushes;
        assert_in_range(all, 1, FLUSHES_MAX);
        for (fails_at = 1; fails_at <= all; fails_at++)
            assert_true(done_of(data, counts[i]) < counts[i]);
    }
    OWNED char *remove = memory_print("rm -r %s", folder);
    assert_int_equal(system(remove), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_file_is_done_whose_flush_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
