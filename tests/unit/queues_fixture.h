/* Work queues in a scratch DATA_DIR: two consumers whose workers the test plays, and a post office that notes its
 * messages. */
#ifndef AGENTOS_TESTS_QUEUES_FIXTURE_H
#define AGENTOS_TESTS_QUEUES_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/work_queues.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

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
    useconds_t agents_folders_take_us;
    struct buffer bounces; /* "ID reason\n" */
    bool due;
    bool (*say)(struct world *world, const char *node,
                const struct queue_word *word); /* NULL: no other nodes */
};

static inline size_t agent_of(const char *name)
{
    return strcmp(name, names[0]) == 0 ? 0 : 1;
}

static inline char *path_of(const char *agent, unsigned place, const char *id)
{
    const char *folder = place == POST_HANDOFFS  ? "handoffs"
                         : place == POST_ARCHIVE ? "archive"
                                                 : "dead-letter";
    return memory_print("agents/%s/iac/%s/%s.md", agent, folder, id);
}

static inline bool lies_in(const struct world *world, const char *agent, unsigned place, const char *id)
{
    OWNED char *path = path_of(agent, place, id);
    return faccessat(world->data, path, F_OK, 0) == 0;
}

static inline unsigned lies(void *context, const char *agent, const char *id)
{
    unsigned found = 0;
    usleep(((const struct world *)context)->agents_folders_take_us);
    for (unsigned place = POST_HANDOFFS; place <= POST_DEAD_LETTER; place <<= 1)
        if (place != POST_OUTBOX && lies_in(context, agent, place, id))
            found |= place;
    return found;
}

static inline bool each_id(void *context, const char *agent, void (*see)(void *seer, const char *id),
                           void *seer)
{
    const struct world *world = context;
    return mailbox_each(world->data, agent, POST_HANDOFFS | POST_ARCHIVE | POST_DEAD_LETTER, see, seer);
}

static inline size_t count_in(const struct world *world, const char *folder)
{
    OWNED char *path = memory_print("%s/%s", world->path, folder);
    return count_below(path, "?*.md", 0);
}

static int64_t room(void *context, const char *agent)
{
    const struct world *world = context;
    size_t i = agent_of(agent);
    OWNED char *folder = memory_print("agents/%s/iac/handoffs", agent);
    if (world->worker[i] == QUEUE_WORKER_AWAY)
        return world->window[i];
    int64_t left = world->window[i] - (int64_t)count_in(world, folder);
    return world->worker[i] == QUEUE_WORKER_READY && left > 0 ? left : 0;
}

static inline bool write_at(struct world *world, const char *path, const struct envelope *envelope)
{
    OWNED_BUFFER struct buffer text = {0};
    envelope_print(envelope, &text);
    return files_write(world->data, path, text.data, text.length, false, NULL);
}

static inline bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
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

static inline int read_copy(void *context, const char *agent, unsigned place, const char *id,
                            struct envelope *copy)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, place, id), *text = NULL;
    size_t length;
    int found = files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL);
    if (found < 0)
        return files_lasting(errno) ? QUEUE_READ_NONE : QUEUE_READ_LATER;
    return found == 1 && !envelope_parse(copy, text, length, id, NULL) ? QUEUE_READ_NONE : found;
}

static inline int take(void *context, const char *agent, const char *id, int folder, const char *name,
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

static inline bool bounce(void *context, const struct envelope *about, const char *from, const char *reason,
                          struct fault *fault)
{
    struct world *world = context;
    if (world->bounce_fails)
        return fault_set(fault, "No space left on device");
    assert_string_equal(from, "queue:reviews");
    buffer_print(&world->bounces, "%s %s\n", about->id, reason);
    return true;
}

static inline bool bury(void *context, const char *agent, const struct envelope *envelope,
                        struct fault *fault)
{
    struct world *world = context;
    OWNED char *path = path_of(agent, POST_DEAD_LETTER, envelope->id);
    if (world->bury_fails)
        return fault_set(fault, "No space left on device");
    assert_true(envelope->finished > 0);
    usleep(world->agents_folders_take_us);
    return write_at(world, path, envelope);
}

static inline void tell(void *context, const char *agent, const char *event, const struct envelope *envelope,
                        const char *reason)
{
    assert_non_null(agent);
    assert_non_null(envelope->id);
}

static inline enum queue_worker worker(void *context, const char *agent)
{
    return ((struct world *)context)->worker[agent_of(agent)];
}

static inline bool unfinished(void *context, const char *agent)
{
    return ((struct world *)context)->unfinished[agent_of(agent)];
}

static inline void timer(void *context, int64_t in_ms)
{
    ((struct world *)context)->due |= in_ms == 0;
}

static inline bool say(void *context, const char *node, const struct queue_word *word)
{
    struct world *world = context;
    return world->say && world->say(world, node, word);
}

/* The agent "bound" may send to iris alone. */
static inline const struct text_list *may_send_to(void *context, const char *sender)
{
    static char iris[] = "iris";
    static char *only[] = {iris};
    static const struct text_list list = {.items = only, .count = 1};
    return strcmp(sender, "bound") == 0 ? &list : NULL;
}

static const struct queues_operations operations = {
    .may_send_to = may_send_to,
    .room = room,
    .lies = lies,
    .each_id = each_id,
    .put = put,
    .take = take,
    .bounce = bounce,
    .bury = bury,
    .tell = tell,
    .read = read_copy,
    .worker = worker,
    .unfinished = unfinished,
    .timer = timer,
    .say = say,
};

static inline void nothing(void *context)
{
}

static inline void turn(struct world *world)
{
    for (int turns = 0; world->due && turns < 200; turns++) {
        world->due = false;
        queues_turn(world->queues);
    }
    assert_false(world->due);
}

/* A supervisor's start on the files on the disk. */
static inline void start(struct world *world)
{
    world->queues = queues_open(world->data, world->expiry, &operations, world);
    queues_roster(world->queues, world->roster);
    queues_start(world->queues);
    turn(world);
}

static inline void ready(struct world *world, const char *agent)
{
    world->unfinished[agent_of(agent)] = false;
    world->worker[agent_of(agent)] = QUEUE_WORKER_READY;
    queues_worker_ready(world->queues, agent);
    turn(world);
}

static inline void die(struct world *world, const char *agent)
{
    world->worker[agent_of(agent)] = QUEUE_WORKER_NONE;
    queues_worker_down(world->queues, agent);
}

static inline void restart(struct world *world)
{
    queues_close(world->queues);
    for (size_t i = 0; i < AGENTS; i++)
        if (world->worker[i] != QUEUE_WORKER_AWAY)
            world->worker[i] = QUEUE_WORKER_COMING;
    start(world);
    for (size_t i = 0; i < AGENTS; i++)
        if (world->worker[i] == QUEUE_WORKER_COMING)
            ready(world, names[i]);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
    struct world *world = *state;
    queues_close(world->queues);
    expiry_free(world->expiry);
    roster_free(world->roster);
    buffer_free(&world->bounces);
    close(world->data);
    assert_int_equal(remove_folder(world->path), 0);
    free(world);
    return 0;
}

static inline struct envelope item(const char *id)
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

static inline void add_from(struct world *world, const char *id, const char *sender)
{
    struct fault why;
    struct envelope envelope = item(id);
    envelope.from = (char *)(uintptr_t)sender;
    envelope.created = clock_now();
    assert_int_equal(queues_add(world->queues, &envelope, false, &why), QUEUE_TAKEN);
    turn(world);
}

static inline void add(struct world *world, const char *id)
{
    add_from(world, id, "nova");
}

/* The agents that have the item: a name, "both", or "nobody". */
static inline const char *holder(struct world *world, const char *id)
{
    bool has[AGENTS];
    for (size_t i = 0; i < AGENTS; i++)
        has[i] = lies_in(world, names[i], POST_HANDOFFS, id);
    return has[0] && has[1] ? "both" : has[0] ? names[0] : has[1] ? names[1] : "nobody";
}

static inline const char *other_than(const char *agent)
{
    return names[1 - agent_of(agent)];
}

static inline char *queue_text(struct world *world, const char *id)
{
    OWNED char *path = memory_print("shared/queues/reviews/%s.md", id);
    char *text;
    size_t length;
    return files_read(world->data, path, ENVELOPE_MAX, &text, &length, NULL, NULL) == 1 ? text
                                                                                        : memory_text("");
}

/* A worker's end of its copy. */
static inline void rewrite(struct world *world, const char *agent, unsigned to, const char *id,
                           const char *status, int64_t attempts)
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

static inline void begin(struct world *world, const char *agent, const char *id)
{
    rewrite(world, agent, POST_HANDOFFS, id, "reading", 1);
}

static inline void finish(struct world *world, const char *agent, const char *id)
{
    rewrite(world, agent, POST_ARCHIVE, id, "finished", 1);
}

static inline void drop(struct world *world, const char *file, const char *text)
{
    OWNED char *path = memory_print("shared/queues/reviews/%s", file);
    assert_true(files_write(world->data, path, text, strlen(text), false, NULL));
}

#endif
