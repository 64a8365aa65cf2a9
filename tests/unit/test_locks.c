/* Locks: one holder, waiters in order, tokens that only grow, leases that end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/shared/locks.h"
#include "tests/unit/cmocka.h"

enum { SAID_MAX = 1024 };

/* The world around the locks: one disk (its files by name), one clock, all messages. */
struct world {
    struct locks *locks;
    struct {
        char *name, *text;
        uint64_t look;
    } files[SAID_MAX];
    size_t file_count;
    uint64_t token, looks;
    char *said[SAID_MAX];
    size_t said_count, read, turned_away;
    int64_t now_ms, timer_ms;
    bool full;        /* the disk */
    bool files_only;  /* … but for the counter */
    bool durable_yet; /* the last save was */
};

static size_t file_of(struct world *world, const char *name)
{
    size_t i = 0;
    while (i < world->file_count && strcmp(world->files[i].name, name) != 0)
        i++;
    return i;
}

static bool save(void *context, const char *file, const struct buffer *text, bool durable,
                 struct fault *fault)
{
    struct world *world = context;
    if (world->full || world->files_only)
        return fault_set(fault, "cannot write %s: No space left on device", file);
    size_t i = file_of(world, file);
    if (i == world->file_count)
        world->files[world->file_count++].name = memory_text(file);
    free(world->files[i].text);
    world->files[i].text = memory_slice(text->data, text->length);
    world->files[i].look = ++world->looks;
    world->durable_yet = durable;
    return true;
}

static bool save_token(void *context, uint64_t token, struct fault *fault)
{
    struct world *world = context;
    if (world->full)
        return fault_set(fault, "cannot write the counter: No space left on device");
    assert_true(token > world->token);
    world->token = token;
    return true;
}

static void remove_file(void *context, const char *file)
{
    struct world *world = context;
    size_t i = file_of(world, file);
    free(world->files[i].text);
    world->files[i].text = NULL;
}

static uint64_t look(void *context, const char *file)
{
    struct world *world = context;
    size_t i = file_of(world, file);
    return i < world->file_count && world->files[i].text ? world->files[i].look : 0;
}

static void tell(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                 int64_t lease_until, const char *holder)
{
    struct world *world = context;
    assert_true(token == 0 || world->durable_yet);
    assert_true(token == 0 || world->token >= token);
    if (token)
        assert_true(lease_until > 0);
    else if (lease_until) /* the task has no place */
        world->turned_away++;
    assert_true(world->said_count < SAID_MAX);
    world->said[world->said_count++] =
        memory_print("%s %s %s %llu %s", agent, task, lock, (unsigned long long)token, holder);
}

static void happened(void *context, const char *agent, const char *event, const char *lock, const char *task,
                     uint64_t token)
{
}

static void timer(void *context, int64_t in_ms)
{
    struct world *world = context;
    world->timer_ms = in_ms < 0 ? -1 : world->now_ms + in_ms;
}

static int64_t now_ms(void *context)
{
    return ((struct world *)context)->now_ms;
}

static const struct locks_operations operations = {
    .save = save,
    .save_token = save_token,
    .remove = remove_file,
    .look = look,
    .tell = tell,
    .happened = happened,
    .timer = timer,
    .now_ms = now_ms,
};

static int set_up(void **state)
{
    struct world *world = memory_new(1, sizeof *world);
    world->now_ms = 1000;
    world->timer_ms = -1;
    world->locks = locks_new(&operations, world, NULL);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    locks_free(world->locks);
    for (size_t i = 0; i < world->file_count; i++) {
        free(world->files[i].name);
        free(world->files[i].text);
    }
    for (size_t i = 0; i < world->said_count; i++)
        free(world->said[i]);
    free(world);
    return 0;
}

static void ask(struct world *world, const char *agent, const char *task)
{
    assert_true(locks_ask(world->locks, agent, task, "db", 60));
}

static void expect(struct world *world, const char *said)
{
    assert_true(world->read < world->said_count);
    assert_string_equal(world->said[world->read++], said);
}

static void expect_silence(struct world *world)
{
    assert_int_equal(world->read, world->said_count);
}

/* Lets time pass until nothing is due at once. */
static void pass(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    for (int turns = 0; turns < 100 && world->timer_ms >= 0 && world->timer_ms <= world->now_ms; turns++) {
        world->timer_ms = -1;
        locks_turn(world->locks);
    }
    assert_true(world->timer_ms < 0 || world->timer_ms > world->now_ms);
}

static const char *text_of(struct world *world, const char *file)
{
    size_t i = file_of(world, file);
    return i < world->file_count && world->files[i].text ? world->files[i].text : "";
}

/* The supervisor dies and another one starts on the files on the disk. */
static void restart(struct world *world)
{
    struct fault fault;
    locks_free(world->locks);
    world->locks = locks_new(&operations, world, NULL);
    locks_load_token(world->locks, world->token);
    for (size_t i = 0; i < world->file_count; i++)
        if (world->files[i].text)
            assert_true(locks_load(world->locks, world->files[i].name, world->files[i].text,
                                   strlen(world->files[i].text), &fault));
    pass(world, 0);
}

static void test_a_free_lock_is_granted_at_once_and_only_one_task_holds_it(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "iris", "b");
    expect(world, "orion a db 1 ");
    expect(world, "iris b db 0 orion: a");
    expect_silence(world);
}

static void test_waiters_get_it_in_the_order_of_asking_with_tokens_that_grow(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "iris", "b");
    ask(world, "nova", "c");
    ask(world, "iris", "b"); /* asked again: the same place */
    world->read = world->said_count;
    locks_give_up(world->locks, "orion", "a", "db");
    expect(world, "iris b db 2 ");
    locks_give_up(world->locks, "iris", "b", "db");
    expect(world, "nova c db 3 ");
    locks_give_up(world->locks, "nova", "c", "db");
    expect_silence(world);
}

static void test_a_holder_who_asks_again_is_told_the_same_token(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "orion", "a");
    expect(world, "orion a db 1 ");
    expect(world, "orion a db 1 ");
    expect_silence(world);
}

static void test_the_death_of_the_holders_worker_frees_it_and_drops_its_waiting(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "orion", "a2");
    ask(world, "iris", "b");
    world->read = world->said_count;
    locks_agent_gone(world->locks, "orion");
    pass(world, 0);
    expect(world, "iris b db 2 ");
    locks_give_up(world->locks, "iris", "b", "db");
    expect_silence(world);
}

static void test_a_lease_ends_and_its_holder_is_told(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "iris", "b");
    world->read = world->said_count;
    pass(world, 59999);
    expect_silence(world);
    pass(world, 1);
    expect(world, "orion a db 0 ");
    expect(world, "iris b db 2 ");
    pass(world, 60000);
    expect(world, "iris b db 0 ");
    expect_silence(world);
    assert_int_equal(world->timer_ms, -1);
}

static void test_a_lease_runs_from_when_its_worker_begins_and_only_once(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    expect(world, "orion a db 1 ");
    pass(world, 50 * 1000);
    ask(world, "orion", "a"); /* the task begins */
    pass(world, 0);
    world->durable_yet = true;
    expect(world, "orion a db 1 ");
    pass(world, 50 * 1000);
    expect_silence(world);
    world->durable_yet = true;
    ask(world, "orion", "a");
    expect(world, "orion a db 1 ");
    pass(world, 9 * 1000);
    expect_silence(world);
    pass(world, 1000);
    expect(world, "orion a db 0 ");
}

static void test_an_unlock_of_somebody_else_or_of_a_former_holder_frees_nothing(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    world->read = world->said_count;
    locks_give_up(world->locks, "iris", "a", "db");
    locks_give_up(world->locks, "orion", "other", "db");
    locks_give_up(world->locks, "orion", "a", "never-heard-of");
    ask(world, "nova", "c");
    expect(world, "nova c db 0 orion: a");
}

static void test_a_task_that_asks_for_another_lock_leaves_the_former_one(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "iris", "b");
    world->read = world->said_count;
    assert_true(locks_ask(world->locks, "orion", "a", "printer", 60));
    expect(world, "iris b db 2 ");
    expect(world, "orion a printer 3 ");
}

static void test_the_token_only_grows_over_restarts_deletions_and_edits(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    locks_give_up(world->locks, "orion", "a", "db");
    restart(world);
    ask(world, "orion", "a");
    restart(world); /* held while the supervisor died: free now */
    world->read = world->said_count;
    ask(world, "iris", "b");
    expect(world, "iris b db 3 ");
    free(world->files[0].text);
    world->files[0].text = NULL; /* deleted while nobody ran */
    restart(world);
    ask(world, "iris", "b");
    expect(world, "iris b db 4 ");
    char *old = strstr(world->files[0].text, "token: 4");
    old[7] = '1';
    restart(world);
    ask(world, "iris", "b");
    expect(world, "iris b db 5 ");
}

static void test_the_file_shows_holder_token_lease_and_waiters(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    ask(world, "iris", "b: \"quoted\"");
    pass(world, 0);
    const char *text = text_of(world, "db");
    assert_non_null(strstr(text, "name: db\nholder: \"orion: a\"\nagent: orion\ntask: a\ntoken: 1\nsince: "));
    assert_non_null(strstr(text, "lease_until: "));
    assert_non_null(strstr(text, "waiters:\n  - \"iris: b: \\\"quoted\\\"\"\n---\nHeld by orion"));
    locks_agent_gone(world->locks, "orion");
    pass(world, 0);
    locks_agent_gone(world->locks, "iris");
    pass(world, 0);
    assert_non_null(strstr(text_of(world, "db"), "holder: none\ntoken: 2\nwaiters: []\n---\nFree."));
}

static void test_on_a_full_disk_nobody_is_granted_a_lock_and_all_are_when_there_is_room(void **state)
{
    struct world *world = *state;
    world->full = true;
    ask(world, "orion", "a");
    expect(world, "orion a db 0 ");
    ask(world, "iris", "b");
    expect(world, "iris b db 0 ");
    pass(world, 5000);
    expect_silence(world);
    world->full = false;
    world->files_only = true; /* the counter can be written, the lock's file can't */
    pass(world, 60000);
    expect_silence(world);
    world->files_only = false;
    pass(world, 60000);
    assert_int_equal(world->said_count, world->read + 1);
    assert_memory_equal(world->said[world->read++], "orion a db ", 11);
    locks_give_up(world->locks, "orion", "a", "db");
    assert_int_equal(world->said_count, world->read + 1);
    assert_memory_equal(world->said[world->read], "iris b db ", 10);
}

static void test_what_people_do_to_the_file_decides_nothing_and_is_mended(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    pass(world, 0);
    world->files[0].text[0] = '\0';
    world->files[0].look = ++world->looks;
    locks_scan(world->locks);
    pass(world, 0);
    assert_non_null(strstr(text_of(world, "db"), "holder: \"orion: a\""));
    free(world->files[0].text);
    world->files[0].text = NULL;
    locks_scan(world->locks);
    pass(world, 0);
    assert_non_null(strstr(text_of(world, "db"), "holder: \"orion: a\""));
    ask(world, "iris", "b");
    expect(world, "orion a db 1 ");
    expect(world, "iris b db 0 orion: a");
}

static void test_a_free_locks_file_may_be_deleted_and_its_token_still_grows(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "a");
    locks_give_up(world->locks, "orion", "a", "db");
    pass(world, 0);
    free(world->files[0].text);
    world->files[0].text = NULL;
    locks_scan(world->locks);
    pass(world, 0);
    assert_string_equal(text_of(world, "db"), "");
    world->read = world->said_count;
    ask(world, "orion", "a");
    expect(world, "orion a db 2 ");
}

static void test_after_the_last_token_nobody_is_given_a_lock(void **state)
{
    struct world *world = *state;
    struct fault fault;
    static const char text[] = "---\nname: db\ntoken: 9223372036854775806\n---\n";
    assert_true(locks_load(world->locks, "db", text, sizeof text - 1, &fault));
    ask(world, "orion", "a");
    expect(world, "orion a db 9223372036854775807 ");
    restart(world); /* its own file is read, and is the last */
    ask(world, "orion", "a");
    expect(world, "orion a db 0 ");
    world->now_ms += 100 * 1000;
    locks_turn(world->locks);
    expect_silence(world);
}

static void test_nobody_is_given_a_lock_while_it_is_not_known_what_the_tokens_have_come_to(void **state)
{
    struct world *world = *state;
    struct fault fault;
    static const char text[] = "---\nname: db\nholder: none\ntoken: 41\nwaiters: []\n---\n";
    locks_hold(world->locks, true);
    ask(world, "orion", "a");
    expect(world, "orion a db 0 ");
    pass(world, 10000);
    expect_silence(world);
    assert_string_equal(text_of(world, "db"), ""); /* a file that could not be read is not written over */
    assert_true(locks_load(world->locks, "db", text, sizeof text - 1, &fault)); /* the lock is known by now */
    locks_hold(world->locks, false);
    pass(world, 0);
    expect(world, "orion a db 42 ");
    assert_true(locks_load(world->locks, "db", text, sizeof text - 1, &fault));
    pass(world, 0);
    ask(world, "orion", "a");
    expect(world, "orion a db 42 ");
}

static void test_a_file_that_is_no_lock_is_refused_at_start(void **state)
{
    static const char *const texts[] = {
        "",
        "no front matter",
        "---\nname: db\n---\n",
        "---\nname: db\ntoken: -1\n---\n",
        "---\nname: db\ntoken: 99999999999999999999\n---\n",
        "---\nname: other\ntoken: 1\n---\n",
        "---\nname: [db]\ntoken: 1\n---\n",
        "---\nname: &a db\ntoken: 1\n---\n",
        "---\nname: db\ntoken: 1\n",
    };
    struct world *world = *state;
    struct fault fault;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(locks_load(world->locks, "db", texts[i], strlen(texts[i]), &fault));
}

static void test_names_are_one_line_and_become_files_of_their_own(void **state)
{
    struct world *world = *state;
    assert_false(locks_ask(world->locks, "orion", "a", "", 60));
    assert_false(locks_ask(world->locks, "orion", "a", "two\nlines", 60));
    assert_false(locks_ask(world->locks, "orion", "a", "\xff", 60));
    assert_true(locks_ask(world->locks, "orion", "a", "../../etc/passwd", 60));
    assert_true(locks_ask(world->locks, "orion", "b", "../../etc-passwd", 60));
    assert_int_equal(world->file_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_null(strchr(world->files[i].name, '/'));
    restart(world);
    assert_int_equal(world->file_count, 2);
}

static void test_many_waiters_are_served_in_order_and_shown_in_part(void **state)
{
    struct world *world = *state;
    ask(world, "orion", "first");
    for (int i = 0; i < 150; i++) {
        OWNED char *task = memory_print("t%d", i), *agent = memory_print("agent-%d", i / 50);
        ask(world, agent, task);
    }
    pass(world, 0);
    assert_non_null(strstr(text_of(world, "db"), "150 tasks wait for the lock; the first 100 are listed."));
    locks_give_up(world->locks, "orion", "first", "db");
    world->read = world->said_count - 1;
    expect(world, "agent-0 t0 db 2 ");
}

static void forget_said(struct world *world)
{
    for (size_t i = 0; i < world->said_count; i++)
        free(world->said[i]);
    world->said_count = world->read = 0;
}

static void test_an_agent_that_asks_for_ever_so_much_keeps_nobody_else_from_a_lock(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 20001; i++) {
        OWNED char *name = memory_print("lock-%d", i), *task = memory_print("t%d", i);
        assert_true(locks_ask(world->locks, "orion", task, i % 2 ? name : "db", 60));
        if (world->said_count == SAID_MAX)
            forget_said(world);
    }
    assert_int_equal(world->turned_away, 20001 - LOCK_CLAIMS_MAX);
    forget_said(world);
    assert_true(locks_ask(world->locks, "iris", "a", "other", 60));
    OWNED char *granted = memory_print("iris a other %llu ", (unsigned long long)world->token);
    expect(world, granted);
    locks_give_up(world->locks, "orion", "t1", "lock-1"); /* a place is free again */
    assert_true(locks_ask(world->locks, "orion", "late", "db", 60));
    assert_int_equal(world->turned_away, 20001 - LOCK_CLAIMS_MAX);
    locks_agent_gone(world->locks, "orion");
    pass(world, 0);
    forget_said(world);
    ask(world, "iris", "b");
    OWNED char *next = memory_print("iris b db %llu ", (unsigned long long)world->token);
    expect(world, next);
}

static size_t files_there(const struct world *world)
{
    size_t count = 0;
    for (size_t i = 0; i < world->file_count; i++)
        count += world->files[i].text != NULL;
    return count;
}

static void test_free_locks_are_forgotten_file_and_all_and_tokens_still_grow(void **state)
{
    struct world *world = *state;
    ask(world, "iris", "held");
    for (int i = 0; i < LOCKS_FREE_MAX + 100; i++) {
        OWNED char *name = memory_print("lock-%d", i);
        assert_true(locks_ask(world->locks, "orion", "t", name, 60)); /* and leaves the lock before */
        if (i % 10 == 0)
            pass(world, 0);
        forget_said(world);
    }
    locks_give_up(world->locks, "orion", "t", "lock-355");
    pass(world, 0);
    assert_int_equal(files_there(world), LOCKS_FREE_MAX + 1);
    assert_non_null(strstr(text_of(world, "db"), "holder: \"iris: held\""));
    assert_string_equal(text_of(world, "lock-0"), "");
    uint64_t before = world->token;
    world->token = 0; /* the counter's file is lost: the locks' own files say how far the tokens have grown */
    restart(world);
    assert_true(locks_ask(world->locks, "orion", "t", "lock-0", 60));
    assert_true(world->token > before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_free_lock_is_granted_at_once_and_only_one_task_holds_it),
        TEST(test_waiters_get_it_in_the_order_of_asking_with_tokens_that_grow),
        TEST(test_a_holder_who_asks_again_is_told_the_same_token),
        TEST(test_the_death_of_the_holders_worker_frees_it_and_drops_its_waiting),
        TEST(test_a_lease_ends_and_its_holder_is_told),
        TEST(test_a_lease_runs_from_when_its_worker_begins_and_only_once),
        TEST(test_an_unlock_of_somebody_else_or_of_a_former_holder_frees_nothing),
        TEST(test_a_task_that_asks_for_another_lock_leaves_the_former_one),
        TEST(test_the_token_only_grows_over_restarts_deletions_and_edits),
        TEST(test_the_file_shows_holder_token_lease_and_waiters),
        TEST(test_on_a_full_disk_nobody_is_granted_a_lock_and_all_are_when_there_is_room),
        TEST(test_what_people_do_to_the_file_decides_nothing_and_is_mended),
        TEST(test_a_free_locks_file_may_be_deleted_and_its_token_still_grows),
        TEST(test_after_the_last_token_nobody_is_given_a_lock),
        TEST(test_nobody_is_given_a_lock_while_it_is_not_known_what_the_tokens_have_come_to),
        TEST(test_a_file_that_is_no_lock_is_refused_at_start),
        TEST(test_names_are_one_line_and_become_files_of_their_own),
        TEST(test_many_waiters_are_served_in_order_and_shown_in_part),
        TEST(test_an_agent_that_asks_for_ever_so_much_keeps_nobody_else_from_a_lock),
        TEST(test_free_locks_are_forgotten_file_and_all_and_tokens_still_grow),
    };
    return cmocka_run_group_tests_name("locks", tests, NULL, NULL);
}
