/* The promises of the queue file: no block is lost, none appears twice, whatever others do to the file. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/queue/queue.h"

struct place {
    char path[64];
    int tree;
    struct queue *queue;
};

static int begin(void **state)
{
    struct place *place = memory_new(1, sizeof *place);
    strcpy(place->path, "/tmp/agentos-queue-XXXXXX");
    if (!mkdtemp(place->path))
        return -1;
    place->tree = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->queue = queue_open(place->tree, NULL);
    *state = place;
    return place->queue ? 0 : -1;
}

static int end(void **state)
{
    struct place *place = *state;
    queue_close(place->queue);
    close(place->tree);
    OWNED char *command = memory_print("rm -rf %s", place->path);
    int status = system(command);
    free(place);
    return status;
}

static void reopen(struct place *place)
{
    queue_close(place->queue);
    place->queue = queue_open(place->tree, NULL);
    assert_non_null(place->queue);
}

static void put(struct place *place, const char *text, int flags)
{
    int fd = openat(place->tree, "queue.md", O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0);
    assert_true(files_write_all(fd, text, strlen(text)));
    close(fd);
}

static void write_file(struct place *place, const char *text)
{
    put(place, text, O_TRUNC);
}

static void append(struct place *place, const char *text)
{
    put(place, text, O_APPEND);
}

static void assert_file(struct place *place, const char *text)
{
    OWNED char *now = NULL;
    size_t length;
    assert_int_equal(files_read(place->tree, "queue.md", 1 << 30, &now, &length, NULL, NULL), 1);
    assert_string_equal(now, text);
}

static void look(struct place *place)
{
    struct fault fault = {{0}};
    if (!queue_look(place->queue, NULL, &fault))
        fail_msg("%s", fault.text);
}

static const struct block *block_named(struct place *place, const char *id)
{
    const struct block_list *list = queue_blocks(place->queue);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    return NULL;
}

static void take(struct place *place, const char *id)
{
    const struct block *block = block_named(place, id);
    assert_non_null(block);
    struct fault fault = {{0}};
    OWNED char *name = memory_text(id);
    if (!queue_take(place->queue, name, block->hash, &fault))
        fail_msg("%s", fault.text);
    assert_null(block_named(place, id));
}

static void assert_ids(struct place *place, const char *ids)
{
    OWNED_BUFFER struct buffer have = {0};
    const struct block_list *list = queue_blocks(place->queue);
    for (size_t i = 0; i < list->count; i++)
        buffer_print(&have, "%s%s", i ? " " : "", list->items[i].id);
    assert_string_equal(have.data ? have.data : "", ids);
}

/* The list must equal the list of a new reading of the file. */
static void assert_cache(struct place *place)
{
    struct queue *fresh = queue_open(place->tree, NULL);
    assert_true(queue_look(fresh, NULL, NULL));
    const struct block_list *a = queue_blocks(place->queue), *b = queue_blocks(fresh);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->preamble, b->preamble);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->items[i].id, b->items[i].id);
        assert_true(a->items[i].hash == b->items[i].hash);
        assert_int_equal(a->items[i].start, b->items[i].start);
        assert_int_equal(a->items[i].end, b->items[i].end);
        assert_int_equal(a->items[i].line, b->items[i].line);
    }
    queue_close(fresh);
}

static size_t notes_count(struct place *place)
{
    int fd = openat(place->tree, ".agentos", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fdopendir(fd);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strncmp(entry->d_name, "queue.", 6) == 0;
    closedir(folder);
    return count;
}

/* Look as the worker does, when it was told to, until the queue has these blocks and nothing lies aside. */
static void settle(struct place *place, bool clean)
{
    int64_t until = clock_monotonic_ms() + 30000, retry;
    do {
        assert_true(queue_look(place->queue, &retry, NULL));
        if (retry == 0 || (!clean && notes_count(place) == 0))
            break;
        struct timespec pause = {.tv_sec = retry / 1000, .tv_nsec = retry % 1000 * 1000000};
        nanosleep(&pause, NULL);
    } while (clock_monotonic_ms() < until);
    if (clean)
        assert_int_equal(notes_count(place), 0);
}

static void test_no_file_is_an_empty_queue(void **state)
{
    look(*state);
    assert_ids(*state, "");
    assert_null(queue_next(((struct place *)*state)->queue, NULL, NULL));
}

static void test_a_link_a_folder_a_fifo_or_utf16_in_its_place_is_a_fault_and_mended_when_it_goes(void **state)
{
    struct place *place = *state;
    struct fault fault = {{0}};
    assert_int_equal(symlinkat("/etc/passwd", place->tree, "queue.md"), 0);
    assert_false(queue_look(place->queue, NULL, &fault));
    assert_non_null(strstr(fault.text, "queue.md"));
    unlinkat(place->tree, "queue.md", 0);
    assert_int_equal(mkfifoat(place->tree, "queue.md", 0644), 0);
    assert_false(queue_look(place->queue, NULL, NULL));
    unlinkat(place->tree, "queue.md", 0);
    assert_int_equal(mkdirat(place->tree, "queue.md", 0755), 0);
    assert_false(queue_look(place->queue, NULL, NULL));
    unlinkat(place->tree, "queue.md", AT_REMOVEDIR);
    write_file(place, "\xff\xfe#\0");
    assert_false(queue_look(place->queue, NULL, NULL));
    write_file(place, "## a\ntask: x\n");
    look(place);
    assert_ids(place, "a");
}

static void test_a_file_over_its_limit_is_a_fault_and_stays(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n");
    look(place);
    int fd = openat(place->tree, "queue.md", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 64 * 1024 * 1024 + 1), 0);
    close(fd);
    assert_false(queue_look(place->queue, NULL, NULL));
    assert_ids(place, "");
    assert_int_equal(files_stamp_at(place->tree, "queue.md").size, 64 * 1024 * 1024 + 1);
}

static bool skip_b(void *context, const struct block *block)
{
    return strcmp(block->id, "b") == 0;
}

static void test_the_next_is_by_priority_then_as_they_stand_and_never_a_broken_one(void **state)
{
    struct place *place = *state;
    write_file(
        place,
        "## bad\npriority: high\n## l\ntask: x\npriority: low\n## n\ntask: x\n## b\ntask: x\npriority: "
        "high\n## c\ntask: x\npriority: high\n");
    look(place);
    assert_string_equal(queue_next(place->queue, NULL, NULL)->id, "b");
    assert_string_equal(queue_next(place->queue, skip_b, NULL)->id, "c");
    assert_int_equal(queue_depth(place->queue), 4);
    take(place, "b");
    take(place, "c");
    assert_string_equal(queue_next(place->queue, NULL, NULL)->id, "n");
    take(place, "n");
    assert_string_equal(queue_next(place->queue, NULL, NULL)->id, "l");
    take(place, "l");
    assert_null(queue_next(place->queue, NULL, NULL));
    assert_ids(place, "bad");
    assert_file(place, "## bad\npriority: high\n");
}

static void test_taking_leaves_every_other_byte_and_no_blank_space_at_the_end(void **state)
{
    struct place *place = *state;
    write_file(place, "# Queue\nnotes\n\n## a\ntask: x\n\n## b\ntask: y\n\n\n## c\ntask: z");
    look(place);
    take(place, "b");
    assert_cache(place);
    OWNED char *blanked = memory_print("# Queue\nnotes\n\n## a\ntask: x\n\n%.*s\n\n\n## c\ntask: z", 12,
                                       "\n\n\n\n\n\n\n\n\n\n\n\n");
    assert_file(place, blanked);
    take(place, "c");
    assert_cache(place);
    assert_file(place, "# Queue\nnotes\n\n## a\ntask: x\n");
    append(place, "\n## d\ntask: x\n");
    look(place);
    assert_cache(place);
    take(place, "a");
    assert_cache(place);
    take(place, "d");
    assert_cache(place);
    assert_file(place, "# Queue\nnotes\n");
    assert_int_equal(notes_count(place), 0);
}

static void test_a_take_meets_a_file_that_changed_since_the_look(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n");
    look(place);
    append(place, "## b\ntask: y\n");
    take(place, "a");
    look(place);
    assert_ids(place, "b");
    write_file(place, "## new\ntask: z\n## b\ntask: y\n");
    take(place, "b");
    look(place);
    assert_ids(place, "new");
    assert_true(queue_take(place->queue, "gone", 1, NULL));
    assert_file(place, "## new\ntask: z\n");
}

static void test_an_edited_block_is_another_and_stays(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n");
    look(place);
    uint64_t hash = block_named(place, "a")->hash;
    write_file(place, "## a\ntask: X\n");
    assert_true(queue_take(place->queue, "a", hash, NULL));
    assert_file(place, "## a\ntask: X\n");
}

static void test_only_the_first_of_two_equal_blocks_is_taken(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y\n## a\ntask: x\n");
    look(place);
    assert_true(queue_take(place->queue, "a", block_named(place, "a")->hash, NULL));
    assert_ids(place, "b a");
    assert_cache(place);
}

static void test_a_reader_that_keeps_the_file_open_gets_in_no_way(void **state)
{
    struct place *place = *state;
    write_file(place, "pre\n\n## a\ntask: x\n\n## b\ntask: y\n\n## c\ntask: z\n");
    int reader = openat(place->tree, "queue.md", O_RDONLY | O_CLOEXEC);
    look(place);
    take(place, "b");
    assert_file(place, "pre\n\n## a\ntask: x\n\n## c\ntask: z\n");
    assert_cache(place);
    close(reader);
    settle(place, true);
    assert_ids(place, "a c");
}

static void test_a_queue_whose_last_block_goes_is_what_it_was_before_the_block_came(void **state)
{
    static const char *const files[][2] = {
        {"# Queue\n\nHow it works.\n", "\n## a\ntask: x\n"},
        {"# Queue\n\nHow it works.\n", "## a\ntask: x\n"},
        {"# Queue\n", "\n\n\n## a\ntask: x\n\n\n"},
        {"", "\n## a\ntask: x\n"},
        {"# Queue\n\n## b\ntask: y\n", "\n## a\ntask: x\n"},
    };
    struct place *place = *state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int read = 0; read < 2; read++) {
            OWNED char *text = memory_print("%s%s", files[i][0], files[i][1]);
            write_file(place, text);
            OWNED_FD int reader = read ? openat(place->tree, "queue.md", O_RDONLY | O_CLOEXEC) : -1;
            assert_int_equal(reader >= 0, read);
            look(place);
            take(place, "a");
            assert_file(place, files[i][0]);
        }
}

static void test_a_block_over_two_pages_goes_whole(void **state)
{
    struct place *place = *state;
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "## a\ntask: ");
    memset(buffer_room(&text, 9000), 'x', 9000);
    text.length += 9000;
    buffer_text(&text, "\n\n## b\ntask: y\n");
    write_file(place, text.data);
    look(place);
    take(place, "a");
    assert_file(place, "## b\ntask: y\n");
    settle(place, true);
    assert_ids(place, "b");
}

static void test_what_a_writer_with_the_old_file_open_appends_is_not_lost(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y\n");
    int writer = openat(place->tree, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    look(place);
    assert_string_equal(queue_next(place->queue, NULL, NULL)->id, "a");
    take(place, "a"); /* b may be half-written: the block stays with the writer's file */
    assert_true(files_write_all(writer, "## c\ntask: z\n## d\ntask: par", 28));
    int64_t retry = 0, until = clock_monotonic_ms() + 20000;
    while (!block_named(place, "c") && clock_monotonic_ms() < until)
        assert_true(queue_look(place->queue, &retry, NULL));
    assert_true(retry > 0);
    assert_ids(place, "b c");
    take(place, "c");
    assert_true(files_write_all(writer, "tial\n", 5));
    close(writer);
    settle(place, true);
    assert_ids(place, "b d");
    assert_cache(place);
}

static void test_blocks_before_the_last_are_whole_while_a_writer_is_at_it(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y");
    int writer = openat(place->tree, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    int64_t retry;
    assert_true(queue_look(place->queue, &retry, NULL));
    assert_true(retry > 0 && retry <= 1000);
    assert_string_equal(queue_next(place->queue, NULL, NULL)->id, "a");
    take(place, "a");
    assert_null(queue_next(place->queue, NULL, NULL));
    assert_true(files_write_all(writer, "yy\n", 3));
    close(writer);
    look(place);
    assert_string_equal(queue_next(place->queue, NULL, NULL)->task, "yyy");
}

static void test_a_quiet_file_is_whole_though_somebody_keeps_it_open(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n");
    int writer = openat(place->tree, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    int64_t until = clock_monotonic_ms() + 20000;
    look(place);
    while (!queue_next(place->queue, NULL, NULL) && clock_monotonic_ms() < until)
        look(place);
    take(place, "a");
    assert_file(place, "");
    assert_true(files_write_all(writer, "## b\ntask: y\n", 13));
    close(writer);
    settle(place, true);
    assert_ids(place, "b");
}

static void test_what_came_out_is_merged_after_a_crash_with_edits_and_removals(void **state)
{
    struct place *place = *state;
    write_file(place, "pre\n## a\ntask: x\n## b\ntask: y\n## c\ntask: z\n## e\ntask: e\n");
    int writer = openat(place->tree, "queue.md", O_RDWR | O_CLOEXEC);
    look(place);
    take(place, "a");
    const char *edited = "other\n## b\ntask: changed\n## e\ntask: e\n## d\ntask: new\n";
    assert_int_equal(ftruncate(writer, 0), 0);
    assert_int_equal(pwrite(writer, edited, strlen(edited), 0), (ssize_t)strlen(edited));
    reopen(place);
    close(writer);
    settle(place, true);
    assert_ids(place, "b e d");
    assert_string_equal(block_named(place, "b")->task, "changed");
    assert_file(place, edited);
}

static void test_a_new_file_that_never_came_in_is_no_news(void **state)
{
    struct place *place = *state;
    write_file(place, "## b\ntask: y\n");
    int fd = openat(place->tree, ".agentos/queue.7", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(files_write_all(fd, "## half\ntask: wri", 17));
    struct stat status;
    fstat(fd, &status);
    close(fd);
    OWNED char *base = memory_print("queue-base 1 %llu 0 0\n", (unsigned long long)status.st_ino);
    assert_true(files_write(place->tree, ".agentos/queue.7.base", base, strlen(base), false, NULL));
    reopen(place);
    look(place);
    assert_ids(place, "b");
    assert_int_equal(notes_count(place), 0);
}

static void test_a_base_that_is_lost_loses_no_block(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n");
    const char *old = "## a\ntask: x\n## b\ntask: y\n";
    assert_true(files_write(place->tree, ".agentos/queue.3", old, strlen(old), false, NULL));
    assert_true(
        files_write(place->tree, ".agentos/queue.3.base", "queue-base 1 5 0 9\nrubbish", 26, false, NULL));
    reopen(place);
    settle(place, true);
    assert_ids(place, "a b");
}

static void test_editors_that_save_by_rename_lose_nothing(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y\n");
    look(place);
    const char *saved = "## a\ntask: x\n## n\ntask: n\n## b\ntask: y\n";
    assert_true(files_write(place->tree, "queue.md", saved, strlen(saved), false, NULL));
    take(place, "a");
    look(place);
    assert_ids(place, "n b");
    assert_int_equal(renameat(place->tree, "queue.md", place->tree, "queue.md~"), 0);
    look(place);
    assert_ids(place, "");
    write_file(place, "## b\ntask: y\n## v\ntask: v\n");
    look(place);
    assert_ids(place, "b v");
}

static void test_notes_that_somebody_removed_are_made_again(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y\n");
    int reader = openat(place->tree, "queue.md", O_RDONLY | O_CLOEXEC);
    look(place);
    assert_int_equal(unlinkat(place->tree, ".agentos", AT_REMOVEDIR), 0);
    take(place, "a");
    close(reader);
    assert_file(place, "## b\ntask: y\n");
}

static void test_a_take_that_cannot_be_made_leaves_the_file_whole(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\n## b\ntask: y\n");
    look(place);
    int reader = openat(place->tree, "queue.md", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unlinkat(place->tree, ".agentos", AT_REMOVEDIR), 0);
    assert_int_equal(mkfifoat(place->tree, ".agentos", 0644), 0);
    struct fault fault = {{0}};
    assert_false(queue_take(place->queue, "a", block_named(place, "a")->hash, &fault));
    assert_true(*fault.text);
    assert_file(place, "## a\ntask: x\n## b\ntask: y\n");
    close(reader);
}

static void test_the_time_when_a_block_was_seen_first_outlives_a_restart(void **state)
{
    struct place *place = *state;
    write_file(place, "## a\ntask: x\nttl_seconds: 5\n");
    look(place);
    OWNED char *text = NULL;
    size_t length;
    assert_int_equal(files_read(place->tree, ".agentos/seen", 1000, &text, &length, NULL, NULL), 1);
    assert_int_equal(length, 45);
    memcpy(text + 34, "1000000000", 10);
    assert_true(files_write(place->tree, ".agentos/seen", text, length, false, NULL));
    reopen(place);
    look(place);
    assert_int_equal(queue_first_seen(place->queue, block_named(place, "a")), 1000000000);
    take(place, "a");
    assert_int_equal(files_stamp_at(place->tree, ".agentos/seen").inode, 0);
    append(place, "## a\ntask: x\nttl_seconds: 5\n");
    look(place);
    assert_true(queue_first_seen(place->queue, block_named(place, "a")) > 1700000000);
}

static void test_blank_space_goes_when_it_is_much_or_nothing_is_pending(void **state)
{
    struct place *place = *state;
    OWNED char *much = memory_new(6001, 1), *little = memory_new(101, 1);
    memset(much, '\n', 6000);
    memset(little, '\n', 100);
    OWNED char *text = memory_print("pre\n\n## a\r\ntask: x\r\n\r\n%s## last\ntask: x", much);
    write_file(place, text);
    look(place);
    assert_true(queue_tidy(place->queue));
    assert_file(place, "pre\n\n## a\r\ntask: x\r\n\r\n## last\ntask: x");
    assert_cache(place);
    settle(place, true);
    assert_false(queue_tidy(place->queue));
    OWNED char *pending = memory_print("%s## a\npriority: low\n## b\ntask: x\n", little);
    write_file(place, pending);
    look(place);
    assert_false(queue_tidy(place->queue));
    take(place, "b");
    assert_true(queue_tidy(place->queue));
    assert_file(place, "## a\npriority: low\n");
    assert_cache(place);
}

static void test_ten_thousand_blocks_are_taken_one_by_one(void **state)
{
    struct place *place = *state;
    enum { BLOCKS = 10000 };
    OWNED_BUFFER struct buffer text = {0};
    for (int i = 0; i < BLOCKS; i++)
        buffer_print(
            &text,
            "\n## t%d\ntask: number %d of very many\npriority: normal\ncreated: 2026-04-29T10:05:00Z\n", i,
            i);
    write_file(place, text.data);
    int64_t started = clock_monotonic_ms();
    for (int i = 0; i < BLOCKS; i++) {
        look(place);
        const struct block *block = queue_next(place->queue, NULL, NULL);
        assert_non_null(block);
        OWNED char *id = memory_text(block->id);
        assert_true(queue_take(place->queue, id, block->hash, NULL));
    }
    print_message("%d takes: %lld ms\n", BLOCKS, (long long)(clock_monotonic_ms() - started));
    assert_null(queue_next(place->queue, NULL, NULL));
    assert_ids(place, "");
    settle(place, true);
    assert_file(place, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_no_file_is_an_empty_queue),
        TEST(test_a_link_a_folder_a_fifo_or_utf16_in_its_place_is_a_fault_and_mended_when_it_goes),
        TEST(test_a_file_over_its_limit_is_a_fault_and_stays),
        TEST(test_the_next_is_by_priority_then_as_they_stand_and_never_a_broken_one),
        TEST(test_taking_leaves_every_other_byte_and_no_blank_space_at_the_end),
        TEST(test_a_take_meets_a_file_that_changed_since_the_look),
        TEST(test_an_edited_block_is_another_and_stays),
        TEST(test_only_the_first_of_two_equal_blocks_is_taken),
        TEST(test_a_reader_that_keeps_the_file_open_gets_in_no_way),
        TEST(test_a_queue_whose_last_block_goes_is_what_it_was_before_the_block_came),
        TEST(test_a_block_over_two_pages_goes_whole),
        TEST(test_what_a_writer_with_the_old_file_open_appends_is_not_lost),
        TEST(test_blocks_before_the_last_are_whole_while_a_writer_is_at_it),
        TEST(test_a_quiet_file_is_whole_though_somebody_keeps_it_open),
        TEST(test_what_came_out_is_merged_after_a_crash_with_edits_and_removals),
        TEST(test_a_new_file_that_never_came_in_is_no_news),
        TEST(test_a_base_that_is_lost_loses_no_block),
        TEST(test_editors_that_save_by_rename_lose_nothing),
        TEST(test_notes_that_somebody_removed_are_made_again),
        TEST(test_a_take_that_cannot_be_made_leaves_the_file_whole),
        TEST(test_the_time_when_a_block_was_seen_first_outlives_a_restart),
        TEST(test_blank_space_goes_when_it_is_much_or_nothing_is_pending),
        TEST(test_ten_thousand_blocks_are_taken_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
