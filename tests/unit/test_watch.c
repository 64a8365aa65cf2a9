/* People's changes to a tree ring; the worker's own changes beside them don't. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/tree.h"
#include "supervisor/process/watch.h"
#include "supervisor/store/batch.h"
#include "tests/unit/cmocka.h"

struct place {
    char path[64];
    int folder, tree;
    struct loop *loop;
    struct watch *watch;
    struct watched watched;
    uint64_t looks;
    int rings, top_rings, roster_rings, shared_rings;
};

static void changed(void *subject, uint64_t look)
{
    struct place *place = subject;
    place->looks |= look;
    place->rings++;
}

static void top_changed(void *subject)
{
    ((struct place *)subject)->top_rings++;
}

static void all_changed(void *context)
{
    changed(context, LOOK_ALL);
}

static void roster_changed(void *context)
{
    ((struct place *)context)->roster_rings++;
}

static void shared_changed(void *context)
{
    ((struct place *)context)->shared_rings++;
}

static bool put_there(void *subject, const char *folder, const char *name)
{
    return strcmp(folder, TREE_INBOX) == 0 && strcmp(name, "linked.md") == 0;
}

static int begin(void **state)
{
    struct place *place = memory_new(1, sizeof *place);
    strcpy(place->path, "/tmp/test-watch-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->folder = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->tree = files_open_folder(place->folder, "orion", true, NULL);
    close(files_open_folder(place->folder, "orion/iac/inbox", true, NULL));
    place->loop = loop_new();
    place->watch = watch_open(place->loop, &(struct watch_owner){.changed = changed,
                                                                 .top_changed = top_changed,
                                                                 .all_changed = all_changed,
                                                                 .roster_changed = roster_changed,
                                                                 .shared_changed = shared_changed,
                                                                 .put_there = put_there,
                                                                 .context = place});
    watch_roster(place->watch, place->folder);
    watch_tree(place->watch, &place->watched, place->tree, place);
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    watch_forget(place->watch, &place->watched);
    watch_close(place->watch);
    loop_free(place->loop);
    close(place->tree);
    close(place->folder);
    OWNED char *command = memory_print("rm -rf %s", place->path);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

/* All notices that the kernel has by now. */
static void turn(struct place *place)
{
    for (int i = 0; i < 4; i++)
        loop_turn(place->loop, 0);
}

static void put(struct place *place, const char *path, const char *text, int flags)
{
    OWNED_FD int fd = openat(place->folder, path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0);
    assert_true(files_write_all(fd, text, strlen(text)));
}

static void test_an_append_to_queue_md_rings_for_the_queue(void **state)
{
    struct place *place = *state;
    put(place, "orion/queue.md", "## a\ntask: b\n", O_APPEND);
    turn(place);
    assert_int_equal(place->looks, LOOK_QUEUE);
}

static void test_an_editor_that_renames_over_queue_md_rings(void **state)
{
    struct place *place = *state;
    put(place, "orion/.queue.md.swp", "## a\ntask: b\n", 0);
    turn(place);
    assert_int_equal(place->rings, 0);
    assert_int_equal(renameat(place->folder, "orion/.queue.md.swp", place->folder, "orion/queue.md"), 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_QUEUE);
}

static void test_what_git_may_read_in_a_trees_top_is_told_of(void **state)
{
    struct place *place = *state;
    OWNED char *mark = memory_print("orion/.x" BATCH_MARK);
    put(place, "orion/queue.md", "## a\ntask: b\n", O_APPEND);
    put(place, "orion/iac/inbox/.gitattributes", "x", 0);
    turn(place);
    assert_int_equal(place->top_rings, 0);
    int rings = 0;
    put(place, "orion/.gitattributes", "* filter=x\n", 0);
    turn(place);
    assert_true(place->top_rings > rings);
    rings = place->top_rings;
    put(place, "orion/.gitattributes", "more\n", O_APPEND);
    turn(place);
    assert_true(place->top_rings > rings);
    rings = place->top_rings;
    assert_int_equal(mkdirat(place->folder, "orion/notes.md", 0755), 0);
    turn(place);
    assert_true(place->top_rings > rings);
    put(place, mark, "x", 0); /* a name as the supervisor's own, which ring nobody else */
    turn(place);
    rings = place->top_rings;
    assert_int_equal(renameat(place->folder, mark, place->folder, "orion/.gitmodules"), 0);
    turn(place);
    assert_true(place->top_rings > rings);
    rings = place->top_rings;
    assert_int_equal(renameat(place->folder, "orion", place->folder, "elsewhere"), 0);
    turn(place);
    assert_true(place->top_rings > rings); /* no change is reported from now on */
}

static void test_another_file_rings_for_the_tree_and_an_envelope_for_iac(void **state)
{
    struct place *place = *state;
    put(place, "orion/goals.md", "- [ ] x\n", 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_TREE);
    put(place, "orion/iac/inbox/e.md", "x", 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_TREE | LOOK_IAC);
}

static void test_the_workers_own_files_ring_nobody(void **state)
{
    struct place *place = *state;
    put(place, "orion/.agent", "x", 0);
    put(place, "orion/.goals.md.new-1", "x", 0);
    put(place, "orion/iac/inbox/.e.md.new-1", "x", 0);
    turn(place);
    assert_int_equal(place->rings, 0);
}

static void test_a_write_that_is_not_yet_closed_rings_only_when_it_is(void **state)
{
    struct place *place = *state;
    put(place, "orion/queue.md", "", 0);
    turn(place);
    place->looks = 0;
    int fd = openat(place->tree, "queue.md", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(files_write_all(fd, "## half", 7));
    turn(place);
    assert_int_equal(place->looks, 0);
    close(fd);
    turn(place);
    assert_int_equal(place->looks, LOOK_QUEUE);
}

static void test_agents_yaml_rings_for_itself(void **state)
{
    struct place *place = *state;
    put(place, "agents.yaml", "agents: []\n", 0);
    turn(place);
    assert_int_equal(place->roster_rings, 1);
    put(place, "other.yaml", "x", 0);
    turn(place);
    assert_int_equal(place->roster_rings, 1);
}

static void test_a_folder_that_was_replaced_is_watched_again(void **state)
{
    struct place *place = *state;
    assert_int_equal(renameat(place->folder, "orion", place->folder, "old"), 0);
    turn(place);
    assert_int_equal(place->watched.descriptors[0], 0);
    close(place->tree);
    place->tree = files_open_folder(place->folder, "orion", true, NULL);
    watch_forget(place->watch, &place->watched);
    watch_tree(place->watch, &place->watched, place->tree, place);
    place->looks = 0;
    put(place, "orion/queue.md", "x", 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_QUEUE);
}

static void test_folders_that_come_later_are_watched_when_asked_again(void **state)
{
    struct place *place = *state;
    close(files_open_folder(place->tree, "iac/handoffs", true, NULL));
    watch_tree(place->watch, &place->watched, place->tree, place);
    put(place, "orion/iac/handoffs/e.md", "x", 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_IAC);
}

static void test_a_link_in_a_tree_leads_the_watch_nowhere(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdirat(place->folder, "elsewhere", 0755), 0);
    assert_int_equal(symlinkat("../../elsewhere", place->tree, "iac/handoffs"), 0);
    watch_tree(place->watch, &place->watched, place->tree, place);
    put(place, "elsewhere/e.md", "x", 0);
    turn(place);
    assert_int_equal(place->rings, 0);
}

static void test_a_thousand_trees_come_and_go(void **state)
{
    struct place *place = *state;
    enum { TREES = 1000 };
    struct watched *many = memory_new(TREES, sizeof *many);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TREES; i++) {
            OWNED char *name = memory_print("many/t%d", i);
            OWNED_FD int tree = files_open_folder(place->folder, name, true, NULL);
            watch_tree(place->watch, &many[i], tree, place);
            assert_int_not_equal(many[i].descriptors[0], 0);
        }
        place->rings = 0;
        put(place, "many/t777/queue.md", "x", 0);
        turn(place);
        assert_true(place->rings > 0);
        for (int i = 0; i < TREES; i++)
            watch_forget(place->watch, &many[i]);
        turn(place);
    }
    free(many);
}

static void test_what_people_put_into_a_queues_folder_rings_and_our_own_writing_does_not(void **state)
{
    struct place *place = *state;
    OWNED_FD int queue = files_open_folder(place->folder, "queue", true, NULL);
    watch_shared(place->watch, queue);
    watch_shared(place->watch, queue); /* once is enough */
    assert_true(files_write(queue, "item.md", "x", 1, true, NULL));
    assert_int_equal(unlinkat(queue, "item.md", 0), 0);
    turn(place);
    assert_int_equal(place->shared_rings, 0);
    put(place, "queue/written.md", "x", 0);
    turn(place);
    assert_int_equal(place->shared_rings, 1);
    put(place, "outside.md", "x", 0);
    assert_int_equal(renameat(place->folder, "outside.md", queue, "moved.md"), 0);
    turn(place);
    assert_int_equal(place->shared_rings, 2);
    put(place, "queue/.editor", "x", 0);
    assert_int_equal(renameat(queue, ".editor", queue, "saved.md"), 0);
    turn(place);
    assert_int_equal(place->shared_rings, 3);
    assert_int_equal(place->rings, 0);
}

static void test_what_the_post_office_delivers_rings_nobody_and_what_people_put_there_does(void **state)
{
    struct place *place = *state;
    OWNED_BUFFER struct buffer text = {0};
    struct batch batch = {0};
    buffer_text(&text, "x");
    size_t number = batch_add(&batch, "orion/iac/inbox", "letter", &text, false);
    batch_flush(place->folder, &batch);
    assert_int_equal(batch_result(&batch, number, NULL), WRITE_DONE);
    batch_free(&batch);
    turn(place);
    assert_int_equal(place->rings, 0);
    put(place, "orion/iac/inbox/.saved", "x", 0);
    assert_int_equal(
        renameat(place->folder, "orion/iac/inbox/.saved", place->folder, "orion/iac/inbox/letter.md"), 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_IAC);
}

static void test_what_the_post_office_links_into_a_folder_rings_nobody_and_what_people_link_does(void **state)
{
    struct place *place = *state;
    put(place, "outside", "x", 0);
    assert_int_equal(linkat(place->folder, "outside", place->folder, "orion/iac/inbox/linked.md", 0), 0);
    turn(place);
    assert_int_equal(place->rings, 0);
    assert_int_equal(linkat(place->folder, "outside", place->folder, "orion/iac/inbox/other.md", 0), 0);
    turn(place);
    assert_int_equal(place->looks, LOOK_IAC);
    assert_int_equal(place->rings, 1);
    put(place, "orion/iac/inbox/linked.md", "edited", 0);
    turn(place);
    assert_int_equal(place->rings, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_append_to_queue_md_rings_for_the_queue, begin, end),
        cmocka_unit_test_setup_teardown(test_what_git_may_read_in_a_trees_top_is_told_of, begin, end),
        cmocka_unit_test_setup_teardown(test_an_editor_that_renames_over_queue_md_rings, begin, end),
        cmocka_unit_test_setup_teardown(test_another_file_rings_for_the_tree_and_an_envelope_for_iac, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_the_workers_own_files_ring_nobody, begin, end),
        cmocka_unit_test_setup_teardown(test_a_write_that_is_not_yet_closed_rings_only_when_it_is, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_agents_yaml_rings_for_itself, begin, end),
        cmocka_unit_test_setup_teardown(test_a_folder_that_was_replaced_is_watched_again, begin, end),
        cmocka_unit_test_setup_teardown(test_folders_that_come_later_are_watched_when_asked_again, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_link_in_a_tree_leads_the_watch_nowhere, begin, end),
        cmocka_unit_test_setup_teardown(test_a_thousand_trees_come_and_go, begin, end),
        cmocka_unit_test_setup_teardown(
            test_what_people_put_into_a_queues_folder_rings_and_our_own_writing_does_not, begin, end),
        cmocka_unit_test_setup_teardown(
            test_what_the_post_office_delivers_rings_nobody_and_what_people_put_there_does, begin, end),
        cmocka_unit_test_setup_teardown(
            test_what_the_post_office_links_into_a_folder_rings_nobody_and_what_people_link_does, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
