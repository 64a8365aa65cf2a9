/* Agents' news for their surroundings: the post office, the relay, the checkers, the control server. */
#include "common/buffer.h"
#include "common/log.h"
#include "supervisor/control/control.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/process/service_manager.h"
#include "supervisor/shared_state.h"
#include "supervisor/supervisor.h"

static void defined(struct agent *agent)
{
    post_agent(supervisor_of(agent)->post, agent->name, agent, agent->definition);
}

enum { NAMED_MAX = 50 };

/* Adds " Not started: iris, nova; …" when agents failed; returns how many. */
static size_t name_failed(const struct agents *agents, struct buffer *text)
{
    size_t count = 0;
    for (size_t i = 0; i < agents->count; i++) {
        enum life_state state = agents->list[i]->life.state;
        if ((state != STATE_FAILED && state != STATE_BACKOFF) || ++count > NAMED_MAX)
            continue;
        buffer_print(text, "%s%s", count == 1 ? " Not started: " : ", ", agents->list[i]->name);
    }
    if (count > NAMED_MAX)
        buffer_print(text, " and %zu more", count - NAMED_MAX);
    if (count)
        buffer_text(text, "; `agentos status` says why.");
    return count;
}

void supervisor_settled(struct supervisor *supervisor)
{
    const struct agents *agents = &supervisor->agents;
    if (agents->begin.over)
        post_go_on(supervisor->post);
    bool all = agents->found.settled == agents->count, many = agents->count > agents->warm.limit;
    if (supervisor->run.said || !agents->begin.over || (!all && !many))
        return;
    OWNED_BUFFER struct buffer failed = {0};
    size_t run = agents->count - name_failed(agents, &failed);
    supervisor->run.said = true;
    log_event(failed.length ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "agentos", NULL,
              "AgentOS running with %zu agent(s). Polling every %llds.%s", run,
              (long long)agents->poll_seconds, failed.data ? failed.data : "");
    notify_say(supervisor->notify, "READY=1\nSTATUS=Supervising %zu agent(s)%s", run,
               failed.data ? failed.data : "");
}

/* For a fleet that is larger than warm_workers: READY was said before every agent had started. */
static void say_all_started(struct supervisor *supervisor)
{
    OWNED_BUFFER struct buffer failed = {0};
    name_failed(&supervisor->agents, &failed);
    log_event(failed.length ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "agentos", NULL,
              "Every agent has had its first start.%s", failed.data ? failed.data : "");
}

/* A tree that is too large at the start is told of then; a tree that passes its limit later is known to have grown. */
static void settled(struct agent *agent)
{
    struct supervisor *supervisor = supervisor_of(agent);
    bool early = supervisor->run.said;
    supervisor_settled(supervisor);
    if (!supervisor->run.said || supervisor->agents.found.settled < supervisor->agents.count)
        return;
    if (early && !supervisor->run.all_started)
        say_all_started(supervisor);
    supervisor->run.all_started = true;
    disk_limit_scan(supervisor->agents.disk);
}

static void changed(struct agent *agent)
{
    alert_agent_changed(agent);
    control_agent_changed(supervisor_of(agent)->control, agent);
    shared_state_agent_changed(supervisor_of(agent)->shared, agent->name);
}

static void worker_starts(struct agent *agent)
{
    post_worker_starts(supervisor_of(agent)->post, agent->name);
}

static void asker_gone(struct agent *agent)
{
    relay_forget_all(supervisor_of(agent)->relay, agent);
    audits_forget_all(supervisor_of(agent)->audits, agent);
}

static void worker_gone(struct agent *agent)
{
    post_worker_down(supervisor_of(agent)->post, agent->name);
}

static void down(struct agent *agent)
{
    struct supervisor *supervisor = supervisor_of(agent);
    nodes_agent_down(supervisor->local.nodes, agent);
    if (supervisor->agents.ending && agents_all_down(&supervisor->agents)) {
        loop_end(supervisor->loop);
    } else if (agent->leaving) {
        control_agent_gone(supervisor->control, agent);
        post_agent_gone(supervisor->post, agent->name);
        agents_remove(&supervisor->agents, agent);
    }
}

static void event(const struct agent *agent, const char *name, const struct detail *details)
{
    control_tell(supervisor_of(agent)->control, agent, name, details);
}

const struct agent_callbacks supervisor_agent_callbacks = {
    .hears = agent_hears,
    .defined = defined,
    .settled = settled,
    .changed = changed,
    .worker_starts = worker_starts,
    .asker_gone = asker_gone,
    .worker_gone = worker_gone,
    .down = down,
    .event = event,
};
