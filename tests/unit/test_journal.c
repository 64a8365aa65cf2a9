/* The journal's promises: an appended record comes back, a torn one doesn't. */
#include "common/buffer.h"
#include "common/journal.h"
#include "tests/unit/history_fixture.h"

static bool collect(void *context, const void *record, size_t length)
{
    buffer_print(context, "%.*s;", (int)length, (const char *)record);
    return true;
}

struct folder {
    char path[64];
    int tree;
};

static int begin(void **state)
{
    struct folder *folder = memory_new(1, sizeof *folder);
    strcpy(folder->path, "/tmp/journal-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->tree = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(folder->tree, ".agentos", 0755), 0);
    journal_boot_is("boot-1");
    *state = folder;
    return 0;
}

static int end(void **state)
{
    struct folder *folder = *state;
    char command[192];
    snprintf(command, sizeof command, "rm -rf %s", folder->path);
    int result = system(command);
    close(folder->tree);
    free(folder);
    return result;
}

static struct journal *opened(struct folder *folder, bool damaged)
{
    char *damage = NULL;
    struct fault fault = {0};
    struct journal *journal = journal_open(folder->tree, &damage, &fault);
    if (!journal)
        fail_msg("%s", fault.text);
    assert_int_equal(damage != NULL, damaged);
    free(damage);
    return journal;
}

static void append(struct journal *journal, const char *text)
{
    assert_true(journal_append(journal, text, strlen(text), NULL));
}

static void assert_replays(struct journal *journal, const char *expected)
{
    OWNED_BUFFER struct buffer found = {0};
    buffer_text(&found, "");
    assert_true(journal_replay(journal, collect, &found, NULL));
    assert_string_equal(found.data, expected);
}

static void test_after_a_kill_only_what_is_not_done_is_redone(void **state)
{
    struct journal *journal = opened(*state, false);
    append(journal, "one");
    journal_done(journal);
    append(journal, "two");
    journal_close(journal);
    journal = opened(*state, false);
    assert_false(journal_power_was_cut(journal));
    assert_replays(journal, "two;");
    journal_done(journal);
    append(journal, "three");
    assert_replays(journal, "three;");
    journal_close(journal);
}

static void test_after_a_power_cut_everything_since_the_checkpoint_is_redone(void **state)
{
    struct journal *journal = opened(*state, false);
    append(journal, "before");
    assert_true(journal_checkpoint(journal, NULL));
    assert_int_equal(journal_size(journal), 0);
    append(journal, "one");
    journal_done(journal);
    append(journal, "two");
    journal_done(journal);
    journal_close(journal);
    journal_boot_is("boot-2");
    journal = opened(*state, false);
    assert_true(journal_power_was_cut(journal));
    assert_replays(journal, "one;two;");
    assert_true(journal_checkpoint(journal, NULL));
    assert_replays(journal, "");
    journal_close(journal);
}

static void test_a_boot_that_nobody_knows_counts_as_a_power_cut(void **state)
{
    journal_boot_is("");
    struct journal *journal = opened(*state, false);
    append(journal, "one");
    journal_done(journal);
    journal_close(journal);
    journal = opened(*state, false);
    assert_replays(journal, "one;");
    journal_close(journal);
}

static void test_a_torn_record_ends_the_journal_and_is_overwritten(void **state)
{
    struct folder *folder = *state;
    struct journal *journal = opened(folder, false);
    append(journal, "one");
    append(journal, "a longer record that is torn");
    journal_close(journal);
    int fd = openat(folder->tree, ".agentos/journal", O_RDWR | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    char text[8192] = {0};
    ssize_t n = pread(fd, text, sizeof text, 4096);
    assert_true(n > 0 && size > 4096);
    char *at = memmem(text, sizeof text, "record", 6);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "XXXXXX", 6, 4096 + (at - text)), 6);
    close(fd);
    journal_boot_is("boot-2");
    journal = opened(folder, false);
    assert_replays(journal, "one;");
    append(journal, "two");
    assert_replays(journal, "one;two;");
    journal_close(journal);
}

static void test_what_was_dropped_instead_of_flushed_never_happened(void **state)
{
    struct journal *journal = opened(*state, false);
    append(journal, "one");
    assert_true(journal_write(journal, "dropped", 7, NULL));
    journal_drop(journal);
    journal_close(journal);
    journal = opened(*state, false);
    assert_replays(journal, "one;");
    journal_done(journal);
    append(journal, "two");
    assert_replays(journal, "two;");
    journal_close(journal);
}

static void test_a_damaged_header_is_set_aside(void **state)
{
    struct folder *folder = *state;
    struct journal *journal = opened(folder, false);
    append(journal, "one");
    journal_close(journal);
    int fd = openat(folder->tree, ".agentos/journal", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "garbage", 7, 4), 7);
    close(fd);
    journal = opened(folder, true);
    assert_replays(journal, "");
    append(journal, "two");
    assert_replays(journal, "two;");
    journal_close(journal);
}

static void test_only_one_process_writes(void **state)
{
    struct folder *folder = *state;
    struct journal *journal = opened(folder, false);
    struct fault fault = {0};
    char *damage = NULL;
    assert_null(journal_open(folder->tree, &damage, &fault));
    assert_non_null(strstr(fault.text, "another process"));
    journal_close(journal);
}

static void test_large_records_and_many_of_them_come_back(void **state)
{
    struct journal *journal = opened(*state, false);
    OWNED char *large = memory_new(700001, 1);
    memset(large, 'x', 700000);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) {
            large[0] = (char)('a' + i);
            append(journal, large);
        }
        struct buffer found = {0};
        assert_true(journal_each(journal, collect, &found, NULL));
        assert_int_equal(found.length, 5 * 700001);
        buffer_free(&found);
        assert_true(journal_checkpoint(journal, NULL));
    }
    journal_close(journal);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest promises[] = {
        PROMISE(test_after_a_kill_only_what_is_not_done_is_redone),
        PROMISE(test_after_a_power_cut_everything_since_the_checkpoint_is_redone),
        PROMISE(test_a_boot_that_nobody_knows_counts_as_a_power_cut),
        PROMISE(test_a_torn_record_ends_the_journal_and_is_overwritten),
        PROMISE(test_what_was_dropped_instead_of_flushed_never_happened),
        PROMISE(test_a_damaged_header_is_set_aside),
        PROMISE(test_only_one_process_writes),
        PROMISE(test_large_records_and_many_of_them_come_back),
    };
    return cmocka_run_group_tests(promises, NULL, NULL);
}
