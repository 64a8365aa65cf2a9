/* Items on their way into queues: under the flushes of the post office's turn, each answered for by itself. */
#include <errno.h>
#include <sys/syscall.h>
#include <sysexits.h>

#include "post_office.h"
#include "supervisor/shared/work_queues.h"

enum { MANY = 40 };

static unsigned flushes; /* of files, folders and file systems */
static bool flushes_fail;

static int flush(long call, int fd)
{
    flushes++;
    errno = EIO;
    return flushes_fail ? -1 : (int)syscall(call, fd);
}

/* In place of the C library's: the linker takes these first. */
int fsync(int fd)
{
    return flush(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return flush(SYS_syncfs, fd);
}

/* --- queues whose consumers sleep --- */

static int64_t no_room(void *context, const char *agent)
{
    return 0;
}

static unsigned lies_nowhere(void *context, const char *agent, const char *id)
{
    return 0;
}

static bool no_id(void *context, const char *agent, void (*see)(void *seer, const char *id), void *seer)
{
    return true;
}

static enum queue_worker no_worker(void *context, const char *agent)
{
    return QUEUE_WORKER_NONE;
}

static const struct text_list *to_everybody(void *context, const char *sender)
{
    return NULL;
}

static void no_timer(void *context, int64_t in_ms)
{
}

static const struct queues_operations asleep = {.room = no_room,
                                                .may_send_to = to_everybody,
                                                .lies = lies_nowhere,
                                                .each_id = no_id,
                                                .worker = no_worker,
                                                .timer = no_timer};

static enum post_verdict verdict_of(enum queue_verdict verdict)
{
    return verdict == QUEUE_TAKEN     ? POST_DONE
           : verdict == QUEUE_REFUSED ? POST_REFUSED
           : verdict == QUEUE_GOES    ? POST_GOES
                                      : POST_LATER;
}

static enum post_verdict take_item(void *queues, const struct envelope *envelope,
                                   struct post_place_of_item *place, struct fault *why)
{
    return verdict_of(queues_offer(queues, envelope, place->is_new, place->text, &place->folder, why));
}

static enum post_verdict item_written(void *queues, const struct envelope *envelope, enum write_result result,
                                      struct fault *why)
{
    return verdict_of(queues_offered(queues, envelope, result, why));
}

static struct place {
    struct office office;
    struct queues *queues;
} place;

static void open_queues(void)
{
    place.queues = queues_open(place.office.data, post_expiry(place.office.post), &asleep, NULL);
    queues_roster(place.queues, place.office.roster);
    queues_start(place.queues);
    post_hooks(
        place.office.post,
        &(struct post_hooks){.item = take_item, .item_written = item_written, .context = place.queues});
}

static int begin(void **state)
{
    office_begin(&place.office, ORION_AND_IRIS
                 "queues:\n  - {name: work, consumers: [nova]}\n  - {name: more, consumers: [nova]}\n");
    post_start(place.office.post);
    open_queues();
    office_answer = (struct office_sent){.ticket = 0};
    flushes_fail = false;
    return 0;
}

static int end(void **state)
{
    queues_close(place.queues);
    office_end(&place.office);
    return 0;
}

static bool lies_in(const char *queue, const char *id)
{
    OWNED char *path = memory_print("shared/queues/%s/%s.md", queue, id);
    return faccessat(place.office.data, path, F_OK, 0) == 0;
}

static size_t waiting(const char *queue)
{
    size_t count, under_way;
    queues_count(place.queues, queue, &count, &under_way);
    return count;
}

static void enqueue(const char *queue, uint64_t ticket)
{
    post_enqueue(place.office.post, queue, NULL, "Look at it.", 0, PRIORITY_NORMAL, ticket);
}

static struct envelope item_of(const char *sender, const char *id)
{
    return office_letter(id, KIND_ITEM, sender, "queue:work");
}

static void test_items_that_come_together_share_their_flushes_and_lie_there_when_answered(void **state)
{
    flushes = 0;
    for (uint64_t i = 1; i <= MANY; i++)
        enqueue("work", i);
    assert_int_equal(flushes, 0);
    assert_int_equal(waiting("work"), 0);
    UNTIL(&place.office, office_answer.ticket == MANY);
    assert_int_equal(office_answer.exit, EX_OK);
    assert_true(lies_in("work", office_answer.id));
    assert_int_equal(waiting("work"), MANY);
    assert_true(flushes <= 4);
}

static void test_an_item_that_has_no_place_fails_alone(void **state)
{
    office_command("rmdir %s/shared/queues/more && touch %s/shared/queues/more", place.office.folder,
                   place.office.folder);
    enqueue("work", 1);
    enqueue("more", 2);
    enqueue("work", 3);
    UNTIL(&place.office, office_answer.ticket == 2 || office_answer.ticket == 3);
    /* of the last submission: submissions are answered in their order */
    assert_int_equal(office_answer.exit, EX_OK);
    assert_int_equal(waiting("work"), 2);
    assert_int_equal(waiting("more"), 0);
    enqueue("more", 4);
    UNTIL(&place.office, office_answer.ticket == 4);
    assert_int_equal(office_answer.exit, EX_IOERR);
}

static void test_what_is_not_flushed_is_not_accepted(void **state)
{
    flushes_fail = true;
    enqueue("work", 1);
    UNTIL(&place.office, office_answer.ticket == 1);
    assert_int_equal(office_answer.exit, EX_IOERR);
    assert_int_equal(waiting("work"), 0);
    flushes_fail = false;
    enqueue("work", 2);
    UNTIL(&place.office, office_answer.ticket == 2);
    assert_int_equal(office_answer.exit, EX_OK);
    assert_int_equal(waiting("work"), 1);
}

static void test_an_agents_item_whose_flush_failed_is_offered_again_and_taken_once(void **state)
{
    struct envelope item = item_of("orion", "i1");
    office_put(&place.office, "orion", FOLDER_OUTBOX, &item);
    flushes_fail = true;
    assert_true(post_rings(place.office.post, "orion", "i1"));
    office_settle(&place.office);
    assert_false(office_said(&place.office, "orion verdict i1 delivered"));
    flushes_fail = false;
    UNTIL(&place.office, office_said(&place.office, "orion verdict i1 delivered"));
    assert_int_equal(waiting("work"), 1);
    assert_true(lies_in("work", "i1"));
}

static void test_an_item_told_of_twice_is_taken_once_and_so_is_one_id_of_two_senders(void **state)
{
    struct envelope mine = item_of("orion", "i1"), theirs = item_of("iris", "i1");
    office_put(&place.office, "orion", FOLDER_OUTBOX, &mine);
    office_put(&place.office, "iris", FOLDER_OUTBOX, &theirs);
    assert_true(post_rings(place.office.post, "orion", "i1\ni1"));
    assert_true(post_rings(place.office.post, "iris", "i1"));
    UNTIL(&place.office, office_said(&place.office, "orion verdict i1 delivered") &&
                             office_said(&place.office, "iris verdict i1 delivered"));
    assert_int_equal(waiting("work"), 1);
    assert_true(post_rings(place.office.post, "orion", "i1"));
    office_settle(&place.office);
    assert_int_equal(waiting("work"), 1);
}

/* As a kill between the name and its flush leaves it. */
static void test_one_that_lies_there_unflushed_is_flushed_before_it_counts_as_taken(void **state)
{
    struct envelope item = item_of("orion", "i1");
    office_send(&place.office, &item, "orion");
    UNTIL(&place.office, office_said(&place.office, "orion verdict i1 delivered"));
    queues_close(place.queues);
    office_again(&place.office);
    open_queues();
    assert_int_equal(waiting("work"), 1);
    flushes_fail = true;
    assert_true(post_rings(place.office.post, "orion", "i1"));
    office_settle(&place.office);
    assert_false(office_said(&place.office, "orion verdict i1 delivered"));
    flushes_fail = false;
    UNTIL(&place.office, office_said(&place.office, "orion verdict i1 delivered"));
    assert_int_equal(waiting("work"), 1);
}

static void test_more_than_a_queue_holds_is_told_as_backpressure(void **state)
{
    for (uint64_t i = 1; i <= QUEUE_ITEMS_MAX; i++)
        enqueue("work", i);
    UNTIL(&place.office, office_answer.ticket == QUEUE_ITEMS_MAX); /* over many turns */
    assert_int_equal(office_answer.exit, EX_OK);
    enqueue("work", 1);
    UNTIL(&place.office, office_answer.ticket == 1);
    assert_int_equal(office_answer.exit, EX_TEMPFAIL);
    assert_int_equal(waiting("work"), QUEUE_ITEMS_MAX);
}

static void test_an_agent_that_fills_a_queue_leaves_room_for_the_others(void **state)
{
    OWNED char *path = memory_print("%s/shared/queues/work", place.office.folder);
    office_command("mkdir -p %s", path);
    OWNED_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < QUEUE_ITEMS_OF_ONE_MAX; i++) {
        OWNED char *id = memory_print("o%d", i), *file = memory_print("%s.md", id);
        OWNED_BUFFER struct buffer text = {0};
        struct envelope item = item_of("orion", id);
        envelope_print(&item, &text);
        assert_true(files_write(folder, file, text.data, text.length, false, NULL));
    }
    queues_close(place.queues);
    open_queues();
    assert_int_equal(waiting("work"), QUEUE_ITEMS_OF_ONE_MAX);
    struct envelope own = item_of("orion", "own"), other = item_of("iris", "other");
    office_send(&place.office, &own, "orion");
    office_send(&place.office, &other, "iris");
    UNTIL(&place.office, office_said(&place.office, "iris verdict other delivered"));
    UNTIL(&place.office,
          office_said(&place.office, "orion verdict own refused: backpressure: the queue work has "
                                     "5000 items of orion already"));
    enqueue("work", 1);
    UNTIL(&place.office, office_answer.ticket == 1);
    assert_int_equal(office_answer.exit, EX_OK);
}

static void test_an_agent_that_goes_takes_its_offers_with_it(void **state)
{
    struct envelope item = item_of("orion", "i1");
    office_put(&place.office, "orion", FOLDER_OUTBOX, &item);
    assert_true(post_rings(place.office.post, "orion", "i1"));
    post_agent_gone(place.office.post, "orion");
    enqueue("work", 1);
    UNTIL(&place.office, office_answer.ticket == 1);
    assert_int_equal(waiting("work"), 1);
    assert_false(lies_in("work", "i1"));
}

static void test_without_queues_an_item_is_refused(void **state)
{
    post_hooks(place.office.post, &(struct post_hooks){.item = NULL});
    struct envelope item = item_of("orion", "i1");
    office_send(&place.office, &item, "orion");
    enqueue("work", 1);
    UNTIL(&place.office, office_answer.ticket == 1);
    assert_int_equal(office_answer.exit, EX_DATAERR);
    UNTIL(&place.office, office_said(&place.office, "orion verdict i1 refused: there are no queues here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_items_that_come_together_share_their_flushes_and_lie_there_when_answered, begin, end),
        cmocka_unit_test_setup_teardown(test_an_item_that_has_no_place_fails_alone, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_not_flushed_is_not_accepted, begin, end),
        cmocka_unit_test_setup_teardown(
            test_an_agents_item_whose_flush_failed_is_offered_again_and_taken_once, begin, end),
        cmocka_unit_test_setup_teardown(
            test_an_item_told_of_twice_is_taken_once_and_so_is_one_id_of_two_senders, begin, end),
        cmocka_unit_test_setup_teardown(
            test_one_that_lies_there_unflushed_is_flushed_before_it_counts_as_taken, begin, end),
        cmocka_unit_test_setup_teardown(test_more_than_a_queue_holds_is_told_as_backpressure, begin, end),
        cmocka_unit_test_setup_teardown(test_an_agent_that_fills_a_queue_leaves_room_for_the_others, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_an_agent_that_goes_takes_its_offers_with_it, begin, end),
        cmocka_unit_test_setup_teardown(test_without_queues_an_item_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
