/* How a worker learns of changes in its tree, and how it sleeps while there are none. */
#include <fcntl.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/rested.h"

enum {
    LOOK_PAUSE_MS = 200, /* between two LOOKs to a worker that has something else to do */
    WAKING = LOOK_QUEUE | LOOK_IAC
};

/* A notice of queue.md is work only if the file differs from its stamp of the last LOOK or REST: the kernel tells a
 * little late of the worker's own writes. */
static bool is_work(const struct agent *agent, uint64_t look)
{
    return look & LOOK_IAC || (look & LOOK_QUEUE && look_queue_has_changed(agent));
}

/* A busy worker is told too, as a new envelope may expire before the worker is idle again; but seldom, and not of
 * people's edits, which concern only its next cycle. */
static void send_dirty(struct agent *agent)
{
    bool idle = agent->life.state == STATE_IDLE;
    uint64_t look = idle ? agent->notice.dirty : agent->notice.dirty & ~(uint64_t)LOOK_TREE;
    int64_t wait = idle ? 0 : agent->notice.looked_at + LOOK_PAUSE_MS - clock_monotonic_ms();
    if (!look || !agent->worker.said_hello || !life_is_up(&agent->life))
        return;
    if (wait > 0 || !line_idle(agent->line)) {
        timer_set(agent->agents->loop, &agent->notice.look_timer, wait > 0 ? wait : LOOK_PAUSE_MS);
        return;
    }
    agent->notice.called = agent->notice.resting && (agent->notice.called || is_work(agent, look));
    agent->notice.queue_stamp = files_stamp_at(agent->tree, TREE_QUEUE);
    agent->notice.looked_at = clock_monotonic_ms();
    if (agent_send(agent, MESSAGE_LOOK, look))
        agent->notice.dirty &= ~look;
}

static void look_timer_rings(void *agent)
{
    send_dirty(agent);
}

/* --- hibernation ---
 *
 * An agent that was idle for idle_exit_seconds is sent REST, and its worker leaves if it finds nothing to do. Work
 * that comes while the worker leaves is not overlooked: the worker has read every LOOK before REST; work that a LOOK
 * tells of after REST is remembered (called), and a later change shows when queue.md is compared with its stamp from
 * before REST. */

/* A hibernating agent's tree is opened when somebody needs it again. */
static void close_tree(struct agent *agent)
{
    memory_close_at(&agent->tree);
    agent->tree = -1;
}

int agent_tree(struct agent *agent)
{
    OWNED char *below = memory_print("agents/%s", agent->name);
    if (agent->tree < 0)
        agent->tree = files_open(agent->agents->data, below, O_RDONLY | O_DIRECTORY, 0);
    return agent->tree;
}

static void set_rest_timer(struct agent *agent)
{
    int64_t seconds = agent->definition->idle_exit_seconds;
    if (agent->life.state == STATE_IDLE && seconds > 0)
        timer_set(agent->agents->loop, &agent->notice.rest_timer, seconds * 1000);
    else
        timer_clear(agent->agents->loop, &agent->notice.rest_timer);
}

bool look_send_away(struct agent *agent)
{
    if (agent->life.state != STATE_IDLE || agent->notice.dirty & WAKING || !watch_is_whole(&agent->watched))
        return false;
    agent->notice.queue_stamp = files_stamp_at(agent->tree, TREE_QUEUE);
    agent->notice.called = false;
    agent->notice.resting = agent_send(agent, MESSAGE_REST);
    return agent->notice.resting;
}

static void rest_timer_rings(void *agent)
{
    set_rest_timer(agent); /* the worker may have something to do after all */
    look_send_away(agent);
}

void agent_active(struct agent *agent, bool idle)
{
    agent->notice.resting = agent->notice.resting && idle;
}

bool look_queue_has_changed(const struct agent *agent)
{
    OWNED char *below = memory_print("agents/%s/%s", agent->name, TREE_QUEUE);
    struct file_stamp now = agent->tree >= 0 ? files_stamp_at(agent->tree, TREE_QUEUE)
                                             : files_stamp_at(agent->agents->data, below);
    return !files_stamp_equal(&now, &agent->notice.queue_stamp);
}

static void wake_if_called(struct agent *agent, uint64_t look)
{
    if (is_work(agent, look))
        life_event(&agent->life, EVENT_WAKE);
}

void look_rest(struct agent *agent, bool called)
{
    log_info("agentos", NULL, "Agent '%s' hibernates: it has nothing to do; work starts it again",
             agent->name);
    agent->notice.slept = true;
    watch_top(agent->agents->watch, &agent->watched, agent->tree, agent);
    close_tree(agent);
    if (!called) /* queue.md's stamp may be of a text that the worker hasn't seen */
        rested_note(agent);
    life_event(&agent->life, EVENT_REST); /* last: a receiver of the event may wake the agent */
    if (called)
        life_event(&agent->life, EVENT_WAKE);
}

void look_rest_on(struct agent *agent)
{
    agent->agents->callbacks->worker_gone(agent);
    life_event(&agent->life, EVENT_REST);
    agent_scan(agent); /* from now on the tree's top is watched; a change before that wakes the agent */
    if (!watch_has_top(&agent->watched))
        life_event(&agent->life, EVENT_WAKE);
}

bool look_is_due(const struct agent *agent)
{
    return agent->notice.called || is_work(agent, agent->notice.dirty);
}

void look_state_changed(struct agent *agent)
{
    set_rest_timer(agent);
    if (agent->life.state == STATE_IDLE)
        send_dirty(agent);
}

void look_begin(struct agent *agent)
{
    agent->notice.look_timer = (struct timer){.ring = look_timer_rings, .context = agent};
    agent->notice.rest_timer = (struct timer){.ring = rest_timer_rings, .context = agent};
}

/* --- changes --- */

void agent_look(struct agent *agent, uint64_t look)
{
    if (agent->life.state == STATE_HIBERNATING) {
        wake_if_called(agent, look);
        return;
    }
    if (look & WAKING)
        starts_hurry(agent);
    agent->notice.dirty |= look;
    send_dirty(agent);
}

/* Whether the folder at the agent's path is still the folder that the worker lives in. */
static bool tree_was_replaced(const struct agent *agent)
{
    struct stat ours, there;
    OWNED char *below = memory_print("agents/%s", agent->name);
    return fstat(agent->tree, &ours) == 0 &&
           (fstatat(agent->agents->data, below, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
            ours.st_ino != there.st_ino || ours.st_dev != there.st_dev);
}

/* An agent's folders are watched also while it has no process: envelopes that people put there expire all the same.
 * Of a hibernating agent the watch covers the tree's top alone: the scans find what is put into its iac/. */
static void watch_resting(struct agent *agent)
{
    bool hibernates = agent->life.state == STATE_HIBERNATING;
    if (hibernates ? watch_has_top(&agent->watched) : watch_is_whole(&agent->watched))
        return;
    OWNED char *below = memory_print("agents/%s", agent->name);
    OWNED_FD int tree = files_open(agent->agents->data, below, O_RDONLY | O_DIRECTORY, 0);
    if (tree >= 0)
        (hibernates ? watch_top : watch_tree)(agent->agents->watch, &agent->watched, tree, agent);
}

void agent_scan(struct agent *agent)
{
    if (!life_is_up(&agent->life)) {
        if (!life_has_process(&agent->life))
            close_tree(agent); /* agent_tree has opened the tree for somebody */
        watch_resting(agent);
        if (agent->life.state == STATE_HIBERNATING && look_queue_has_changed(agent))
            agent_look(agent, LOOK_QUEUE);
        return;
    }
    if (tree_was_replaced(agent)) {
        log_warn("agentos", NULL, "%s is another folder now; the agent's worker is started anew in it",
                 agent->path);
        life_event(&agent->life, EVENT_RESTART);
        return;
    }
    watch_tree(agent->agents->watch, &agent->watched, agent->tree, agent);
    if (look_queue_has_changed(agent))
        agent_look(agent, LOOK_QUEUE);
    else
        send_dirty(agent);
}
