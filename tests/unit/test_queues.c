/* Work queues: each item with one consumer at a time, whoever dies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "supervisor/post/post.h"
#include "supervisor/post/queues.h"

enum { AGENTS = 2 };

static const char roster_text[] = "agents:\n  - {name: orion, persona: p}\n  - {name: iris, persona: p}\n"
                                  "queues:\n  - {name: reviews, consumers: [orion, iris], max_attempts: 2}\n";
static const char *const names[AGENTS] = {"orion", "iris"};

struct world {
    char path[64];
    int data;
    struct expiry *expiry;
    struct queues *queues;
    struct roster *roster;
    int64_t window[AGENTS];
    enum queue_worker worker[AGENTS];
    bool unfinished[AGENTS];
    bool put_fails, bury_fails, bounce_fails;
    struct buffer bounces; /* "ID reason\n" */
    bool due;
};

static size_t agent_of(const char *name)
{
    return strcmp(name, names[0]) == 0 ? 0 : 1;
}

static char *path_of(const char *agent, unsigned place, const char *id)
{
    const char *folder = place == POST_HANDOFFS  ? "handoffs"
                         : place == POST_ARCHIVE ? "archive"
                                                 : "dead-letter";
    return memory_print("agents/%s/iac/%s/%s.md", agent, folder, id);
}

static bool lies_in(const struct world *world, const char *agent, unsigned place, const char *id)
{
    OWNED char *path = path_of(agent, place, id);
    return faccessat(world->data, path, F_OK, 0) == 0;
}

static unsigned lies(void *context, const char *agent, const char *id)
{
    unsigned found = 0;
    for (unsigned place = POST_HANDOFFS; place <= POST_DEAD_LETTER; place <<= 1)
        if (place != POST_OUTBOX && lies_in(context, agent, place, id))
            found |= place;
    return found;
}

static bool count_file(const char *name)
{
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".md") == 0;
}

static size_t count_in(const struct world *world, const char *folder)
{
    OWNED char *command = memory_print("ls -A '%s/%s' 2>/dev/null", world->path, folder);
    char line[256];
    size_t count = 0;
    FILE *list = popen(command, "r");
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = '\0';
        count += count_file(line);
    }
    pclose(list);
    return count;
}

static int64_t room(void *context, const char *agent)
{
    const struct world *world = context;
    size_t i = agent_of(agent);
    OWNED char *folder = memory_print("agents/%s/iac/handoffs", agent);
    int64_t left = world->window[i] - (int64_t)count_in(world, folder);
    return world->worker[i] == QUEUE_WORKER_READY && left > 0 ? left : 0;
}

static bool write_at(struct world *world, const char *path, const struct envelope *envelope)
{
    OWNED_BUFFER struct buffer text = {0};
    envelope_print(envelope, &text);
    return files_write(world->data, path, text.data, text.length, false, NULL);
}

static bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, POST_HANDOFFS, envelope->id);
    if (world->put_fails)
        return fault_set(fault, "No space left on device");
    assert_int_equal(envelope->kind, KIND_ITEM);
    assert_string_equal(envelope->consumer, agent);
    assert_string_equal(envelope->to, "queue:reviews");
    return lies_in(world, agent, POST_HANDOFFS, envelope->id) || write_at(world, path, envelope);
}

static int read_copy(void *context, const char *agent, unsigned place, const char *id, struct envelope *copy)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, place, id), *text = NULL;
    size_t length;
    int found = files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL);
    return found == 1 && !envelope_parse(copy, text, length, id, NULL) ? -1 : found;
}

static int take(void *context, const char *agent, const char *id, int folder, const char *name,
                struct envelope *copy, struct fault *fault)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, POST_HANDOFFS, id);
    assert_int_not_equal(world->worker[agent_of(agent)], QUEUE_WORKER_READY);
    int found = read_copy(world, agent, POST_HANDOFFS, id, copy);
    if (found == 0)
        return 0;
    if (renameat2(world->data, path, folder, name, RENAME_NOREPLACE) != 0) {
        fault_errno(fault, "cannot take %s", path);
        if (found == 1)
            envelope_free(copy);
        return -1;
    }
    return found;
}

static bool bounce(void *context, const struct envelope *about, const char *from, const char *reason,
                   struct fault *fault)
{
    struct world *world = context;
    if (world->bounce_fails)
        return fault_set(fault, "No space left on device");
    assert_string_equal(from, "queue:reviews");
    buffer_print(&world->bounces, "%s %s\n", about->id, reason);
    return true;
}

static bool bury(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, POST_DEAD_LETTER, envelope->id);
    if (world->bury_fails)
        return fault_set(fault, "No space left on device");
    assert_true(envelope->finished > 0);
    return write_at(world, path, envelope);
}

static void tell(void *context, const char *agent, const char *event, const struct envelope *envelope,
                 const char *reason)
{
    (void)context, (void)event, (void)reason;
    assert_non_null(agent);
    assert_non_null(envelope->id);
}

static enum queue_worker worker(void *context, const char *agent)
{
    return ((struct world *)context)->worker[agent_of(agent)];
}

static bool unfinished(void *context, const char *agent)
{
    return ((struct world *)context)->unfinished[agent_of(agent)];
}

static void timer(void *context, int64_t in_ms)
{
    ((struct world *)context)->due |= in_ms == 0;
}

static const struct queues_operations operations = {
    .room = room,
    .lies = lies,
    .put = put,
    .take = take,
    .bounce = bounce,
    .bury = bury,
    .tell = tell,
    .read = read_copy,
    .worker = worker,
    .unfinished = unfinished,
    .timer = timer,
};

static void nothing(void *context)
{
    (void)context;
}

static void turn(struct world *world)
{
    for (int turns = 0; world->due && turns < 200; turns++) {
        world->due = false;
        queues_turn(world->queues);
    }
    assert_false(world->due);
}

/* A supervisor's start on what lies on the disk. */
static void start(struct world *world)
{
    world->queues = queues_open(world->data, world->expiry, &operations, world);
    queues_roster(world->queues, world->roster);
    queues_start(world->queues);
    turn(world);
}

static void ready(struct world *world, const char *agent)
{
    world->unfinished[agent_of(agent)] = false;
    world->worker[agent_of(agent)] = QUEUE_WORKER_READY;
    queues_worker_ready(world->queues, agent);
    turn(world);
}

static void die(struct world *world, const char *agent)
{
    world->worker[agent_of(agent)] = QUEUE_WORKER_NONE;
    queues_worker_down(world->queues, agent);
}

static void restart(struct world *world)
{
    queues_close(world->queues);
    for (size_t i = 0; i < AGENTS; i++)
        world->worker[i] = QUEUE_WORKER_COMING;
    start(world);
    for (size_t i = 0; i < AGENTS; i++)
        ready(world, names[i]);
}

static int set_up(void **state)
{
    struct world *world = memory_new(1, sizeof *world);
    OWNED_BUFFER struct buffer faults = {0};
    strcpy(world->path, "/tmp/queues-XXXXXX");
    assert_non_null(mkdtemp(world->path));
    world->data = open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < AGENTS; i++) {
        static const char *const folders[] = {"handoffs", "archive", "dead-letter"};
        for (size_t j = 0; j < 3; j++) {
            OWNED char *path = memory_print("agents/%s/iac/%s", names[i], folders[j]);
            close(files_open_folder(world->data, path, true, NULL));
        }
        world->window[i] = 4;
        world->worker[i] = QUEUE_WORKER_READY;
    }
    world->expiry = expiry_new(nothing, NULL);
    world->roster = roster_parse(roster_text, strlen(roster_text), "agents.yaml", &faults);
    assert_non_null(world->roster);
    start(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    OWNED char *command = memory_print("rm -rf '%s'", world->path);
    queues_close(world->queues);
    expiry_free(world->expiry);
    roster_free(world->roster);
    buffer_free(&world->bounces);
    close(world->data);
    assert_int_equal(system(command), 0);
    free(world);
    return 0;
}

static struct envelope item(const char *id)
{
    static char from[] = "nova", to[] = "queue:reviews", status[] = "pending", body[] = "the work\n";
    return (struct envelope){.id = (char *)(uintptr_t)id,
                             .kind = KIND_ITEM,
                             .from = from,
                             .to = to,
                             .created = 1000,
                             .priority = PRIORITY_NORMAL,
                             .status = status,
                             .hops = 1,
                             .trace = (char *)(uintptr_t)id,
                             .body = body};
}

static void add(struct world *world, const char *id)
{
    struct fault why;
    struct envelope envelope = item(id);
    envelope.created = clock_now();
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
}

/* Who has it: an agent's name, "both", or "nobody". */
static const char *holder(struct world *world, const char *id)
{
    bool has[AGENTS];
    for (size_t i = 0; i < AGENTS; i++)
        has[i] = lies_in(world, names[i], POST_HANDOFFS, id);
    return has[0] && has[1] ? "both" : has[0] ? names[0] : has[1] ? names[1] : "nobody";
}

static const char *other_than(const char *agent)
{
    return names[1 - agent_of(agent)];
}

static char *queue_text(struct world *world, const char *id)
{
    OWNED char *path = memory_print("shared/queues/reviews/%s.md", id);
    char *text;
    size_t length;
    return files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL) == 1 ? text
                                                                                        : memory_text("");
}

/* What a worker does with its copy. */
static void rewrite(struct world *world, const char *agent, unsigned to, const char *id, const char *status,
                    int64_t attempts)
{
    struct envelope copy;
    OWNED char *from_path = path_of(agent, POST_HANDOFFS, id), *to_path = path_of(agent, to, id);
    assert_int_equal(read_copy(world, agent, POST_HANDOFFS, id, &copy), 1);
    free(copy.status);
    copy.status = memory_text(status);
    copy.attempts += attempts;
    assert_true(write_at(world, to_path, &copy));
    if (to != POST_HANDOFFS)
        assert_int_equal(unlinkat(world->data, from_path, 0), 0);
    envelope_free(&copy);
}

static void begin(struct world *world, const char *agent, const char *id)
{
    rewrite(world, agent, POST_HANDOFFS, id, "reading", 1);
}

static void finish(struct world *world, const char *agent, const char *id)
{
    rewrite(world, agent, POST_ARCHIVE, id, "finished", 1);
}

static void drop(struct world *world, const char *file, const char *text)
{
    OWNED char *path = memory_print("shared/queues/reviews/%s", file);
    assert_true(files_write(world->data, path, text, strlen(text), false, NULL));
}

static void test_an_item_goes_to_one_consumer_and_its_file_says_who(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *has = holder(world, "a");
    assert_true(strcmp(has, "orion") == 0 || strcmp(has, "iris") == 0);
    OWNED char *text = queue_text(world, "a"), *line = memory_print("\nconsumer: %s\n", has);
    assert_non_null(strstr(text, "\nstatus: delivered\n"));
    assert_non_null(strstr(text, line));
    finish(world, has, "a");
    queues_item_ended(world->queues, has, "a", "finished");
    OWNED char *gone = queue_text(world, "a");
    assert_string_equal(gone, "");
    assert_int_equal(world->bounces.length, 0);
}

static void test_the_one_with_the_most_room_gets_it_and_equals_take_turns(void **state)
{
    struct world *world = *state;
    world->window[0] = 2;
    world->window[1] = 16;
    add(world, "a");
    add(world, "b");
    assert_string_equal(holder(world, "a"), "iris");
    assert_string_equal(holder(world, "b"), "iris");
    world->window[0] = world->window[1] = 8;
    world->window[0] -= 2; /* as much room as the other one */
    add(world, "c");
    const char *third = holder(world, "c");
    add(world, "d");
    assert_string_not_equal(holder(world, "d"), third);
}

static void test_without_room_items_wait_and_the_first_by_priority_and_age_goes_first(void **state)
{
    struct world *world = *state;
    struct fault why;
    size_t waiting, under_way;
    world->window[0] = world->window[1] = 0;
    struct envelope old = item("old"), older = item("older"), high = item("urgent");
    old.created = 2000;
    high.created = 3000;
    high.priority = PRIORITY_HIGH;
    assert_int_equal(queues_add(world->queues, &old, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &older, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &high, false, &why), QUEUE_TAKEN);
    turn(world);
    queues_count(world->queues, "reviews", &waiting, &under_way);
    assert_int_equal(waiting, 3);
    static const char *const order[] = {"urgent", "older", "old"};
    for (int64_t i = 0; i < 3; i++) {
        world->window[0] = i + 1;
        queues_room(world->queues);
        turn(world);
        assert_string_equal(holder(world, order[i]), "orion");
        queues_count(world->queues, "reviews", &waiting, &under_way);
        assert_int_equal(waiting, 2 - i);
        assert_int_equal(under_way, i + 1);
    }
}

static void test_it_is_given_back_when_its_worker_dies_and_another_one_gets_it(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    assert_string_equal(holder(world, "a"), "nobody");
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nstatus: pending\n"));
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_non_null(strstr(text, "given back: the worker of"));
    ready(world, first);
    assert_string_equal(holder(world, "a"), second);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
}

static void test_one_that_was_not_begun_costs_no_attempt(void **state)
{
    struct world *world = *state;
    add(world, "a");
    die(world, holder(world, "a"));
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 0\n"));
}

static void test_after_max_attempts_it_is_a_dead_letter_and_the_sender_is_told(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), second);
    begin(world, second, "a");
    die(world, second);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_true(lies_in(world, second, POST_DEAD_LETTER, "a"));
    assert_string_equal(world->bounces.data, "a max_attempts\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    restart(world);
    assert_string_equal(holder(world, "a"), "nobody");
}

static void test_while_the_journal_is_not_done_nothing_is_taken_back(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    begin(world, first, "a");
    world->unfinished[agent_of(first)] = true;
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), first);
    finish(world, first, "a"); /* what its successor's recovery brings out */
    ready(world, first);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_int_equal(world->bounces.length, 0);
}

static void test_an_item_in_doubt_that_had_not_ended_stays_with_the_successor(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    world->unfinished[agent_of(first)] = true;
    die(world, first);
    ready(world, first);
    assert_string_equal(holder(world, "a"), first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), other_than(first));
}

/* A supervisor that was killed right behind the last step of taking back leaves the copy that it took. */
static void test_a_copy_taken_at_an_earlier_death_is_not_believed_at_the_next(void **state)
{
    struct world *world = *state;
    struct envelope old = item("a");
    world->window[1] = 0;
    add(world, "a");
    begin(world, "orion", "a");
    die(world, "orion");
    old.attempts = 1;
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
    world->window[1] = 4;
    die(world, "orion");
    turn(world);
    assert_string_equal(holder(world, "a"), "iris");
}

/* Between two file systems taking is copying; cut behind it, both lie there. */
static void test_a_copy_beside_what_it_was_taken_from_counts_for_nothing(void **state)
{
    struct world *world = *state;
    struct envelope old = item("a");
    world->window[1] = 0;
    add(world, "a");
    begin(world, "orion", "a");
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
    assert_true(write_at(world, "shared/queues/reviews/.a.taken", &old));
    world->window[1] = 4;
    die(world, "orion");
    turn(world);
    assert_string_equal(holder(world, "a"), "iris"); /* and not both */
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_int_equal(faccessat(world->data, "shared/queues/reviews/.a.taken", F_OK, 0), -1);
}

static void test_a_folder_planted_in_a_copys_place_is_taken_away_once(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a"), *second = other_than(first);
    OWNED char *path = path_of(first, POST_HANDOFFS, "a"), *inner = memory_print("%s/file", path);
    assert_int_equal(unlinkat(world->data, path, 0), 0);
    assert_int_equal(mkdirat(world->data, path, 0755), 0);
    assert_true(files_write(world->data, inner, "x", 1, false, NULL));
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), second);
    OWNED char *text = queue_text(world, "a");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    die(world, second);
    ready(world, first);
    assert_string_equal(holder(world, "a"), first);
}

static void test_a_finished_one_whose_end_was_not_told_is_not_done_again(void **state)
{
    struct world *world = *state;
    add(world, "a");
    const char *first = holder(world, "a");
    finish(world, first, "a");
    die(world, first);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

static void test_a_consumer_that_sent_it_itself_has_a_copy_that_ends_nothing(void **state)
{
    struct world *world = *state;
    struct envelope mine = item("a");
    OWNED char *path = path_of("orion", POST_ARCHIVE, "a");
    mine.created = clock_now();
    mine.status = (char[]){"delivered"};
    assert_true(write_at(world, path, &mine));
    world->window[1] = 0;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "orion");
    restart(world);
    assert_string_equal(holder(world, "a"), "orion");
}

static void test_an_id_is_taken_once_also_when_its_end_lies_behind_it(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope envelope = item("a");
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
    const char *has = holder(world, "a");
    finish(world, has, "a");
    queues_item_ended(world->queues, has, "a", "finished");
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

static void test_a_requeued_one_lives_again_beside_its_dead_letter(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope dead = item("a");
    OWNED char *path = path_of("orion", POST_DEAD_LETTER, "a");
    dead.status = (char[]){"failed"};
    assert_true(write_at(world, path, &dead));
    dead.created = clock_now();
    assert_int_equal(queues_add(world->queues, &dead, true, &why), QUEUE_TAKEN);
    turn(world);
    assert_string_not_equal(holder(world, "a"), "nobody");
    restart(world);
    assert_string_not_equal(holder(world, "a"), "nobody");
}

static void test_a_queue_that_is_none_refuses(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope envelope = item("a");
    envelope.to = (char[]){"queue:nowhere"};
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_REFUSED);
    assert_string_equal(why.text, "there is no queue 'nowhere' in agents.yaml");
}

/* Every place where an item can lie when the supervisor dies, and what the next start makes of it. */
static void test_after_a_restart_each_item_is_in_one_place_wherever_it_was_cut(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    add(world, "out"); /* with orion, in its handoffs */
    assert_string_equal(holder(world, "out"), "orion");
    struct envelope cut = item("between-a-and-b");
    cut.status = (char[]){"delivered"};
    cut.consumer = (char[]){"orion"};
    assert_true(write_at(world, "shared/queues/reviews/between-a-and-b.md", &cut));
    cut.id = (char[]){"between-c-and-d"};
    assert_true(write_at(world, "shared/queues/reviews/between-c-and-d.md", &cut));
    cut.attempts = 1;
    cut.status = (char[]){"reading"};
    assert_true(write_at(world, "shared/queues/reviews/.between-c-and-d.taken", &cut));
    cut.attempts = 0;
    cut.status = (char[]){"delivered"};
    cut.id = (char[]){"archived"};
    assert_true(write_at(world, "shared/queues/reviews/archived.md", &cut));
    cut.status = (char[]){"finished"};
    assert_true(write_at(world, "agents/orion/iac/archive/archived.md", &cut));
    cut.id = (char[]){"buried"};
    cut.status = (char[]){"delivered"};
    assert_true(write_at(world, "shared/queues/reviews/buried.md", &cut));
    cut.status = (char[]){"failed"};
    assert_true(write_at(world, "agents/orion/iac/dead-letter/buried.md", &cut));
    cut.id = (char[]){"undone"};
    cut.consumer = NULL;
    cut.status = (char[]){"pending"};
    assert_true(write_at(world, "shared/queues/reviews/undone.md", &cut));
    cut.consumer = (char[]){"iris"};
    assert_true(write_at(world, "agents/iris/iac/handoffs/undone.md", &cut));
    world->window[1] = 16;
    restart(world);
    assert_string_equal(holder(world, "out"), "orion");
    assert_string_equal(holder(world, "undone"), "iris");
    assert_string_not_equal(holder(world, "between-a-and-b"), "nobody");
    assert_string_not_equal(holder(world, "between-a-and-b"), "both");
    assert_string_not_equal(holder(world, "between-c-and-d"), "nobody");
    assert_string_not_equal(holder(world, "between-c-and-d"), "both");
    OWNED char *text = queue_text(world, "between-c-and-d");
    assert_non_null(strstr(text, "\nattempts: 1\n"));
    assert_string_equal(holder(world, "archived"), "nobody");
    assert_string_equal(holder(world, "buried"), "nobody");
    assert_string_equal(world->bounces.data, "buried failed\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 4);
    assert_int_equal(faccessat(world->data, "shared/queues/reviews/.between-c-and-d.taken", F_OK, 0), -1);
}

static void test_an_item_of_an_agent_that_will_not_run_goes_to_another_one_at_start(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "orion");
    queues_close(world->queues);
    world->window[1] = 4;
    world->worker[0] = QUEUE_WORKER_NONE;
    start(world);
    assert_string_equal(holder(world, "a"), "iris");
}

static void test_what_expires_in_the_queue_is_a_dead_letter_and_bounces(void **state)
{
    struct world *world = *state;
    struct fault why;
    struct envelope brief = item("brief");
    world->window[0] = world->window[1] = 0;
    brief.created = clock_now();
    brief.ttl_seconds = 60;
    assert_int_equal(queues_add(world->queues, &brief, false, &why), QUEUE_TAKEN);
    turn(world);
    assert_int_equal(expiry_next(world->expiry), brief.created + 60);
    assert_true(expiry_ring(world->expiry, brief.created + 60));
    turn(world);
    assert_true(lies_in(world, "orion", POST_DEAD_LETTER, "brief"));
    assert_string_equal(world->bounces.data, "brief expired\n");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_int_equal(expiry_next(world->expiry), -1);
}

static void test_plain_text_that_people_drop_becomes_an_item(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    drop(world, "note.md", "Look at this\n");
    drop(world, "with blanks.txt", "---\npriority: high\nttl_seconds: 600\n---\nAnd at this\n");
    drop(world, "empty.md", "");
    drop(world, "note.md~", "a backup\n");
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "note"), "orion");
    OWNED char *text = queue_text(world, "note");
    assert_non_null(strstr(text, "id: note\nkind: item\nfrom: operator\nto: queue:reviews\n"));
    assert_non_null(strstr(text, "\n---\nLook at this\n"));
    assert_int_equal(count_in(world, "agents/orion/iac/handoffs"), 2);
    OWNED char *command =
        memory_print("grep -l 'priority: high' '%s'/agents/orion/iac/handoffs/with-blanks-*.md "
                     ">/dev/null && grep -q 'ttl_seconds: 600' '%s'/agents/orion/iac/handoffs/with*",
                     world->path, world->path);
    assert_int_equal(system(command), 0);
}

static void test_the_same_name_dropped_again_is_new_work(void **state)
{
    struct world *world = *state;
    world->window[1] = 0;
    drop(world, "note.md", "One\n");
    queues_scan(world->queues);
    turn(world);
    finish(world, "orion", "note");
    queues_item_ended(world->queues, "orion", "note", "finished");
    drop(world, "note.md", "Two\n");
    queues_scan(world->queues);
    turn(world);
    assert_int_equal(count_in(world, "agents/orion/iac/handoffs"), 1);
    assert_string_equal(holder(world, "note"), "nobody");
}

static void test_a_dropped_envelope_is_an_item_of_this_queue_whatever_it_says(void **state)
{
    struct world *world = *state;
    struct envelope envelope = item("other-id");
    envelope.kind = KIND_HANDOFF;
    envelope.to = (char[]){"orion"};
    envelope.status = (char[]){"delivered"};
    envelope.consumer = (char[]){"orion"};
    assert_true(write_at(world, "shared/queues/reviews/mine.md", &envelope));
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "mine"), "nobody");
    assert_string_not_equal(holder(world, "mine"), "both");
}

static void test_what_is_no_item_is_set_aside_and_stops_nothing(void **state)
{
    struct world *world = *state;
    drop(world, "torn.md", "---\nid: torn\nkind: item\n");
    drop(world, "lacks.md", "---\nid: lacks\nkind: item\n---\nbody\n");
    drop(world, "binary.md", "\xff\xfe");
    assert_int_equal(symlinkat("/etc/passwd", world->data, "shared/queues/reviews/link.md"), 0);
    assert_int_equal(mkfifoat(world->data, "shared/queues/reviews/fifo.md", 0600), 0);
    assert_int_equal(mkdirat(world->data, "shared/queues/reviews/folder.md", 0700), 0);
    char *huge = memory_new(ENVELOPE_MAX + 2, 1);
    memset(huge, 'x', ENVELOPE_MAX + 1);
    drop(world, "huge.md", huge);
    free(huge);
    drop(world, "good.md", "good\n");
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "good"), "nobody");
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    OWNED char *command =
        memory_print("test $(ls '%s/shared/queues/reviews' | grep -c unreadable) = 7", world->path);
    assert_int_equal(system(command), 0);
}

static void test_a_file_that_is_being_written_is_left_until_it_is_closed(void **state)
{
    struct world *world = *state;
    OWNED_FD int fd =
        openat(world->data, "shared/queues/reviews/slow.md", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "half", 4), 4);
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "slow"), "nobody");
    assert_int_equal(write(fd, " and half\n", 10), 10);
    close(fd);
    fd = -1;
    queues_scan(world->queues);
    turn(world);
    assert_string_not_equal(holder(world, "slow"), "nobody");
    OWNED char *text = queue_text(world, "slow");
    assert_non_null(strstr(text, "half and half\n"));
}

static void test_a_waiting_item_that_people_delete_is_gone_and_its_sender_told(void **state)
{
    struct world *world = *state;
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    assert_int_equal(unlinkat(world->data, "shared/queues/reviews/a.md", 0), 0);
    queues_scan(world->queues);
    assert_int_equal(world->bounces.length, 0); /* an editor may be saving */
    queues_scan(world->queues);
    assert_string_equal(world->bounces.data, "a removed by hand\n");
    world->window[0] = 4;
    queues_room(world->queues);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
}

static void test_a_waiting_item_that_people_move_to_an_agent_is_its_own_and_nobody_elses(void **state)
{
    struct world *world = *state;
    OWNED char *path = path_of("iris", POST_HANDOFFS, "a");
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    assert_int_equal(renameat(world->data, "shared/queues/reviews/a.md", world->data, path), 0);
    queues_scan(world->queues);
    queues_scan(world->queues);
    world->window[0] = 4;
    turn(world);
    assert_int_equal(world->bounces.length, 0);
    assert_string_equal(holder(world, "a"), "iris");
    finish(world, "iris", "a");
    queues_item_ended(world->queues, "iris", "a", "finished");
    assert_int_equal(world->bounces.length, 0);
}

static void test_an_edited_body_is_what_the_consumer_gets(void **state)
{
    struct world *world = *state;
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    OWNED char *command =
        memory_print("sed -i 's/the work/other work/' '%s/shared/queues/reviews/a.md'", world->path);
    assert_int_equal(system(command), 0);
    world->window[0] = 4;
    queues_scan(world->queues);
    turn(world);
    OWNED char *path = path_of("orion", POST_HANDOFFS, "a"), *text = NULL;
    size_t length;
    assert_int_equal(files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL), 1);
    assert_non_null(strstr(text, "other work\n"));
}

static void wait_a_second(struct world *world)
{
    for (int i = 0; i < 300; i++) {
        usleep(10 * 1000);
        world->due = true;
        turn(world);
    }
}

static void test_while_storage_fails_items_wait_and_then_go_on(void **state)
{
    struct world *world = *state;
    world->put_fails = true;
    add(world, "a");
    assert_string_equal(holder(world, "a"), "nobody");
    world->put_fails = false;
    for (int tries = 0; tries < 100 && strcmp(holder(world, "a"), "nobody") == 0; tries++) {
        usleep(50 * 1000);
        world->due = true;
        turn(world);
    }
    const char *first = holder(world, "a"), *second = other_than(first);
    begin(world, first, "a");
    die(world, first);
    turn(world);
    begin(world, second, "a");
    world->bury_fails = world->bounce_fails = true;
    die(world, second);
    turn(world);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    world->bury_fails = false;
    wait_a_second(world);
    assert_true(lies_in(world, second, POST_DEAD_LETTER, "a"));
    assert_int_equal(count_in(world, "shared/queues/reviews"), 1);
    world->bounce_fails = false;
    wait_a_second(world);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
    assert_string_equal(world->bounces.data, "a max_attempts\n");
}

static void test_the_operators_items_are_checked(void **state)
{
    struct world *world = *state;
    struct fault fault;
    char *id = NULL;
    assert_int_equal(queues_enqueue(world->queues, "nowhere", "x", 0, PRIORITY_NORMAL, &id, &fault),
                     EX_NOINPUT);
    assert_int_equal(queues_enqueue(world->queues, "reviews", " \n", 0, PRIORITY_NORMAL, &id, &fault),
                     EX_DATAERR);
    assert_int_equal(queues_enqueue(world->queues, "reviews", "\xff", 0, PRIORITY_NORMAL, &id, &fault),
                     EX_DATAERR);
    assert_int_equal(queues_enqueue(world->queues, "reviews", "x", -1, PRIORITY_NORMAL, &id, &fault),
                     EX_DATAERR);
    assert_int_equal(queues_enqueue(world->queues, "reviews", "x", 60, PRIORITY_HIGH, &id, &fault), EX_OK);
    turn(world);
    OWNED char *text = queue_text(world, id);
    assert_non_null(strstr(text, "from: operator\n"));
    assert_string_not_equal(holder(world, id), "nobody");
    free(id);
}

static void test_a_reload_without_the_queue_leaves_its_items_where_they_are(void **state)
{
    static const char without[] = "agents:\n  - {name: orion, persona: p}\n";
    struct world *world = *state;
    OWNED_BUFFER struct buffer faults = {0};
    world->window[0] = world->window[1] = 0;
    add(world, "a");
    struct roster *roster = roster_parse(without, strlen(without), "agents.yaml", &faults);
    queues_roster(world->queues, roster);
    world->window[0] = 4;
    queues_scan(world->queues);
    turn(world);
    assert_string_equal(holder(world, "a"), "nobody");
    queues_roster(world->queues, world->roster);
    roster_free(roster);
    turn(world);
    assert_string_equal(holder(world, "a"), "orion");
}

static void test_hundreds_of_items_are_given_out_one_window_after_the_other(void **state)
{
    struct world *world = *state;
    size_t done = 0;
    for (int i = 0; i < 100; i++) {
        OWNED char *id = memory_print("item-%03d", i);
        add(world, id);
    }
    for (int rounds = 0; rounds < 200 && done < 100; rounds++)
        for (int i = 0; i < 100; i++) {
            OWNED char *id = memory_print("item-%03d", i);
            const char *has = holder(world, id);
            assert_string_not_equal(has, "both");
            if (strcmp(has, "nobody") == 0)
                continue;
            finish(world, has, id);
            queues_item_ended(world->queues, has, id, "finished");
            queues_room(world->queues);
            turn(world);
            done++;
        }
    assert_int_equal(done, 100);
    assert_int_equal(count_in(world, "shared/queues/reviews"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_item_goes_to_one_consumer_and_its_file_says_who),
        TEST(test_the_one_with_the_most_room_gets_it_and_equals_take_turns),
        TEST(test_without_room_items_wait_and_the_first_by_priority_and_age_goes_first),
        TEST(test_it_is_given_back_when_its_worker_dies_and_another_one_gets_it),
        TEST(test_one_that_was_not_begun_costs_no_attempt),
        TEST(test_after_max_attempts_it_is_a_dead_letter_and_the_sender_is_told),
        TEST(test_while_the_journal_is_not_done_nothing_is_taken_back),
        TEST(test_an_item_in_doubt_that_had_not_ended_stays_with_the_successor),
        TEST(test_a_copy_taken_at_an_earlier_death_is_not_believed_at_the_next),
        TEST(test_a_copy_beside_what_it_was_taken_from_counts_for_nothing),
        TEST(test_a_folder_planted_in_a_copys_place_is_taken_away_once),
        TEST(test_a_finished_one_whose_end_was_not_told_is_not_done_again),
        TEST(test_a_consumer_that_sent_it_itself_has_a_copy_that_ends_nothing),
        TEST(test_an_id_is_taken_once_also_when_its_end_lies_behind_it),
        TEST(test_a_requeued_one_lives_again_beside_its_dead_letter),
        TEST(test_a_queue_that_is_none_refuses),
        TEST(test_after_a_restart_each_item_is_in_one_place_wherever_it_was_cut),
        TEST(test_an_item_of_an_agent_that_will_not_run_goes_to_another_one_at_start),
        TEST(test_what_expires_in_the_queue_is_a_dead_letter_and_bounces),
        TEST(test_plain_text_that_people_drop_becomes_an_item),
        TEST(test_the_same_name_dropped_again_is_new_work),
        TEST(test_a_dropped_envelope_is_an_item_of_this_queue_whatever_it_says),
        TEST(test_what_is_no_item_is_set_aside_and_stops_nothing),
        TEST(test_a_file_that_is_being_written_is_left_until_it_is_closed),
        TEST(test_a_waiting_item_that_people_delete_is_gone_and_its_sender_told),
        TEST(test_a_waiting_item_that_people_move_to_an_agent_is_its_own_and_nobody_elses),
        TEST(test_an_edited_body_is_what_the_consumer_gets),
        TEST(test_while_storage_fails_items_wait_and_then_go_on),
        TEST(test_the_operators_items_are_checked),
        TEST(test_a_reload_without_the_queue_leaves_its_items_where_they_are),
        TEST(test_hundreds_of_items_are_given_out_one_window_after_the_other),
    };
    return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
