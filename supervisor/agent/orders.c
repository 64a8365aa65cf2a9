/* The operator's orders for an agent (desired_state.h), how the start learns them, and what follows from them. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/work.h"

enum { ORDER_AGAIN_MS = 1000 };

/* An agent that was stopped must not run because its order could not be read, and an agent without an order must not
 * stay down. */
static bool learn_order(struct agent *agent)
{
    struct fault fault;
    bool known = desired_state_load(agent->agents->data, agent->name, &agent->order.desired, &fault);
    if (!known && !agent->order.unknown)
        log_warn("agentos", NULL,
                 "Agent '%s' is not started: its orders can't be read, and the read is tried again; `agentos "
                 "start %s` starts it: %s",
                 agent->name, agent->name, fault.text);
    if (!known)
        timer_set(agent->agents->loop, &agent->order.timer, ORDER_AGAIN_MS);
    if (!known || agent->order.unknown)
        agent_trouble(agent, known ? NULL : fault.text);
    agent->order.unknown = !known;
    return known;
}

static void start_or_rest(struct agent *agent)
{
    if (work_lacks(agent)) {
        look_rest_on(agent);
        return;
    }
    agent->notice.slept = false;
    agent->worker.start.has_work = work_found(agent);
    life_event(&agent->life, EVENT_START);
}

static void follow_order(struct agent *agent)
{
    if (agent->order.elsewhere || agent->leaving || agent->agents->ending)
        return;
    agent->life.paused = agent->order.desired.paused;
    if (!agent->order.desired.stopped)
        start_or_rest(agent);
    else
        log_info("agentos", NULL, "Agent '%s' stays stopped, as it was ordered; `agentos start %s` starts it",
                 agent->name, agent->name);
}

static void order_is_due(void *context)
{
    struct agent *agent = context;
    if (learn_order(agent))
        follow_order(agent);
}

/* Whether the order settles for an unreadable one: start, stop and restart replace it, pause and resume don't. */
static bool is_ordered_anew(struct agent *agent, enum life_event order)
{
    if (!agent->order.unknown || (order != EVENT_START && order != EVENT_STOP && order != EVENT_RESTART))
        return false;
    agent->order.unknown = false;
    timer_clear(agent->agents->loop, &agent->order.timer);
    agent_trouble(agent, NULL);
    return true;
}

static void remember_order(struct agent *agent, struct desired_state desired)
{
    struct fault fault;
    agent->order.desired = desired;
    if (agent->order.unknown)
        fault_set(&fault, "the earlier orders can't be read and are not written over");
    else if (desired_state_save(agent->agents->data, agent->name, desired, &fault))
        return;
    log_warn("agentos", NULL, "Agent '%s': the order holds only until the supervisor ends: %s", agent->name,
             fault.text);
}

void agent_order(struct agent *agent, enum life_event order, bool remember)
{
    if (!agent->leaving && !agent->agents->ending)
        agent_begin(agent); /* the order before must be known */
    struct desired_state desired = agent->order.desired;
    bool anew = is_ordered_anew(agent, order);
    desired.stopped =
        order == EVENT_STOP || (desired.stopped && order != EVENT_START && order != EVENT_RESTART);
    desired.paused = order == EVENT_PAUSE || (desired.paused && order != EVENT_RESUME);
    desired.since = !desired.stopped && !desired.paused ? 0 : clock_now();
    if (remember && (anew || desired.stopped != agent->order.desired.stopped ||
                     desired.paused != agent->order.desired.paused))
        remember_order(agent, desired);
    agent->agents->room.until = 0; /* the operator may have made room */
    if (!agent->order.elsewhere || (order != EVENT_START && order != EVENT_RESTART))
        life_event(&agent->life, order);
    if (!life_has_process(&agent->life))
        agent->agents->callbacks->down(agent);
}

void agent_begin(struct agent *agent)
{
    if (agent->order.begun)
        return;
    agent->order.begun = true;
    if (learn_order(agent))
        follow_order(agent);
    if (!agent->order.unknown && !agent->order.desired.stopped && !agent->order.elsewhere)
        return;
    agent_scan(agent);
    agent->agents->callbacks->worker_gone(agent);
    lookup_settle(agent);
}

void agent_live_here(struct agent *agent, const char *elsewhere, bool at_once)
{
    bool before = !agent->order.elsewhere;
    char *copy = memory_text(elsewhere);
    free(agent->order.elsewhere);
    agent->order.elsewhere = copy;
    if (elsewhere)
        life_event(&agent->life, EVENT_STOP);
    if (elsewhere && at_once)
        life_event(&agent->life, EVENT_KILL);
    if (!elsewhere && !before && agent->order.begun && !agent->order.unknown)
        follow_order(agent);
}

void orders_begin(struct agent *agent)
{
    agent->order.timer = (struct timer){.ring = order_is_due, .context = agent};
}
