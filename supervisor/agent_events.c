/* What agents tell their surroundings, and who is concerned: the post office, the relay, the checkers, the control
 * server. */
#include "common/log.h"
#include "supervisor/control/control.h"
#include "supervisor/post/post.h"
#include "supervisor/process/service_manager.h"
#include "supervisor/supervisor.h"

static void defined(struct agent *agent)
{
    post_agent(supervisor_of(agent)->post, agent->name, agent, agent->definition);
}

void supervisor_settled(struct supervisor *supervisor)
{
    size_t settled = 0;
    for (size_t i = 0; i < supervisor->agents.count; i++)
        settled += supervisor->agents.list[i]->settled;
    if (supervisor->running || settled < supervisor->agents.count)
        return;
    supervisor->running = true;
    log_info("agentos", NULL, "AgentOS running with %zu agent(s). Polling every %llds.",
             supervisor->agents.count, (long long)supervisor->agents.poll_seconds);
    notify_say(supervisor->notify, "READY=1\nSTATUS=Supervising %zu agent(s)", supervisor->agents.count);
}

static void settled(struct agent *agent)
{
    supervisor_settled(supervisor_of(agent));
}

static void changed(struct agent *agent)
{
    control_agent_changed(supervisor_of(agent)->control, agent);
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
