/* One lock between three nodes through everything at once: words lost, repeated, turned round and late, supervisors
 * restarted, workers killed, leases that run out, nodes that are cut off. Node a is the lock's home; tasks of all three
 * ask. Whenever a worker is told of a token, the token is the highest that any worker was told of, and at no moment do
 * two tasks hold. At the end, when all is calm, every task has had the lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/test_clock.h"
#include "seeds.h"
#include "supervisor/shared/lock_claims.h"
#include "supervisor/shared/locks.h"
#include "tests/unit/cmocka.h"

enum { NODES = 3, TASKS = 24, STEPS = 20000, SEEDS = 24, WORDS_MAX = 512, LATE = 16, LEASE_SECONDS = 12 };

static const char *const names[NODES] = {"a", "b", "c"};
static unsigned seed, walked;
static bool calm;
static int64_t now_ms;

/* --- the world --- */

static struct task {
    size_t node;
    char agent[8], id[8];
    uint64_t token; /* its worker believes to hold it */
    int64_t until_ms;
    bool asked, done;
} tasks[TASKS];

static struct node {
    struct locks *locks; /* the home's alone */
    struct lock_claims *claims;
    bool cut; /* from the bus */
    uint64_t starts;
} nodes[NODES];

static struct {
    char *text;
    uint64_t token, look;
} disk;
static uint64_t highest;

static struct flying {
    size_t to, from;
    struct lock_word word;
} words[WORDS_MAX];
static size_t word_count;

static int chance(int most)
{
    return rand_r(&seed) % most;
}

static void copy_word(struct lock_word *to, const struct lock_word *from)
{
    *to = *from;
    to->lock = "db";
    to->claims = memory_new(from->count + 1, sizeof *to->claims);
    for (size_t i = 0; i < from->count; i++) {
        to->claims[i] = from->claims[i];
        to->claims[i].agent = memory_text(from->claims[i].agent);
        to->claims[i].task = memory_text(from->claims[i].task);
        to->claims[i].holder = memory_text(from->claims[i].holder);
    }
}

static void free_word(struct lock_word *word)
{
    for (size_t i = 0; i < word->count; i++) {
        free((char *)(uintptr_t)word->claims[i].agent);
        free((char *)(uintptr_t)word->claims[i].task);
        free((char *)(uintptr_t)word->claims[i].holder);
    }
    free(word->claims);
}

static void post_word(size_t from, const char *node, const struct lock_word *word)
{
    size_t to = (size_t)(*node - 'a');
    int copies = calm ? 1 : chance(4) == 0 ? chance(3) : 1;
    assert_true(from != to && (from == 0 || to == 0));
    if (nodes[from].cut)
        return;
    for (; copies > 0 && word_count < WORDS_MAX; copies--) {
        struct flying *flying = &words[word_count++];
        *flying = (struct flying){.to = to, .from = from};
        copy_word(&flying->word, word);
    }
}

/* --- the home's disk --- */

static bool save(void *context, const char *file, const struct buffer *text, bool durable,
                 struct fault *fault)
{
    if (!durable && !calm && chance(4) == 0)
        return fault_set(fault, "no space");
    free(disk.text);
    disk.text = memory_slice(text->data, text->length);
    disk.look++;
    return true;
}

static bool save_token(void *context, uint64_t token, struct fault *fault)
{
    assert_true(token > disk.token);
    disk.token = token;
    return true;
}

static void remove_file(void *context, const char *file)
{
}

static uint64_t look(void *context, const char *file)
{
    return disk.look;
}

static void happened(void *context, const char *agent, const char *event, const char *lock, const char *task,
                     uint64_t token)
{
}

static void set_timer(void *context, int64_t in_ms)
{
}

static int64_t time_now(void *context)
{
    return now_ms;
}

static bool is_home(void *context, const char *file)
{
    return true;
}

/* --- workers --- */

static struct task *find_task(const char *agent, const char *id)
{
    for (size_t i = 0; i < TASKS; i++)
        if (strcmp(tasks[i].id, id) == 0 && strcmp(tasks[i].agent, agent) == 0)
            return &tasks[i];
    return NULL;
}

/* No other holds: neither by its worker's clock, nor by its node's word. */
static void check_alone(const struct task *holder)
{
    for (size_t i = 0; i < TASKS; i++)
        if (&tasks[i] != holder && tasks[i].token && tasks[i].until_ms > now_ms)
            fail_msg("seed %u: %s holds by %llu, and %s is told %llu", walked, tasks[i].id,
                     (unsigned long long)tasks[i].token, holder->id, (unsigned long long)holder->token);
}

static void tell(const char *agent, const char *id, uint64_t token, int64_t until_ms)
{
    struct task *task = find_task(agent, id);
    assert_non_null(task);
    if (token && !task->asked)
        return; /* the task gives the lock up, and the message is on its way */
    if (token && token != task->token) {
        if (token <= highest)
            fail_msg("%s is told %llu, and %llu was given", id, (unsigned long long)token,
                     (unsigned long long)highest);
        highest = token;
    }
    bool had = task->token != 0;
    task->token = token;
    task->until_ms = until_ms;
    if (token)
        check_alone(task);
    else if (had || until_ms)
        task->asked = false; /* the task asks again */
}

static void home_tells(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                       int64_t lease_until, const char *holder)
{
    tell(agent, task, token, token ? now_ms + LEASE_SECONDS * 1000 : lease_until);
}

/* The test's clock is not the clock of lease_until: the rest of the lease counts. */
static void claims_tell(void *context, const char *agent, const char *task, const char *lock, uint64_t token,
                        int64_t lease_until, const char *holder)
{
    int64_t left_ms = token ? (lease_until - clock_now()) * 1000 : lease_until;
    tell(agent, task, token, token ? now_ms + left_ms : lease_until);
}

/* --- the two sides --- */

static void home_says(void *context, const char *node, const struct lock_word *word)
{
    post_word(0, node, word);
}

static bool claims_say(void *context, const char *node, const struct lock_word *word)
{
    post_word((size_t)((struct node *)context - nodes), node, word);
    return true;
}

static const char *home_of(void *context, const char *lock)
{
    return "a";
}

static const char *absence(void *context, const char *node)
{
    return ((struct node *)context)->cut ? "nobody: the bus is away" : NULL;
}

static const struct locks_operations home_operations = {.save = save,
                                                        .save_token = save_token,
                                                        .remove = remove_file,
                                                        .look = look,
                                                        .tell = home_tells,
                                                        .happened = happened,
                                                        .timer = set_timer,
                                                        .now_ms = time_now,
                                                        .is_home = is_home,
                                                        .say = home_says};
static const struct lock_claims_operations claim_operations = {
    .home = home_of, .absence = absence, .tell = claims_tell, .say = claims_say, .now_ms = time_now};

static void begin(size_t at)
{
    struct fault fault;
    if (at > 0) {
        nodes[at].claims =
            lock_claims_new(&claim_operations, &nodes[at], ++nodes[at].starts * LOCK_CLAIMS_TURNS);
        return;
    }
    nodes[0].locks = locks_new(&home_operations, NULL, "a");
    locks_load_token(nodes[0].locks, disk.token);
    if (disk.text && !locks_load(nodes[0].locks, "db", disk.text, strlen(disk.text), &fault))
        fail_msg("%s", fault.text);
}

static void workers_end(size_t at)
{
    for (size_t i = 0; i < TASKS; i++)
        if (tasks[i].node == at) {
            tasks[i].token = 0;
            tasks[i].asked = false;
        }
}

static void end(size_t at)
{
    locks_free(nodes[at].locks);
    lock_claims_free(nodes[at].claims);
    nodes[at].locks = NULL;
    nodes[at].claims = NULL;
    workers_end(at);
}

static void hear(const struct flying *flying)
{
    if (nodes[flying->to].cut)
        return;
    if (flying->to == 0)
        locks_hear(nodes[0].locks, names[flying->from], &flying->word);
    else
        lock_claims_hear(nodes[flying->to].claims, names[flying->from], &flying->word);
}

/* Any message that is on its way; some come again, some much later. */
static void deliver(void)
{
    static struct flying late[LATE];
    struct flying *old = &late[chance(LATE)];
    if (calm || (old->word.what && chance(4) == 0)) {
        if (old->word.what)
            hear(old);
        free_word(&old->word);
        *old = (struct flying){.to = 0};
    }
    if (!word_count)
        return;
    size_t i = (size_t)chance(calm || chance(3) ? 1 : (int)word_count);
    struct flying flying = words[i];
    memmove(&words[i], &words[i + 1], (word_count - i - 1) * sizeof *words);
    word_count--;
    if (calm || chance(8))
        hear(&flying);
    if (calm || chance(3)) {
        free_word(&flying.word);
    } else {
        free_word(&old->word);
        *old = flying;
    }
}

static void ask(struct task *task)
{
    task->asked = true;
    if (task->node == 0)
        locks_ask(nodes[0].locks, task->agent, task->id, "db", LEASE_SECONDS);
    else
        lock_claims_ask(nodes[task->node].claims, task->agent, task->id, "db", LEASE_SECONDS);
}

static void give_up(struct task *task)
{
    task->asked = false;
    task->token = 0;
    if (task->node == 0)
        locks_give_up(nodes[0].locks, task->agent, task->id, "db");
    else
        lock_claims_leave(nodes[task->node].claims, task->agent, task->id, "db");
}

static void work(struct task *task)
{
    if (task->token && task->until_ms <= now_ms) {
        give_up(task); /* its worker's clock */
    } else if (task->token && chance(calm ? 3 : 12) == 0) {
        task->done = true;
        give_up(task);
    } else if (!task->asked && !task->done) {
        ask(task);
    } else if (task->token && chance(6) == 0) {
        ask(task); /* the task begins now: once, a lease from now on */
    } else if (!calm && task->asked && chance(20) == 0) {
        give_up(task);
    }
}

static void pass_time(int64_t ms)
{
    now_ms += ms;
    test_clock_move(ms, ms);
}

static void pass(int64_t ms)
{
    pass_time(ms);
    locks_turn(nodes[0].locks);
    locks_far_turn(nodes[0].locks);
    for (size_t at = 1; at < NODES; at++)
        lock_claims_turn(nodes[at].claims, false);
}

static void step(void)
{
    size_t at = (size_t)chance(NODES);
    switch (chance(calm ? 14 : 30)) {
    case 0:
    case 1:
    case 2:
        pass(chance(calm ? 500 : 2500));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        work(&tasks[chance(TASKS)]);
        break;
    case 14:
        if (chance(4) == 0) {
            end(at);
            pass_time(1000 + chance(2) * (chance(60) * 1000)); /* more than lists were sent meanwhile */
            if (chance(6) == 0)
                test_clock_move(-1000 * chance(200), 0);
            begin(at);
        }
        break;
    case 15:
        workers_end(at);
        if (at)
            lock_claims_agent_gone(nodes[at].claims, names[at]);
        else
            locks_agent_gone(nodes[0].locks, "a");
        break;
    case 16:
        nodes[at].cut = chance(4) == 0;
        break;
    case 17:
        if (chance(10) == 0)
            pass(LEASE_SECONDS * 1000);
        break;
    default:
        deliver();
    }
}

static int done_count(void)
{
    int count = 0;
    for (size_t i = 0; i < TASKS; i++)
        count += tasks[i].done;
    return count;
}

static void new_world(unsigned from, bool is_calm)
{
    seed = walked = from;
    calm = is_calm;
    now_ms = 1000000;
    highest = 0;
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i] = (struct task){.node = i % NODES};
        snprintf(tasks[i].agent, sizeof tasks[i].agent, "%s", names[i % NODES]);
        snprintf(tasks[i].id, sizeof tasks[i].id, "t%zu", i);
    }
    for (size_t at = 0; at < NODES; at++) {
        begin(at);
        nodes[at].cut = false;
    }
}

static void end_world(void)
{
    for (size_t at = 0; at < NODES; at++)
        end(at);
    while (word_count)
        free_word(&words[--word_count].word);
    free(disk.text);
    memset(&disk, 0, sizeof disk);
}

static void walk(unsigned from)
{
    new_world(from, false);
    for (int i = 0; i < STEPS; i++) {
        step();
        if (done_count() == TASKS)
            for (size_t task = 0; task < TASKS; task++)
                tasks[task].done = false;
    }
    calm = true;
    for (size_t at = 0; at < NODES; at++)
        nodes[at].cut = false;
    for (int i = 0; i < 30000 && done_count() < TASKS; i++)
        step();
    print_message("seed %u: %d of %d, tokens come to %llu\n", from, done_count(), TASKS,
                  (unsigned long long)highest);
    assert_int_equal(done_count(), TASKS);
    end_world();
}

/* The home is told at once, and the next waiting task has the lock: no lease has to run out. */
static void test_a_task_of_another_node_that_is_done_frees_the_lock_at_once(void **state)
{
    struct task *first = &tasks[1], *next = &tasks[2];
    new_world(1, true);
    ask(first);
    ask(next);
    while (word_count)
        deliver();
    assert_true(first->token && !next->token);
    give_up(first);
    while (word_count)
        deliver();
    assert_true(next->token > 0);
    end_world();
}

static void test_no_two_tasks_of_three_nodes_hold_a_lock_and_tokens_grow(void **state)
{
    walk_each(walk, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_of_another_node_that_is_done_frees_the_lock_at_once),
        cmocka_unit_test(test_no_two_tasks_of_three_nodes_hold_a_lock_and_tokens_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
