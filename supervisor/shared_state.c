#include "supervisor/shared_state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/journal.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/control/control.h"
#include "supervisor/lock_wiring.h"
#include "supervisor/nodes/far_items.h"
#include "supervisor/nodes/far_segments.h"
#include "supervisor/nodes/homes.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/quarantine.h"
#include "supervisor/shared/segments.h"
#include "supervisor/store/mailbox.h"
#include "supervisor/store/shared_files.h"

enum { SETTLE_MS = 100 /* from a change in a queue's folder to a look at it */ };

struct shared_state {
    struct supervisor *supervisor;
    const struct roster *roster;
    struct homes *homes;
    struct shared_locks *locks;
    struct segments *segments;
    struct far_segments *far_writes;
    struct queues *queues;
    struct quarantine *quarantine;
    struct timer queue_timer, far_timer, look_timer;
    bool started;
};

/* --- queues: their questions to the post office and to the processes --- */

static bool takes_work(const struct agent *agent)
{
    enum life_state state = agent->life.state;
    return !agent->leaving && !agent->life.paused && !agent->agents->ending &&
           (state == STATE_IDLE || state == STATE_WORKING || state == STATE_WAITING ||
            state == STATE_HIBERNATING);
}

/* NULL: the agent lives here, "": nobody knows its node. */
static const char *node_of(const struct shared_state *shared, const char *agent)
{
    const struct supervisor *supervisor = shared->supervisor;
    return supervisor->local.bus ? nodes_of(supervisor->local.nodes, agent) : NULL;
}

static int64_t room(void *context, const char *name)
{
    struct shared_state *shared = context;
    if (node_of(shared, name)) {
        struct nodes *nodes = shared->supervisor->local.nodes;
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

/* Before the first start an agent counts by its order, afterwards by its process and not by its state: the question
 * comes also when the process has just ended, and the state doesn't know yet. */
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
    return far_items_say(&shared->supervisor->local, node, word);
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
    shared_locks_far_turn(shared->locks);
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

static bool ask_lock(void *context, const char *agent, const char *task, const char *lock)
{
    const struct shared_state *shared = context;
    return shared_locks_ask(shared->locks, agent, task, lock);
}

static bool give_up_lock(void *context, const char *agent, const char *task, const char *lock)
{
    const struct shared_state *shared = context;
    shared_locks_give_up(shared->locks, agent, task, lock);
    return true;
}

/* NULL: the segment's agent lives here, or agents.yaml has no agent of that name; "": nobody knows its node. */
static const char *home_of_segment(const struct shared_state *shared, const char *to)
{
    const char *name = strncmp(to, "segment:", 8) == 0 ? to + 8 : to;
    for (size_t i = 0; i < shared->roster->segment_count; i++)
        if (strcmp(shared->roster->segments[i].name, name) == 0)
            return homes_of(shared->homes, HOME_SEGMENT, name, true);
    return NULL;
}

static enum post_verdict take_write_here(void *context, const struct envelope *envelope, struct fault *why)
{
    struct shared_state *shared = context;
    if (home_of_segment(shared, envelope->to))
        return POST_WAITS;
    enum segment_verdict verdict = segments_write(shared->segments, envelope, why);
    return verdict == SEGMENT_WRITTEN ? POST_DONE : verdict == SEGMENT_REFUSED ? POST_REFUSED : POST_LATER;
}

static enum post_verdict take_write(void *context, const struct envelope *envelope, struct fault *why)
{
    struct shared_state *shared = context;
    const char *home = home_of_segment(shared, envelope->to);
    return home ? far_segments_write(shared->far_writes, home, envelope, why)
                : take_write_here(shared, envelope, why);
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

/* When the supervisor ends, items stay with their consumers: the next start finds them there. */
static void worker_down(void *context, const char *agent)
{
    struct shared_state *shared = context;
    shared_locks_agent_gone(shared->locks, agent);
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

/* --- homes --- */

static void set_home(struct shared_state *shared, const char *name, const char *node)
{
    bool known = !node || *node;
    segments_home(shared->segments, name, !known ? NULL : node ? node : node_name(), node && *node);
}

static void moved(void *context, enum home_kind kind, const char *file, const char *node)
{
    struct shared_state *shared = context;
    if (kind == HOME_LOCK)
        shared_locks_moved(shared->locks, file, node);
    else
        set_home(shared, file, node);
}

static void copy(void *context, enum home_kind kind, const char *file, const char *text, size_t length)
{
    struct shared_state *shared = context;
    if (kind == HOME_LOCK)
        shared_locks_copy(shared->locks, file, text, length);
    else
        segments_copy(shared->segments, file, text, length);
}

/* A segment that is older than the bus: the first node with such a segment is its home. */
static void know_segments(struct shared_state *shared, bool claim)
{
    const struct roster *roster = shared->roster;
    for (size_t i = 0; shared->supervisor->local.bus && i < roster->segment_count; i++) {
        const char *name = roster->segments[i].name;
        bool use = claim && shared_stamp(shared->supervisor->data, SHARED_SEGMENTS, name).inode;
        set_home(shared, name, homes_of(shared->homes, HOME_SEGMENT, name, use));
    }
}

static void homes_back(void *context)
{
    struct shared_state *shared = context;
    know_segments(shared, true);
    shared_locks_asks(shared->locks);
}

static void segment_written(void *context, const char *name)
{
    const struct shared_state *shared = context;
    homes_changed(shared->homes, HOME_SEGMENT, name);
}

bool shared_state_hear(struct shared_state *shared, const char *node, const json_t *object)
{
    return far_items_hear(shared->queues, node, object) || shared_locks_hear(shared->locks, node, object) ||
           far_segments_hear(shared->far_writes, node, object, take_write_here, shared);
}

void shared_state_published(struct shared_state *shared, uint64_t ticket, const char *why)
{
    far_segments_published(shared->far_writes, ticket, why);
}

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
    shared->queue_timer = (struct timer){.ring = queue_timer_rings, .context = shared};
    shared->far_timer = (struct timer){.ring = far_timer_rings, .context = shared};
    shared->look_timer = (struct timer){.ring = look_timer_rings, .context = shared};
    journal_learn_boot(); /* for journal_unfinished */
    shared->homes = homes_open(
        &supervisor->local,
        &(struct homes_owner){.moved = moved, .copy = copy, .back = homes_back, .context = shared});
    shared->locks = shared_locks_open(supervisor, shared->homes);
    shared->far_writes = far_segments_new(&supervisor->local);
    shared_tidy(supervisor->data, SHARED_SEGMENTS);
    shared->quarantine = quarantine_new();
    shared->segments = segments_open(supervisor->data, segment_written, shared);
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
    timer_clear(shared->supervisor->loop, &shared->queue_timer);
    timer_clear(shared->supervisor->loop, &shared->far_timer);
    timer_clear(shared->supervisor->loop, &shared->look_timer);
    queues_close(shared->queues);
    segments_close(shared->segments);
    quarantine_free(shared->quarantine);
    shared_locks_close(shared->locks);
    far_segments_free(shared->far_writes);
    homes_close(shared->homes);
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
    if (!shared->started)
        return;
    queues_each_folder(shared->queues, watch_one, shared);
    know_segments(shared, false);
}

void shared_state_start(struct shared_state *shared)
{
    queues_start(shared->queues);
    queues_each_folder(shared->queues, watch_one, shared);
    shared->started = true;
    know_segments(shared, false);
    shared_locks_start(shared->locks);
    if (shared->supervisor->local.bus)
        timer_set(shared->supervisor->loop, &shared->far_timer, QUEUES_FAR_MS);
}

void shared_state_begin(struct shared_state *shared)
{
    homes_begin(shared->homes);
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
    shared_locks_scan(shared->locks);
    segments_scan(shared->segments);
    queues_scan(shared->queues);
    quarantine_look(shared->quarantine, shared->supervisor->data, shared->roster);
    queues_each_folder(shared->queues, watch_one, shared); /* new folders, and folders that were made anew */
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

void shared_state_own_problems(const struct shared_state *shared, struct buffer *out)
{
    quarantine_print_own(shared->quarantine, out);
}

struct queues *shared_state_queues(struct shared_state *shared)
{
    return shared->queues;
}

struct segments *shared_state_segments(struct shared_state *shared)
{
    return shared->segments;
}
