#include "supervisor/shared_state.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/journal.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "supervisor/control/control.h"
#include "supervisor/far_items.h"
#include "supervisor/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/locks.h"
#include "supervisor/shared/quarantine.h"
#include "supervisor/shared/segments.h"
#include "supervisor/store/mailbox.h"
#include "supervisor/store/shared_files.h"

#define TOKEN_FOLDER ".run"
#define TOKEN_FILE   "lock-token"

enum {
    TOKEN_MAX = 64,
    SETTLE_MS = 100, /* from a change in a queue's folder to a look at it */
    LOCKS_AGAIN_MS = 1000
};

struct shared_state {
    struct supervisor *supervisor;
    const struct roster *roster;
    struct locks *locks;
    struct segments *segments;
    struct queues *queues;
    struct quarantine *quarantine;
    struct timer lock_timer, load_timer, queue_timer, far_timer, look_timer;
    size_t locks_unread; /* files, the counter's too, that could not be read the last time */
    bool locks_unread_said;
    bool started;
};

/* --- locks --- */

static bool save_lock(void *context, const char *file, const struct buffer *text, bool durable,
                      struct fault *fault)
{
    struct shared_state *shared = context;
    return shared_write(shared->supervisor->data, SHARED_LOCKS, file, text, durable, fault);
}

/* Beside the locks' folder, where nobody tidies up: what the tokens have come to, also when a lock's file is deleted
 * while no supervisor runs. */
static bool save_token(void *context, uint64_t token, struct fault *fault)
{
    struct shared_state *shared = context;
    OWNED char *text = memory_print("%" PRIu64 "\n", token);
    OWNED_FD int folder = files_open_folder(shared->supervisor->data, TOKEN_FOLDER, true, fault);
    return folder >= 0 && files_write(folder, TOKEN_FILE, text, strlen(text), true, fault);
}

static void cannot_load(struct shared_state *shared, const struct fault *fault)
{
    if (shared->locks_unread++ == 0 && !shared->locks_unread_said)
        log_warn("agentos", NULL, "What is known of the locks can't be read whole, which is tried again: %s",
                 fault->text);
}

/* 1 read, 0 there is none, -1 not now. */
static int load_token(struct shared_state *shared)
{
    OWNED char *text = NULL;
    size_t length;
    struct fault fault;
    int found = files_read(shared->supervisor->data, TOKEN_FOLDER "/" TOKEN_FILE, TOKEN_MAX, &text, &length,
                           NULL, &fault);
    if (found < 0 && !files_lasting(errno)) {
        cannot_load(shared, &fault);
        return -1;
    }
    if (found < 0)
        log_warn("agentos", NULL, "The locks' counter can't be read, the locks' files have to do: %s",
                 fault.text);
    if (found > 0)
        locks_load_token(shared->locks, strtoull(text, NULL, 10));
    return found > 0;
}

static void remove_lock(void *context, const char *file)
{
    struct shared_state *shared = context;
    struct fault fault;
    if (!shared_remove(shared->supervisor->data, SHARED_LOCKS, file, &fault))
        log_warn("agentos", NULL, "The file of a lock that is free and forgotten stays: %s", fault.text);
}

static uint64_t look_at_lock(void *context, const char *file)
{
    struct shared_state *shared = context;
    struct file_stamp stamp = shared_stamp(shared->supervisor->data, SHARED_LOCKS, file);
    return stamp.inode ? names_hash(&stamp, sizeof stamp) | 1 : 0;
}

static void tell_locked(void *context, const char *name, const char *task, const char *lock, uint64_t token,
                        int64_t lease_until, const char *holder)
{
    struct shared_state *shared = context;
    struct agent *agent = agents_find(&shared->supervisor->agents, name);
    if (agent && agent->worker.said_hello)
        agent_send(agent, MESSAGE_LOCKED, task, lock, token, (uint64_t)lease_until, holder);
}

static void lock_happened(void *context, const char *name, const char *event, const char *lock,
                          const char *task, uint64_t token)
{
    struct shared_state *shared = context;
    control_event(shared->supervisor->control, agents_find(&shared->supervisor->agents, name), event,
                  DETAIL_TEXT("lock", lock), DETAIL_TEXT("task", task), DETAIL_NUMBER("token", token));
}

static void set_lock_timer(void *context, int64_t in_ms)
{
    struct shared_state *shared = context;
    if (in_ms < 0)
        timer_clear(shared->supervisor->loop, &shared->lock_timer);
    else
        timer_set(shared->supervisor->loop, &shared->lock_timer, in_ms);
}

static int64_t now_ms(void *context)
{
    (void)context;
    return clock_monotonic_ms();
}

static const struct locks_operations lock_operations = {
    .save = save_lock,
    .save_token = save_token,
    .remove = remove_lock,
    .look = look_at_lock,
    .tell = tell_locked,
    .happened = lock_happened,
    .timer = set_lock_timer,
    .now_ms = now_ms,
};

static void lock_timer_rings(void *context)
{
    struct shared_state *shared = context;
    locks_turn(shared->locks);
}

static void load_lock(void *context, const char *file)
{
    struct shared_state *shared = context;
    int data = shared->supervisor->data;
    OWNED char *text = NULL, *aside = NULL;
    size_t length = strlen(file);
    struct fault fault, other;
    if (length < 4 || strcmp(file + length - 3, ".md") != 0)
        return;
    OWNED char *name = memory_slice(file, length - 3);
    int found = shared_read(data, SHARED_LOCKS, name, LOCK_FILE_MAX, &text, &length, NULL, &fault);
    if (found < 0 && !files_lasting(errno)) {
        cannot_load(shared, &fault);
        return;
    }
    if (found == 0 || (found > 0 && locks_load(shared->locks, name, text, length, &fault)))
        return;
    if (shared_set_aside(data, SHARED_LOCKS, file, &aside, &other))
        log_warn("agentos", NULL, "%s/%s is no lock: %s. It was set aside as %s.", SHARED_LOCKS, file,
                 fault.text, aside);
    else
        log_warn("agentos", NULL, "%s/%s is no lock: %s; and %s", SHARED_LOCKS, file, fault.text, other.text);
}

/* The counter is above every token of a file; where there is none, the files say what the tokens have come to, all of
 * them. What can't be read now is read again until it can. */
static void load_locks(void *context)
{
    struct shared_state *shared = context;
    struct fault fault;
    shared->locks_unread = 0;
    int token = load_token(shared);
    if (!shared_each(shared->supervisor->data, SHARED_LOCKS, load_lock, shared, &fault))
        cannot_load(shared, &fault);
    locks_hold(shared->locks, token < 0 || (token == 0 && shared->locks_unread > 0));
    if (shared->locks_unread > 0)
        timer_set(shared->supervisor->loop, &shared->load_timer, LOCKS_AGAIN_MS);
    shared->locks_unread_said = shared->locks_unread > 0;
}

static void open_locks(struct shared_state *shared)
{
    shared->locks = locks_new(&lock_operations, shared);
    shared_tidy(shared->supervisor->data, SHARED_LOCKS);
    load_locks(shared);
}

/* A lease is as long as the task may take. A worker asks for no lock whose name is none (leases_name). */
static bool ask_lock(void *context, const char *name, const char *task, const char *lock)
{
    struct shared_state *shared = context;
    struct agent *agent = agents_find(&shared->supervisor->agents, name);
    return agent && strlen(task) <= ID_MAX &&
           locks_ask(shared->locks, name, task, lock, agent->definition->limits.task_seconds);
}

static bool give_up_lock(void *context, const char *name, const char *task, const char *lock)
{
    struct shared_state *shared = context;
    locks_give_up(shared->locks, name, task, lock);
    return true;
}

/* --- queues: what they ask of the post office and of the processes --- */

static bool takes_work(const struct agent *agent)
{
    enum life_state state = agent->life.state;
    return !agent->leaving && !agent->life.paused && !agent->agents->ending &&
           (state == STATE_IDLE || state == STATE_WORKING || state == STATE_WAITING ||
            state == STATE_HIBERNATING);
}

/* NULL: here, "": nobody knows. */
static const char *node_of(const struct shared_state *shared, const char *agent)
{
    const struct supervisor *supervisor = shared->supervisor;
    return supervisor->programs.bus ? nodes_of(supervisor->programs.nodes, agent) : NULL;
}

static int64_t room(void *context, const char *name)
{
    struct shared_state *shared = context;
    if (node_of(shared, name)) {
        struct nodes *nodes = shared->supervisor->programs.nodes;
        const json_t *told = nodes_answers(nodes, name) ? nodes_far_agent(nodes, name) : NULL;
        const char *absence = json_string_value(json_object_get(told, "absence"));
        return absence && !*absence ? json_integer_value(json_object_get(told, "window")) : 0;
    }
    const struct agent *agent = agents_find(&shared->supervisor->agents, name);
    return agent && takes_work(agent) ? post_room(shared->supervisor->post, name) : 0;
}

static unsigned lies(void *context, const char *agent, const char *id)
{
    struct shared_state *shared = context;
    const char *node = node_of(shared, agent);
    return node && *node ? 0 : post_lies(shared->supervisor->post, agent, id);
}

static bool each_id(void *context, const char *agent, void (*see)(void *seer, const char *id), void *seer)
{
    struct shared_state *shared = context;
    const char *node = node_of(shared, agent);
    if (node && *node)
        return true;
    return mailbox_each(shared->supervisor->data, agent, POST_HANDOFFS | POST_ARCHIVE | POST_DEAD_LETTER, see,
                        seer);
}

static bool put(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct shared_state *shared = context;
    return post_put(shared->supervisor->post, agent, envelope, fault);
}

static int take(void *context, const char *agent, const char *id, int folder, const char *name,
                struct envelope *copy, struct fault *fault)
{
    struct shared_state *shared = context;
    return post_take(shared->supervisor->post, agent, id, folder, name, copy, fault);
}

static bool bounce(void *context, const struct envelope *about, const char *from, const char *reason,
                   struct fault *fault)
{
    struct shared_state *shared = context;
    return post_bounce(shared->supervisor->post, about, from, reason, fault);
}

static bool bury(void *context, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct shared_state *shared = context;
    return post_bury(shared->supervisor->post, agent, envelope, fault);
}

static void tell(void *context, const char *agent, const char *event, const struct envelope *envelope,
                 const char *reason)
{
    struct shared_state *shared = context;
    post_tell(shared->supervisor->post, agent, event, envelope, reason);
}

static int read_copy(void *context, const char *agent, unsigned place, const char *id, struct envelope *copy)
{
    struct shared_state *shared = context;
    enum folder folder = place == POST_ARCHIVE       ? FOLDER_ARCHIVE
                         : place == POST_DEAD_LETTER ? FOLDER_DEAD_LETTERS
                                                     : FOLDER_HANDOFFS;
    switch (mailbox_read(shared->supervisor->data, agent, folder, id, copy, NULL, NULL)) {
    case MAILBOX_READ:
        return 1;
    case MAILBOX_GONE:
        return 0;
    case MAILBOX_NONE:
        return QUEUE_READ_NONE;
    default:
        return QUEUE_READ_LATER;
    }
}

/* Before the first start an agent counts by its order. Afterwards by its process, not by its state: this is asked at its
 * end too, when the state doesn't know yet. */
static enum queue_worker worker(void *context, const char *name)
{
    struct shared_state *shared = context;
    const struct agent *agent = agents_find(&shared->supervisor->agents, name);
    struct desired_state desired;
    if (!agent)
        return QUEUE_WORKER_NONE;
    if (node_of(shared, name))
        return QUEUE_WORKER_AWAY;
    if (!shared->started)
        return desired_state_load(shared->supervisor->data, name, &desired, NULL) && desired.stopped
                   ? QUEUE_WORKER_NONE
                   : QUEUE_WORKER_COMING;
    if (agent->worker.pid <= 0)
        return agent->worker.spawning ? QUEUE_WORKER_COMING : QUEUE_WORKER_NONE;
    return agent->life.ready_at ? QUEUE_WORKER_READY : QUEUE_WORKER_COMING;
}

static bool unfinished(void *context, const char *agent)
{
    struct shared_state *shared = context;
    OWNED char *path = memory_print("agents/%s", agent);
    OWNED_FD int tree = files_open_folder(shared->supervisor->data, path, false, NULL);
    return tree >= 0 && journal_unfinished(tree, NULL) != 0;
}

static void set_queue_timer(void *context, int64_t in_ms)
{
    struct shared_state *shared = context;
    struct timer *timer = &shared->queue_timer;
    if (!timer->place || timer->at > clock_monotonic_ms() + in_ms)
        timer_set(shared->supervisor->loop, timer, in_ms);
}

static bool say(void *context, const char *node, const struct queue_word *word)
{
    const struct shared_state *shared = context;
    return far_items_say(shared->supervisor, node, word);
}

static const struct text_list *may_send_to(void *context, const char *sender)
{
    const struct shared_state *shared = context;
    const struct roster_agent *definition = roster_find(shared->roster, sender);
    return !definition || definition->may_send_to_all ? NULL : &definition->may_send_to;
}

static const struct queues_operations queue_operations = {
    .room = room,
    .may_send_to = may_send_to,
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
    .timer = set_queue_timer,
    .say = say,
};

static void queue_timer_rings(void *context)
{
    struct shared_state *shared = context;
    if (shared->started)
        queues_turn(shared->queues);
}

static void far_timer_rings(void *context)
{
    struct shared_state *shared = context;
    queues_far_turn(shared->queues, false);
    timer_set(shared->supervisor->loop, &shared->far_timer, QUEUES_FAR_MS);
}

/* --- the post office's hooks --- */

static enum post_verdict verdict_of(enum queue_verdict verdict)
{
    static const enum post_verdict verdicts[] = {
        [QUEUE_TAKEN] = POST_DONE,
        [QUEUE_REFUSED] = POST_REFUSED,
        [QUEUE_LATER] = POST_LATER,
        [QUEUE_GOES] = POST_GOES,
    };
    return verdicts[verdict];
}

static enum post_verdict take_item(void *context, const struct envelope *envelope,
                                   struct post_place_of_item *place, struct fault *why)
{
    struct shared_state *shared = context;
    return verdict_of(
        queues_offer(shared->queues, envelope, place->is_new, place->text, &place->folder, why));
}

static enum post_verdict item_written(void *context, const struct envelope *envelope,
                                      enum write_result result, struct fault *why)
{
    struct shared_state *shared = context;
    return verdict_of(queues_offered(shared->queues, envelope, result, why));
}

static enum post_verdict take_item_again(void *context, const struct envelope *envelope, struct fault *why)
{
    struct shared_state *shared = context;
    return verdict_of(queues_add(shared->queues, envelope, true, why));
}

static enum post_verdict take_write(void *context, const struct envelope *envelope, struct fault *why)
{
    struct shared_state *shared = context;
    enum segment_verdict verdict = segments_write(shared->segments, envelope, why);
    return verdict == SEGMENT_WRITTEN ? POST_DONE : verdict == SEGMENT_REFUSED ? POST_REFUSED : POST_LATER;
}

static void item_ended(void *context, const char *agent, const char *id, const char *status)
{
    struct shared_state *shared = context;
    queues_item_ended(shared->queues, agent, id, status);
}

static void worker_ready(void *context, const char *agent)
{
    struct shared_state *shared = context;
    queues_worker_ready(shared->queues, agent);
}

/* At the end of all, items stay with whom they are: the next start finds them there. */
static void worker_down(void *context, const char *agent)
{
    struct shared_state *shared = context;
    locks_agent_gone(shared->locks, agent);
    if (!shared->supervisor->agents.ending)
        queues_worker_down(shared->queues, agent);
}

static void has_room(void *context, const char *agent)
{
    struct shared_state *shared = context;
    queues_room(shared->queues, agent);
}

static const struct post_hooks hooks = {
    .item = take_item,
    .item_written = item_written,
    .item_again = take_item_again,
    .segment = take_write,
    .item_ended = item_ended,
    .worker_ready = worker_ready,
    .worker_down = worker_down,
    .room = has_room,
    .lock = ask_lock,
    .unlock = give_up_lock,
};

/* --- opening --- */

static void look_timer_rings(void *context)
{
    struct shared_state *shared = context;
    queues_scan(shared->queues);
    quarantine_look(shared->quarantine, shared->supervisor->data, shared->roster);
}

struct shared_state *shared_state_open(struct supervisor *supervisor)
{
    struct shared_state *shared = memory_new(1, sizeof *shared);
    struct post_hooks ours = hooks;
    shared->supervisor = supervisor;
    shared->lock_timer = (struct timer){.ring = lock_timer_rings, .context = shared};
    shared->load_timer = (struct timer){.ring = load_locks, .context = shared};
    shared->queue_timer = (struct timer){.ring = queue_timer_rings, .context = shared};
    shared->far_timer = (struct timer){.ring = far_timer_rings, .context = shared};
    shared->look_timer = (struct timer){.ring = look_timer_rings, .context = shared};
    journal_learn_boot(); /* for journal_unfinished */
    open_locks(shared);
    shared_tidy(supervisor->data, SHARED_SEGMENTS);
    shared->quarantine = quarantine_new();
    shared->segments = segments_open(supervisor->data);
    shared->queues = queues_open(supervisor->data, post_expiry(supervisor->post), &queue_operations, shared);
    shared_state_roster(shared, supervisor->roster);
    ours.context = shared;
    post_hooks(supervisor->post, &ours);
    return shared;
}

void shared_state_close(struct shared_state *shared)
{
    if (!shared)
        return;
    post_hooks(shared->supervisor->post, &(struct post_hooks){.item = NULL});
    timer_clear(shared->supervisor->loop, &shared->lock_timer);
    timer_clear(shared->supervisor->loop, &shared->load_timer);
    timer_clear(shared->supervisor->loop, &shared->queue_timer);
    timer_clear(shared->supervisor->loop, &shared->far_timer);
    timer_clear(shared->supervisor->loop, &shared->look_timer);
    queues_close(shared->queues);
    segments_close(shared->segments);
    quarantine_free(shared->quarantine);
    locks_free(shared->locks);
    free(shared);
}

static void watch_one(void *context, int folder)
{
    struct shared_state *shared = context;
    watch_shared(shared->supervisor->agents.watch, folder);
}

void shared_state_roster(struct shared_state *shared, const struct roster *roster)
{
    shared->roster = roster;
    segments_roster(shared->segments, roster);
    queues_roster(shared->queues, roster);
    if (shared->started)
        queues_each_folder(shared->queues, watch_one, shared);
}

void shared_state_start(struct shared_state *shared)
{
    queues_start(shared->queues);
    queues_each_folder(shared->queues, watch_one, shared);
    shared->started = true;
    if (shared->supervisor->programs.bus)
        timer_set(shared->supervisor->loop, &shared->far_timer, QUEUES_FAR_MS);
}

void shared_state_asks_nodes(struct shared_state *shared)
{
    if (shared->started)
        queues_far_turn(shared->queues, true);
}

void shared_state_agent_moved(struct shared_state *shared, const char *agent)
{
    if (shared->started)
        queues_agent_moved(shared->queues, agent);
}

void shared_state_agent_changed(struct shared_state *shared, const char *agent)
{
    if (shared && shared->started)
        queues_room(shared->queues, agent);
}

void shared_state_scan(struct shared_state *shared)
{
    locks_scan(shared->locks);
    segments_scan(shared->segments);
    queues_scan(shared->queues);
    quarantine_look(shared->quarantine, shared->supervisor->data, shared->roster);
    queues_each_folder(shared->queues, watch_one, shared); /* new ones, and those made anew */
}

void shared_state_changed(struct shared_state *shared)
{
    if (!shared->look_timer.place)
        timer_set(shared->supervisor->loop, &shared->look_timer, SETTLE_MS);
}

void shared_state_problems(struct shared_state *shared, const char *agent, struct buffer *out)
{
    quarantine_print(shared->quarantine, shared->roster, agent, out);
}

struct queues *shared_state_queues(struct shared_state *shared)
{
    return shared->queues;
}

struct segments *shared_state_segments(struct shared_state *shared)
{
    return shared->segments;
}
